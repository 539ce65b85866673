#include "data/encode/encoder_builder.h"

#include <algorithm>
#include <cmath>

#include "data/encode/encoder_state.h"

namespace interplay {
namespace {

constexpr size_t kCellsABlock = 256;  // cells hashed ahead of their lookup
constexpr size_t kBuckets = 1024;     // nearly every bucket lies below this: ln(1e13)^2 is 896

}  // namespace

EncoderBuilder::EncoderBuilder(const DataSpec& spec, Options options)
    : spec_(spec),
      parser_(Schema(spec.fields, spec.label_names()), spec),
      threads_(options.threads),
      statistics_(spec.fields.size()),
      known_buckets_(spec.fields.size()),
      counts_(spec.fields.size(), options.memory_bytes, options.temporary),
      new_tokens_(options.new_tokens) {
  for (size_t f = 0; f < spec_.fields.size(); ++f) {
    const std::string& table = parser_.schema().fields()[f].table;
    if (table.empty() || parser_.encoding(f).values.hash_buckets > 0) {
      table_of_.push_back(kNone);
      continue;
    }
    const auto found = std::find(tables_.begin(), tables_.end(), table);
    table_of_.push_back(size_t(found - tables_.begin()));
    if (found == tables_.end()) tables_.push_back(table);
  }
  if (!options.vocabulary_from.empty()) base_ = Encoder::load(options.vocabulary_from);
}

EncoderBuilder::~EncoderBuilder() = default;

void EncoderBuilder::Statistics::add(double x) {
  low = n == 0 ? x : std::min(low, x);
  high = n == 0 ? x : std::max(high, x);
  ++n;
  const double step = x - mean;
  mean += step / double(n);
  squares += step * (x - mean);
}

NumberStatistics EncoderBuilder::Statistics::result() const {
  return {n, mean, n > 0 ? std::sqrt(squares / double(n)) : 0, low, high};
}

void EncoderBuilder::observe(const RowValues& values, std::span<const uint8_t> splits) {
  for (size_t f = 0; f < spec_.fields.size(); ++f) {
    if (!parser_.numbers(f).transform().is_fitted()) continue;
    for (size_t i = 0; i < splits.size(); ++i) {
      const double x = values.numbers[f][size_t(values.rows[i])];
      if (splits[i] == 0 && !std::isnan(x)) statistics_[f].add(parser_.numbers(f).transform().apply(x));
    }
  }
}

CodedRows EncoderBuilder::code(const RowValues& values, std::vector<uint8_t> splits) {
  const Schema& schema = parser_.schema();
  CodedRows out;
  out.split = std::move(splits);
  out.rest.rows = int64_t(values.rows.size());
  out.categorical.resize(size_t(schema.count(FieldKind::categorical)));
  out.numbers.resize(size_t(schema.count(FieldKind::numeric)));
  out.entries.resize(size_t(schema.count(FieldKind::sequence)));
  out.rest.sequences.resize(out.entries.size());
  copy_rest(parser_, values, values.rows, true, out.rest);
  for (const Field& field : schema.fields()) {
    const auto f = size_t(&field - schema.fields().data());
    if (field.kind == FieldKind::numeric) {
      for (const int32_t r : values.rows) out.numbers[size_t(field.column)].push_back(values.numbers[f][size_t(r)]);
    } else if (field.kind == FieldKind::sequence) {
      auto& sequence = out.rest.sequences[size_t(field.column)];
      const auto& lists = values.lists[f];
      sequence.offsets.push_back(0);
      for (const int32_t r : values.rows) {
        const int64_t begin = lists.offsets[size_t(r)], end = lists.offsets[size_t(r) + 1];
        sequence.offsets.push_back(sequence.offsets.back() + end - begin);
        if (field.weighted)
          sequence.weights.insert(sequence.weights.end(), lists.weights.begin() + begin, lists.weights.begin() + end);
      }
    }
    if (table_of_[f] == kNone) code_hashed(f, values, out);
  }
  std::vector<size_t> left(tables_.size());
  const size_t first = first_table_.fetch_add(tables_.size() / 2 + 1);
  for (size_t t = 0; t < left.size(); ++t) left[t] = (first + t) % left.size();
  while (!left.empty()) {
    const auto coded = std::erase_if(left, [&](size_t table) {
      auto tokens = counts_.try_lease(table);
      if (tokens) code_table(*tokens, table, values, out);
      return tokens.has_value();
    });
    if (coded > 0) continue;
    auto tokens = counts_.lease(left.back());
    code_table(tokens, left.back(), values, out);
    left.pop_back();
  }
  return out;
}

/// Ids by hash are what they will be.
void EncoderBuilder::code_hashed(size_t field, const RowValues& values, CodedRows& out) const {
  const Field& f = parser_.schema().fields()[field];
  const int64_t buckets = parser_.encoding(field).values.hash_buckets;
  if (buckets == 0) return;
  const TokenIds hashed(nullptr, buckets, buckets + 2);
  if (f.kind == FieldKind::sequence) {
    const auto& lists = values.lists[field];
    auto& ids = out.entries[size_t(f.column)].values;
    for (const int32_t r : values.rows) {
      for (int64_t i = lists.offsets[size_t(r)]; i < lists.offsets[size_t(r) + 1]; ++i)
        ids.push_back(uint32_t(hashed.id(lists.tokens[size_t(i)])));
    }
  } else {
    const RawColumn& column = values.raw.column(parser_.encoding(field).column);
    auto& ids = out.categorical[size_t(f.column)].values;
    for (const int32_t r : values.rows) ids.push_back(uint32_t(hashed.id(parser_.token(field, column, r))));
  }
}

void EncoderBuilder::code_table(TokenCounts::Lease& tokens, size_t table, const RowValues& values, CodedRows& out) {
  for (const Field& field : parser_.schema().fields()) {
    const auto f = size_t(&field - parser_.schema().fields().data());
    if (table_of_[f] != table) continue;
    const bool list = field.kind == FieldKind::sequence;
    CodedRows::Codes& codes = (list ? out.entries : out.categorical)[size_t(field.column)];
    codes.epoch = tokens.epoch();
    const std::vector<uint8_t> all(field.given ? out.split.size() : 0);  // as training rows
    const std::span<const uint8_t> splits = field.given ? all : out.split;
    if (list) {
      code_lists(tokens, values.lists[f], values.rows, splits, codes.values);
    } else if (parser_.makes_buckets(f)) {
      code_buckets(tokens, f, values, splits, codes.values);
    } else {
      code_cells(tokens, f, values.raw.column(parser_.encoding(f).column), values.rows, splits, codes.values);
    }
  }
}

void EncoderBuilder::code_cells(TokenCounts::Lease& tokens, size_t field, const RawColumn& column,
                                std::span<const int32_t> rows, std::span<const uint8_t> splits,
                                std::vector<uint32_t>& codes) const {
  codes.resize(rows.size());
  uint64_t hashes[kCellsABlock];
  std::string_view cells[kCellsABlock];
  for (size_t first = 0; first < rows.size(); first += kCellsABlock) {
    const size_t n = std::min(kCellsABlock, rows.size() - first);
    for (size_t i = 0; i < n; ++i) {
      cells[i] = parser_.token(field, column, rows[first + i]);
      hashes[i] = token_hash(cells[i]);
      tokens.prefetch(hashes[i]);
    }
    for (size_t i = 0; i < n; ++i) codes[first + i] = cells[i].empty() ? 0 : 1 + tokens.code(cells[i], hashes[i]);
    for (size_t i = 0; i < n; ++i) {
      if (codes[first + i] > 0 && splits[first + i] == 0) tokens.count(codes[first + i] - 1);
    }
  }
}

void EncoderBuilder::code_buckets(TokenCounts::Lease& tokens, size_t field, const RowValues& values,
                                  std::span<const uint8_t> splits, std::vector<uint32_t>& codes) {
  KnownBuckets& known = known_buckets_[field];
  if (known.epoch != tokens.epoch()) {
    known.epoch = tokens.epoch();
    known.codes.assign(kBuckets, 0);
  }
  const NumberRule& rule = parser_.numbers(field);
  const auto& numbers = values.numbers[field];
  codes.resize(values.rows.size());
  for (size_t i = 0; i < codes.size(); ++i) {
    int64_t bucket = 0;
    if (!rule.bucket(numbers[size_t(values.rows[i])], bucket)) continue;  // 0
    if (bucket >= 0 && bucket < int64_t(kBuckets)) {
      uint32_t& code = known.codes[size_t(bucket)];
      if (code == 0) code = 1 + tokens.code(std::to_string(bucket));
      codes[i] = code;
    } else {
      codes[i] = 1 + tokens.code(std::to_string(bucket));
    }
    if (splits[i] == 0) tokens.count(codes[i] - 1);
  }
}

void EncoderBuilder::code_lists(TokenCounts::Lease& tokens, const RowValues::Lists& lists,
                                std::span<const int32_t> rows, std::span<const uint8_t> splits,
                                std::vector<uint32_t>& codes) const {
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto r = size_t(rows[i]);
    for (int64_t at = lists.offsets[r]; at < lists.offsets[r + 1]; ++at) {
      const std::string_view token = lists.tokens[size_t(at)];
      codes.push_back(token.empty() ? 0 : 1 + tokens.code(token));
      if (codes.back() > 0 && splits[i] == 0) tokens.count(codes.back() - 1);
    }
  }
}

}  // namespace interplay
