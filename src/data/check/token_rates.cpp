#include "data/check/token_rates.h"

#include <cmath>

#include <interplay/base/random.h>

#include "data/check/checks.h"
#include "data/check/field_cells.h"

namespace interplay {
namespace {

constexpr uint64_t kFoldSeed = 1, kFoldStream = 0x666f6c64;  // "fold"

}  // namespace

size_t TokenRates::fold(int64_t number) { return random_bits(kFoldSeed, kFoldStream, uint64_t(number)) % kFolds; }

TokenRates::TokenRates(const RowParser& parser, std::span<const SampledRows> sample)
    : parser_(parser), labels_(parser.schema().labels().size()), all_(labels_ * kFolds) {
  const auto& fields = parser.schema().fields();
  fields_.resize(fields.size());
  for (size_t f = 0; f < fields.size(); ++f) {
    if (FieldCells::shape(parser, f) == FieldCells::Shape::tokens) fields_[f].tokens = &tables_[fields[f].table];
  }
  for (const SampledRows& rows : sample) {
    if (rows.rows() == 0) continue;
    const FieldCells cells(parser, rows.values);
    for (size_t f = 0; f < fields_.size(); ++f) {
      if (!fields_[f].tokens) continue;
      for (const int32_t r : rows.values.rows) {
        cells.tokens(f, r, [&](std::string_view token) { fields_[f].tokens->insert(token); });
      }
    }
  }
  for (Field& field : fields_) {
    if (!field.tokens) continue;
    field.seen.resize(field.tokens->size());
    field.counts.resize(field.tokens->size() * labels_ * kFolds);
  }
}

void TokenRates::see(const CheckedBatch& batch) {
  const RowValues& values = batch.values;
  const FieldCells cells(parser_, values);
  for (size_t i = 0; i < values.rows.size(); ++i) {
    if (batch.splits[i] != 0) continue;
    const int32_t r = values.rows[i];
    const size_t fold = TokenRates::fold(batch.first + int64_t(i));
    const float* const labels = values.labels.data() + size_t(r) * labels_;
    const auto count = [&](Count* counts) {
      for (size_t t = 0; t < labels_; ++t) {
        if (std::isnan(labels[t])) continue;
        ++counts[t * kFolds + fold].rows;
        counts[t * kFolds + fold].positive += labels[t] > 0 ? 1 : 0;
      }
    };
    count(all_.data());
    for (size_t f = 0; f < fields_.size(); ++f) {
      if (!fields_[f].tokens) continue;
      cells.tokens(f, r, [&](std::string_view token) {
        const uint32_t at = fields_[f].tokens->find(token);
        if (at == TokenIndex::kAbsent) return;
        ++fields_[f].seen[at];
        count(&fields_[f].counts[place(at, 0, 0)]);
      });
    }
  }
}

int64_t TokenRates::seen(size_t field, std::string_view token) const {
  const uint32_t at = fields_[field].tokens->find(token);
  if (at == TokenIndex::kAbsent) return 0;
  int64_t sum = 0;
  for (const Field& other : fields_) sum += other.tokens == fields_[field].tokens ? other.seen[at] : 0;
  return sum;
}

TokenRates::Count TokenRates::without(const Count* folds, size_t fold) const {
  Count sum;
  for (size_t i = 0; i < kFolds; ++i) {
    if (i != fold) sum.rows += folds[i].rows, sum.positive += folds[i].positive;
  }
  return sum;
}

double TokenRates::rate(size_t field, std::string_view token, size_t label, size_t fold) const {
  const Count all = without(&all_[label * kFolds], fold);
  const double prior = all.rows > 0 ? double(all.positive) / double(all.rows) : 0.5;
  const uint32_t at = fields_[field].tokens->find(token);
  if (at == TokenIndex::kAbsent) return prior;
  const Count own = without(&fields_[field].counts[place(at, label, 0)], fold);
  return (double(own.positive) + prior) / (double(own.rows) + 1);
}

}  // namespace interplay
