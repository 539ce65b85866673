#include "data/encoder_builder.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include <interplay/base/log.h>

#include "data/encoder_state.h"

namespace interplay {
namespace {

constexpr size_t kNone = SIZE_MAX;
constexpr size_t kBlock = 256;  // cells hashed ahead of their lookup

}  // namespace

EncoderBuilder::EncoderBuilder(const DataSpec& spec, Options options)
    : spec_(spec),
      parser_(Schema(spec.fields, spec.label_names()), spec),
      statistics_(spec.fields.size()),
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

void EncoderBuilder::Statistics::add(double x) {
  low = n == 0 ? x : std::min(low, x);
  high = n == 0 ? x : std::max(high, x);
  ++n;
  const double step = x - mean;
  mean += step / double(n);
  squares += step * (x - mean);
}

void EncoderBuilder::count(const RawBatch& raw, const RowValues& values, std::span<const int32_t> rows) {
  for (size_t f = 0; f < spec_.fields.size(); ++f) {
    const std::string& transform = parser_.encoding(f).values.transform;
    if (table_of_[f] == kNone) {
      if (transform == "standardise" || transform == "min_max") {
        for (const int32_t r : rows) {
          if (const double x = values.numbers[f][size_t(r)]; !std::isnan(x)) statistics_[f].add(x);
        }
      }
    } else if (parser_.encoding(f).is_bucket()) {
      count_buckets(f, values.numbers[f], rows);
    } else if (spec_.fields[f].kind == FieldKind::sequence) {
      count_lists(f, values.lists[f], rows);
    } else {
      count_cells(f, raw, rows);
    }
  }
  counts_.keep_within_memory();
}

void EncoderBuilder::count_cells(size_t field, const RawBatch& raw, std::span<const int32_t> rows) {
  const RawColumn& column = raw.column(parser_.encoding(field).column);
  INTERPLAY_CHECK_DATA(!column.is_list(),
                       "{}: column '{}' holds lists, but field '{}' is categorical; declare it kind: sequence",
                       raw.place(0), column.name, spec_.fields[field].name);
  uint64_t hashes[kBlock];
  for (size_t first = 0; first < rows.size(); first += kBlock) {
    const auto block = rows.subspan(first, std::min(kBlock, rows.size() - first));
    for (size_t i = 0; i < block.size(); ++i) {
      hashes[i] = token_hash(column.cell(block[i]));
      counts_.prefetch(table_of_[field], hashes[i]);
    }
    for (size_t i = 0; i < block.size(); ++i) {
      if (!parser_.missing(column, block[i])) counts_.add(table_of_[field], column.cell(block[i]), hashes[i], 1);
    }
  }
}

void EncoderBuilder::count_buckets(size_t field, const std::vector<double>& numbers, std::span<const int32_t> rows) {
  const auto& missing = parser_.encoding(field).values.missing;
  std::map<int64_t, int64_t> found;
  std::vector<int64_t> common(1024, 0);  // nearly every bucket is below this
  for (const int32_t r : rows) {
    double x = numbers[size_t(r)];
    if (std::isnan(x) && missing) x = *missing;
    if (std::isnan(x)) continue;
    const int64_t bucket = log_square_bucket(x);
    if (bucket >= 0 && bucket < int64_t(common.size())) {
      ++common[size_t(bucket)];
    } else {
      ++found[bucket];
    }
  }
  for (size_t b = 0; b < common.size(); ++b) {
    if (common[b] > 0) found[int64_t(b)] = common[b];
  }
  for (const auto& [bucket, n] : found) counts_.add(table_of_[field], std::to_string(bucket), n);
}

void EncoderBuilder::count_lists(size_t field, const RowValues::Lists& lists, std::span<const int32_t> rows) {
  for (const int32_t r : rows) {
    for (int64_t i = lists.offsets[size_t(r)]; i < lists.offsets[size_t(r) + 1]; ++i) {
      if (!lists.tokens[size_t(i)].empty()) counts_.add(table_of_[field], lists.tokens[size_t(i)]);
    }
  }
}

const Vocabulary* EncoderBuilder::kept_vocabulary(const std::string& table) const {
  if (!base_) return nullptr;
  const auto& tables = state(*base_).vocabularies;
  const auto found = tables.find(table);
  return found == tables.end() ? nullptr : found->second.get();
}

/// Kept tokens first, in their old order; then the new ones by falling count, ties by bytes.
Vocabulary EncoderBuilder::build_vocabulary(size_t table, int64_t min_count) {
  const Vocabulary* const base = kept_vocabulary(tables_[table]);
  Vocabulary out;
  for (int64_t id = 1; base && id <= base->size(); ++id) out.add(base->token(id), base->count(id));
  std::string bytes;
  std::vector<uint64_t> ends;
  std::vector<int64_t> counts;
  counts_.merge(table, [&](std::string_view token, int64_t count) {
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
  return out;
}

void EncoderBuilder::fit_numbers(FieldEncoding::Values& values, const Statistics& s) {
  if (values.transform == "standardise" && s.n > 0) {
    values.shift = s.mean;
    values.scale = std::sqrt(s.squares / double(s.n));
  } else if (values.transform == "min_max" && s.n > 0) {
    values.shift = s.low;
    values.scale = s.high - s.low;
  }
  if (!(values.scale > 0)) values.scale = 1;  // a constant column
}

Encoder EncoderBuilder::build() {
  Vocabularies vocabularies;
  std::map<std::string, std::string> checksums;
  for (size_t t = 0; t < tables_.size(); ++t) {
    auto vocabulary = std::make_shared<Vocabulary>(build_vocabulary(t, spec_.min_count.at(tables_[t])));
    checksums[tables_[t]] = vocabulary->checksum();
    vocabularies.emplace(tables_[t], std::move(vocabulary));
  }
  std::vector<Field> fields = parser_.schema().fields();
  for (size_t f = 0; f < fields.size(); ++f) {
    FieldEncoding encoding = parser_.encoding(f);
    const Field* const old = base_ ? base_->schema().find(fields[f].name) : nullptr;
    if (table_of_[f] != kNone) {
      fields[f].rows = vocabularies.at(tables_[table_of_[f]])->rows();
      encoding.values.tokens = checksums.at(tables_[table_of_[f]]);
    } else if (encoding.values.hash_buckets > 0) {
      fields[f].rows = encoding.values.hash_buckets + 2;
    } else if (old && old->kind == FieldKind::numeric) {
      FieldEncoding kept;
      read_options(kept, old->encoding);
      INTERPLAY_CHECK(kept.values.transform == encoding.values.transform,
                      "field '{}': transform {} here, {} in the data whose vocabulary is kept; make them equal",
                      old->name, encoding.values.transform, kept.values.transform);
      encoding.values.shift = kept.values.shift;
      encoding.values.scale = kept.values.scale;
    } else if (fields[f].kind == FieldKind::numeric) {
      fit_numbers(encoding.values, statistics_[f]);
    }
    fields[f].encoding = to_config(encoding);
  }
  Schema schema(std::move(fields), spec_.label_names());
  schema.source = spec_.resolved;
  Encoder out;
  out.state_ = std::make_shared<const Encoder::State>(std::move(schema), spec_, std::move(vocabularies));
  return out;
}

}  // namespace interplay
