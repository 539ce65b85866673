#include <algorithm>
#include <cmath>
#include <unordered_map>

#include <interplay/base/files.h>

#include "data/check/advice.h"
#include "data/check/smallest_hashes.h"

namespace interplay {
namespace {

/// Rows that are there more than once, in all columns that are read or in all but the labels'.
class Duplicates final : public Check {
 public:
  using Options = NoOptions;
  Duplicates(const CheckedData& data, const Options&) : data_(data), rows_(kHashes) {}

  void see(const CheckedBatch& batch) override {
    const RawBatch& raw = batch.values.raw;
    std::vector<const RawColumn*> labels, others;
    for (const auto& name : data_.parser.columns(true)) {
      const RawColumn* const column = raw.find(name);
      if (column) (is_label(name) ? labels : others).push_back(column);
    }
    for (size_t i = 0; i < batch.splits.size(); ++i) {
      if (batch.splits[i] > 2) continue;
      const int32_t r = batch.values.rows[i];
      Group* const group = rows_.at(hash_of(others, r));
      if (group) group->add(batch.splits[i], hash_of(labels, r), raw, r);
    }
  }

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    Sums sums;
    for (const auto& [hash, group] : rows_.kept()) sums.add(group);
    if (sums.whole + sums.but_label == 0) return;
    const double scale = double(facts.rows[0] + facts.rows[1] + facts.rows[2]) / double(sums.rows);
    const double chance = by_chance(facts);
    tell(facts, report, scale * double(sums.whole + sums.but_label), scale, chance, sums);
  }

 private:
  static constexpr size_t kHashes = 1 << 16;
  struct Group {
    std::array<int64_t, 3> rows{};
    int64_t whole = 0;                // equal to an earlier one in the labels too
    std::vector<uint64_t> labels;     // distinct ones, by hash
    std::vector<std::string> places;  // of the first
    void add(uint8_t split, uint64_t label, const RawBatch& raw, int32_t row) {
      ++rows[split];
      if (std::find(labels.begin(), labels.end(), label) != labels.end())
        ++whole;
      else
        labels.push_back(label);
      if (places.size() < 2) places.push_back(raw.place(row));
    }
    int64_t count() const { return rows[0] + rows[1] + rows[2]; }
  };
  struct Sums {
    int64_t rows = 0, whole = 0, but_label = 0, known = 0, held_out = 0;
    void add(const Group& g) {
      rows += g.count();
      whole += g.whole;
      but_label += int64_t(g.labels.size()) - 1;
      held_out += g.rows[1] + g.rows[2];
      known += g.rows[0] > 0 ? g.rows[1] + g.rows[2] : 0;
    }
  };

  bool is_label(const std::string& column) const {
    return std::any_of(data_.spec.labels.begin(), data_.spec.labels.end(),
                       [&](const LabelOptions& label) { return label.column == column; });
  }

  static uint64_t hash_of(const std::vector<const RawColumn*>& columns, int32_t row) {
    uint64_t hash = 0;
    for (const RawColumn* column : columns) {
      const int64_t begin = column->is_list() ? column->list_offsets[row] : row;
      const int64_t end = column->is_list() ? column->list_offsets[row + 1] : row + 1;
      hash += uint64_t(end - begin);
      for (int64_t c = begin; c < end; ++c) hash = hash64(column->cell(c), hash);
    }
    return hash;
  }

  /// How many rows would equal an earlier one if each column were drawn by itself.
  double by_chance(const CheckFacts& facts) const {
    const SampledRows& sample = facts.sample[0];
    const auto n = double(sample.rows());
    double equal = n > 1 ? 1 : 0;  // chance that two rows are
    for (const auto& name : data_.parser.columns(true)) {
      const RawColumn* const column = n > 1 && !is_label(name) ? sample.values.raw.find(name) : nullptr;
      if (!column) continue;
      std::unordered_map<uint64_t, double> counts;
      for (int32_t r = 0; r < int32_t(n); ++r) ++counts[hash_of({column}, r)];
      double pairs = 0;
      for (const auto& [hash, count] : counts) pairs += count * (count - 1);
      equal *= pairs / (n * (n - 1));
    }
    const auto rows = double(facts.rows[0] + facts.rows[1] + facts.rows[2]);
    return std::min(rows, 0.5 * rows * (rows - 1) * equal);
  }

  void tell(const CheckFacts& facts, CheckReport& report, double found, double scale, double chance,
            const Sums& sums) const {
    constexpr double kTimes = 3, kWarning = 0.01;
    if (found < kTimes * chance) return;
    const auto rows = double(facts.rows[0] + facts.rows[1] + facts.rows[2]);
    const bool has_time = !time_column(data_).empty();
    const char* const about = rows_.is_whole() ? "" : "about ";
    Finding f;
    f.severity = has_time && found >= kWarning * rows ? Finding::Severity::warning : Finding::Severity::note;
    if (sums.whole > 0) {
      f.text = fmt::format("{}{:.0f} rows ({}) equal an earlier one in all {} columns that are read", about,
                           scale * double(sums.whole), percent(double(sums.whole) / double(sums.rows)),
                           data_.parser.columns(true).size());
      if (sums.known > 0)
        f.text += fmt::format("; {} of the valid and test rows are training rows, too, the label aside",
                              percent(double(sums.known) / double(sums.held_out)));
      f.remedy = "write each row once; copies count as evidence, and those of held-out rows are known beforehand";
      f.rows = twins(facts, [](const Group& g) { return g.whole > 0; });
      report.findings.push_back(f);
    }
    if (sums.but_label == 0) return;
    f.text = fmt::format("{}{:.0f} rows ({}) equal an earlier one in all but the label", about,
                         scale * double(sums.but_label), percent(double(sums.but_label) / double(sums.rows)));
    f.remedy =
        "no model can tell these apart: see whether an impression and its click are two rows, which should be one";
    f.rows = twins(facts, [](const Group& g) { return g.labels.size() > 1; });
    report.findings.push_back(std::move(f));
  }

  /// The first two places of some groups, in the order of their hashes.
  template <class IsShown>
  std::vector<Finding::Row> twins(const CheckFacts&, IsShown&& is_shown) const {
    std::vector<std::pair<uint64_t, const Group*>> shown;
    for (const auto& [hash, group] : rows_.kept()) {
      if (is_shown(group)) shown.emplace_back(hash, &group);
    }
    std::sort(shown.begin(), shown.end());
    std::vector<Finding::Row> out;
    for (size_t i = 0; i < std::min(shown.size(), kShownRows); ++i) {
      const Group& g = *shown[i].second;
      out.push_back({g.places[0], {{"as", g.places[1]}, {"rows", std::to_string(g.count())}}});
    }
    return out;
  }

  const CheckedData& data_;
  SmallestHashes<Group> rows_;  // by the hash of all columns but the labels'
};

INTERPLAY_REGISTER(checks(), "duplicates", Duplicates,
                   "rows that are there more than once, with the same label or another");

}  // namespace
}  // namespace interplay
