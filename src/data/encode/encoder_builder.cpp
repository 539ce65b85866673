#include "data/encode/encoder_builder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <interplay/base/in_order.h>
#include <interplay/base/log.h>

#include "data/encode/catalogue.h"
#include "data/encode/encoder_state.h"

namespace interplay {
namespace {

constexpr size_t kNone = SIZE_MAX;
constexpr size_t kBlock = 256;     // cells hashed ahead of their lookup
constexpr size_t kBuckets = 1024;  // nearly every bucket lies below this: ln(1e13)^2 is 896
constexpr size_t kIdRows = 256;    // rows whose ids stay in the L1 cache while columns are filled in
constexpr size_t kIdsKept = 2;     // epochs of a table: rows that are resolved at once come from neighbouring ones

std::shared_ptr<const std::vector<int32_t>> ids_by_code(const TokenCounts& counts, size_t table, int64_t epoch,
                                                        const Vocabulary& vocabulary) {
  const auto unseen = int32_t(vocabulary.rows() - 1);
  auto ids = std::make_shared<std::vector<int32_t>>(1 + counts.codes(table, epoch), unseen);
  counts.each(table, epoch, [&](std::string_view token, uint32_t code) { (*ids)[1 + code] = vocabulary.id(token); });
  return ids;
}

}  // namespace

struct EncoderBuilder::IdCache {
  std::mutex mutex;
  std::vector<std::pair<int64_t, Ids>> epochs;  // those used last
};

EncoderBuilder::EncoderBuilder(const DataSpec& spec, Options options)
    : spec_(spec),
      parser_(Schema(spec.fields, spec.label_names()), spec),
      threads_(options.threads),
      statistics_(spec.fields.size()),
      known_buckets_(spec.fields.size()),
      counts_(spec.fields.size(), options.memory_bytes, options.temporary) {
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
    if (list) {
      code_lists(tokens, values.lists[f], values.rows, out.split, codes.values);
    } else if (parser_.makes_buckets(f)) {
      code_buckets(tokens, f, values, out.split, codes.values);
    } else {
      code_cells(tokens, f, values.raw.column(parser_.encoding(f).column), values.rows, out.split, codes.values);
    }
  }
}

void EncoderBuilder::code_cells(TokenCounts::Lease& tokens, size_t field, const RawColumn& column,
                                std::span<const int32_t> rows, std::span<const uint8_t> splits,
                                std::vector<uint32_t>& codes) const {
  codes.resize(rows.size());
  uint64_t hashes[kBlock];
  std::string_view cells[kBlock];
  for (size_t first = 0; first < rows.size(); first += kBlock) {
    const size_t n = std::min(kBlock, rows.size() - first);
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

const Vocabulary* EncoderBuilder::kept_vocabulary(const std::string& table) const {
  if (!base_) return nullptr;
  const auto& tables = base_->state_->vocabularies;
  const auto found = tables.find(table);
  return found == tables.end() ? nullptr : found->second.get();
}

/// Kept tokens first, in their old order; then the new ones by falling count, ties by bytes; then those of catalogues
/// alone, by bytes.
Vocabulary EncoderBuilder::build_vocabulary(size_t table, int64_t min_count) {
  const Vocabulary* const base = kept_vocabulary(tables_[table]);
  Vocabulary out;
  for (int64_t id = 1; base && id <= base->size(); ++id) out.add(base->token(id), base->count(id));
  std::string bytes;
  std::vector<uint64_t> ends;
  std::vector<int64_t> counts;
  counts_.merge(table, base ? 1 : min_count, [&](std::string_view token, int64_t count) {
    if (base && base->has(token)) {
      out.count_more(base->id(token), count);
    } else if (count >= min_count) {
      bytes += token;
      ends.push_back(bytes.size());
      counts.push_back(count);
    }
  });
  std::vector<uint32_t> order(counts.size());
  std::iota(order.begin(), order.end(), 0u);  // by bytes, as merge() gave them
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return counts[a] > counts[b]; });
  out.reserve(size_t(out.size()) + order.size(), bytes.size());
  for (const uint32_t i : order) {
    const uint64_t begin = i == 0 ? 0 : ends[i - 1];
    out.add(std::string_view(bytes).substr(begin, ends[i] - begin), counts[i]);
  }
  for (size_t f = 0; f < table_of_.size(); ++f) {
    if (table_of_[f] != table || spec_.catalogues[f].empty()) continue;
    for (const auto& token : catalogue_tokens(spec_, f)) {
      if (!out.has(token)) out.add(token, 0);
    }
  }
  return out;
}

void EncoderBuilder::fit_numbers(size_t field, FieldEncoding::Values& values) const {
  const Transform& transform = parser_.numbers(field).transform();
  const Field* const old = base_ ? base_->schema().find(parser_.schema().fields()[field].name) : nullptr;
  if (old && old->kind == FieldKind::numeric) {
    FieldEncoding kept;
    read_options(kept, old->encoding);
    INTERPLAY_CHECK(kept.values.transform == values.transform,
                    "field '{}': transform {} here, {} in the data whose vocabulary is kept; make them equal",
                    old->name, values.transform.yaml(), kept.values.transform.yaml());
    values.shift = kept.values.shift;
    values.scale = kept.values.scale;
    return;
  }
  if (transform.is_fitted() && statistics_[field].n > 0) {
    const auto fitted = transform.fit(statistics_[field].result());
    values.shift = fitted.shift;
    values.scale = fitted.scale;
  }
  if (!(values.scale > 0)) values.scale = 1;  // a constant column
}

/// What the training rows decide of a field.
void EncoderBuilder::fit(size_t f, const Vocabularies& vocabularies, Field& out) const {
  FieldEncoding encoding = parser_.encoding(f);
  if (table_of_[f] != kNone) {
    out.rows = vocabularies.at(tables_[table_of_[f]])->rows();
    encoding.values.tokens = checksums_[table_of_[f]];
  } else if (encoding.values.hash_buckets > 0) {
    out.rows = encoding.values.hash_buckets + 2;
  } else if (out.kind == FieldKind::numeric) {
    fit_numbers(f, encoding.values);
  } else if (out.kind == FieldKind::text) {
    const auto space = spec_.sources[f]->token_space();
    out.rows = space.size;
    encoding.values.tokens = space.checksum;
  }
  out.encoding = to_config(encoding);
}

Encoder EncoderBuilder::build() {
  std::vector<std::shared_ptr<Vocabulary>> built(tables_.size());
  checksums_.resize(tables_.size());
  ids_ = std::make_unique<IdCache[]>(tables_.size());
  run_each(threads_, int64_t(tables_.size()), [&](int64_t index) {
    const auto t = size_t(index);
    built[t] = std::make_shared<Vocabulary>(build_vocabulary(t, spec_.min_count.at(tables_[t])));
    checksums_[t] = built[t]->checksum();
    if (counts_.epochs(t) > 1) return;  // resolve() asks for what it needs
    ids_[t].epochs.emplace_back(0, ids_by_code(counts_, t, 0, *built[t]));
    counts_.clear(t);
  });
  Vocabularies vocabularies;
  for (size_t t = 0; t < tables_.size(); ++t) vocabularies.emplace(tables_[t], built[t]);
  std::vector<Field> fields = parser_.schema().fields();
  for (size_t f = 0; f < fields.size(); ++f) fit(f, vocabularies, fields[f]);
  Schema schema(std::move(fields), spec_.label_names());
  schema.source = spec_.resolved;
  built_ = std::make_shared<const Encoder::State>(std::move(schema), spec_, std::move(vocabularies));
  Encoder out;
  out.state_ = built_;
  return out;
}

EncoderBuilder::Ids EncoderBuilder::ids_of(size_t table, int64_t epoch) const {
  IdCache& cache = ids_[table];
  const std::lock_guard lock(cache.mutex);
  auto& epochs = cache.epochs;
  auto found = std::find_if(epochs.begin(), epochs.end(), [&](const auto& known) { return known.first == epoch; });
  if (found == epochs.end()) {
    if (epochs.size() == kIdsKept) epochs.erase(epochs.begin());
    epochs.emplace_back(epoch, ids_by_code(counts_, table, epoch, *built_->vocabularies.at(tables_[table])));
    found = epochs.end() - 1;
  }
  std::rotate(found, found + 1, epochs.end());  // the one used last is the last
  return epochs.back().second;
}

EncodedBatch EncoderBuilder::resolve(const CodedRows& rows, int split, std::vector<Unseen>& unseen) const {
  const Schema& schema = built_->schema;
  unseen.assign(schema.fields().size(), {});
  std::vector<uint32_t> picked;
  for (uint32_t r = 0; r < rows.split.size(); ++r) {
    if (rows.split[r] == split) picked.push_back(r);
  }
  const auto pick = [&](const auto& values, size_t width, auto& out) {
    if (values.empty()) return;
    out.reserve(picked.size() * width);
    for (const uint32_t r : picked) {
      out.insert(out.end(), values.begin() + ptrdiff_t(r * width), values.begin() + ptrdiff_t((r + 1) * width));
    }
  };
  EncodedBatch out;
  out.rows = int64_t(picked.size());
  resolve_categorical(rows, picked, out, unseen);
  out.dense.resize(picked.size() * rows.numbers.size());
  for (const Field* field : schema.of(FieldKind::numeric)) {
    const auto column = size_t(field->column);
    const NumberRule& rule = built_->parser.numbers(size_t(field - schema.fields().data()));
    for (size_t i = 0; i < picked.size(); ++i) {
      out.dense[i * rows.numbers.size() + column] = rule.dense(rows.numbers[column][picked[i]]);
    }
  }
  for (const Field* field : schema.of(FieldKind::sequence)) {
    const auto column = size_t(field->column);
    resolve_sequence(rows.entries[column], rows.rest.sequences[column], *field, picked, out.sequences.emplace_back(),
                     unseen[size_t(field - schema.fields().data())]);
  }
  for (const Field* field : schema.of(FieldKind::vector)) {
    pick(rows.rest.vectors[size_t(field->column)], size_t(field->dimension), out.vectors.emplace_back());
  }
  for (const auto& from : rows.rest.texts) {
    auto& text = out.texts.emplace_back();
    text.offsets.push_back(0);
    for (const uint32_t r : picked) {
      const auto first = from.offsets[r], last = from.offsets[r + 1];
      text.ids.insert(text.ids.end(), from.ids.begin() + first, from.ids.begin() + last);
      text.columns.insert(text.columns.end(), from.columns.begin() + first, from.columns.begin() + last);
      text.offsets.push_back(int64_t(text.ids.size()));
    }
  }
  pick(rows.rest.labels, schema.labels().size(), out.labels);
  pick(rows.rest.weight, 1, out.weight);
  pick(rows.rest.group, 1, out.group);
  pick(rows.rest.time, 1, out.time);
  return out;
}

void EncoderBuilder::resolve_categorical(const CodedRows& rows, std::span<const uint32_t> picked, EncodedBatch& out,
                                         std::vector<Unseen>& unseen) const {
  const size_t F = rows.categorical.size();
  std::vector<Ids> ids(F);
  std::vector<Unseen> counts(F);
  for (const Field* field : built_->schema.of(FieldKind::categorical)) {
    const auto& codes = rows.categorical[size_t(field->column)];
    if (codes.epoch != CodedRows::kIds) ids[size_t(field->column)] = ids_of(table_of(*field), codes.epoch);
  }
  out.ids.resize(picked.size() * F);
  for (size_t first = 0; first < picked.size(); first += kIdRows) {
    const auto block = picked.subspan(first, std::min(kIdRows, picked.size() - first));
    for (size_t column = 0; column < F; ++column) {
      const uint32_t* const codes = rows.categorical[column].values.data();
      const int32_t* const id = ids[column] ? ids[column]->data() : nullptr;
      int32_t* to = out.ids.data() + first * F + column;
      const int32_t last = id ? id[0] : 0;  // what a missing value becomes
      int64_t present = 0, at_last = 0;
      for (const uint32_t r : block) {
        *to = id ? id[codes[r]] : int32_t(codes[r]);
        present += codes[r] != 0;
        at_last += *to == last;
        to += F;
      }
      counts[column].present += present;
      counts[column].unseen += at_last - (int64_t(block.size()) - present);  // without the missing ones
    }
  }
  for (const Field* field : built_->schema.of(FieldKind::categorical)) {
    if (ids[size_t(field->column)])
      unseen[size_t(field - built_->schema.fields().data())] = counts[size_t(field->column)];
  }
}

void EncoderBuilder::resolve_sequence(const CodedRows::Codes& codes, const EncodedBatch::Sequence& from,
                                      const Field& field, std::span<const uint32_t> picked, EncodedBatch::Sequence& out,
                                      Unseen& unseen) const {
  const Ids ids = codes.epoch == CodedRows::kIds ? nullptr : ids_of(table_of(field), codes.epoch);
  out.offsets.push_back(0);
  for (const uint32_t r : picked) {
    for (auto i = size_t(from.offsets[r]); i < size_t(from.offsets[r + 1]); ++i) {
      out.ids.push_back(ids ? (*ids)[codes.values[i]] : int32_t(codes.values[i]));
      if (ids && codes.values[i] != 0) ++unseen.present, unseen.unseen += out.ids.back() == (*ids)[0];
      if (field.weighted) out.weights.push_back(from.weights[i]);
    }
    out.offsets.push_back(int64_t(out.ids.size()));
  }
}

}  // namespace interplay
