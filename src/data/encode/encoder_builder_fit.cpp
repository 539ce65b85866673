#include <algorithm>
#include <mutex>
#include <numeric>

#include <interplay/base/in_order.h>

#include "data/encode/catalogue.h"
#include "data/encode/encoder_builder.h"

// What comes after counting: vocabularies, the fitted schema, and codes to ids.
namespace interplay {
namespace {

constexpr size_t kIdRows = 256;  // rows whose ids stay in the L1 cache while columns are filled in
constexpr size_t kIdsKept = 2;   // epochs of a table: rows that are resolved at once come from neighbouring ones

std::shared_ptr<const std::vector<int32_t>> ids_by_code(const TokenCounts& counts, size_t table, int64_t epoch,
                                                        const Vocabulary& vocabulary) {
  const auto unseen = int32_t(vocabulary.rows() - 1);
  auto ids = std::make_shared<std::vector<int32_t>>(1 + counts.codes(table, epoch), unseen);
  counts.each(table, epoch, [&](std::string_view token, uint32_t code) { (*ids)[1 + code] = vocabulary.id(token); });
  return ids;
}

}  // namespace

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
  if (base && !new_tokens_) return out;
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
  } else if (out.kind == FieldKind::vector) {
    encoding.values.tokens = spec_.sources[f]->vector_space().checksum;
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
    const auto place = size_t(field - schema.fields().data());
    const NumberRule& rule = built_->parser.numbers(place);
    for (size_t i = 0; i < picked.size(); ++i) {
      const double number = rows.numbers[column][picked[i]];
      unseen[place].missing += std::isnan(number);
      out.dense[i * rows.numbers.size() + column] = rule.dense(number);
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
  std::vector<int32_t> absent(F);  // what a missing value becomes
  for (const Field* field : built_->schema.of(FieldKind::categorical)) {
    const auto& codes = rows.categorical[size_t(field->column)];
    if (codes.epoch != CodedRows::kIds) ids[size_t(field->column)] = ids_of(table_of(*field), codes.epoch);
    absent[size_t(field->column)] = int32_t(field->rows - 1);
  }
  out.ids.resize(picked.size() * F);
  for (size_t first = 0; first < picked.size(); first += kIdRows) {
    const auto block = picked.subspan(first, std::min(kIdRows, picked.size() - first));
    for (size_t column = 0; column < F; ++column) {
      const uint32_t* const codes = rows.categorical[column].values.data();
      const int32_t* const id = ids[column] ? ids[column]->data() : nullptr;
      int32_t* to = out.ids.data() + first * F + column;
      const int32_t last = absent[column];
      int64_t present = 0, at_last = 0;
      for (const uint32_t r : block) {
        const uint32_t code = codes[r];  // once: what is written might be codes, for all that the compiler knows
        const int32_t found = id ? id[code] : int32_t(code);
        *to = found;
        present += code != 0;
        at_last += found == last;
        to += F;
      }
      const int64_t missing = id ? int64_t(block.size()) - present : at_last;  // a hash is never the last id
      counts[column].missing += missing;
      if (!id) continue;
      counts[column].present += present;
      counts[column].unseen += at_last - missing;
    }
  }
  for (const Field* field : built_->schema.of(FieldKind::categorical))
    unseen[size_t(field - built_->schema.fields().data())] = counts[size_t(field->column)];
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
