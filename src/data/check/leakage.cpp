#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <interplay/base/auc_sum.h>
#include <interplay/data/number.h>

#include "data/check/advice.h"
#include "data/check/field_cells.h"

namespace interplay {
namespace {

constexpr double kNoAuc = std::numeric_limits<double>::quiet_NaN();

struct Scored {
  double score;
  bool positive;
  size_t fold;  // 0 for all where scores do not depend on it
};

/// Rows are compared within their folds, since what a token is worth depends on the fold.
double auc_of(std::vector<Scored> rows) {
  std::sort(rows.begin(), rows.end(),
            [](const Scored& a, const Scored& b) { return std::pair(a.fold, a.score) < std::pair(b.fold, b.score); });
  double sum = 0, pairs = 0;
  for (size_t i = 0; i < rows.size();) {
    AucSum auc;
    double all_positives = 0, all_negatives = 0;
    for (const size_t fold = rows[i].fold; i < rows.size() && rows[i].fold == fold;) {
      double positives = 0, negatives = 0;
      for (const double score = rows[i].score; i < rows.size() && rows[i].fold == fold && rows[i].score == score; ++i)
        ++(rows[i].positive ? positives : negatives);
      auc.add(positives, negatives);
      all_positives += positives, all_negatives += negatives;
    }
    if (!auc.both_classes()) continue;
    sum += auc.value() * all_positives * all_negatives;
    pairs += all_positives * all_negatives;
  }
  return sum / pairs;  // NaN where no fold has both classes
}

/// Fields that say too much of the label to have been known before it.
class Leakage final : public Check {
 public:
  using Options = NoOptions;
  Leakage(const CheckedData&, const Options&) {}

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    if (facts.sample[0].rows() == 0) return;
    for (size_t t = 0; t < facts.data.spec.labels.size(); ++t) judge_label(facts, t, report);
  }

 private:
  /// What a field says of a label by itself.
  struct Alone {
    double auc = kNoAuc;       ///< of its number, either way round, or of its tokens' rates without the row's fold
    double auc_missing = 0.5;  ///< of its being missing, either way round
    double most() const { return std::isnan(auc) ? auc_missing : std::max(auc, auc_missing); }
  };

  static Alone alone(const CheckFacts& facts, size_t f, size_t t) {
    const SampledRows& rows = facts.sample[0];
    const FieldCells cells(facts.data.parser, rows.values);
    const bool number = FieldCells::shape(facts.data.parser, f) == FieldCells::Shape::number;
    std::vector<Scored> values, missing;
    for (int64_t i = 0; i < rows.rows(); ++i) {
      const float label = rows.label(i, t);
      if (std::isnan(label)) continue;
      const bool is_missing = cells.missing(f, int32_t(i));
      missing.push_back({is_missing ? 1.0 : 0.0, label > 0, 0});
      if (number && is_missing) continue;
      const size_t fold = TokenRates::fold(rows.numbers[size_t(i)]);
      values.push_back(number ? Scored{cells.number(f, int32_t(i)), label > 0, 0}
                              : Scored{mean_rate(facts, cells, f, t, i, fold), label > 0, fold});
    }
    const auto either_way = [](double auc) { return std::isnan(auc) ? auc : std::max(auc, 1 - auc); };
    Alone out{auc_of(std::move(values)), either_way(auc_of(std::move(missing)))};
    if (number) out.auc = either_way(out.auc);
    if (std::isnan(out.auc_missing)) out.auc_missing = 0.5;
    return out;
  }

  static double mean_rate(const CheckFacts& facts, const FieldCells& cells, size_t f, size_t t, int64_t row,
                          size_t fold) {
    double sum = 0, n = 0;
    cells.tokens(f, int32_t(row), [&](std::string_view token) { sum += facts.rates.rate(f, token, t, fold), ++n; });
    return sum / n;
  }

  static void judge_label(const CheckFacts& facts, size_t t, CheckReport& report) {
    const RowParser& parser = facts.data.parser;
    const std::string& label = facts.data.spec.labels[t].name;
    std::vector<std::pair<double, size_t>> ranked;
    std::vector<Alone> all(parser.schema().fields().size());
    for (size_t f = 0; f < all.size(); ++f) {
      if (FieldCells::shape(parser, f) == FieldCells::Shape::other) continue;
      all[f] = alone(facts, f, t);
      const std::string name = facts.data.spec.labels.size() > 1 ? fmt::format("AUC alone, {}", label) : "AUC alone";
      figures_of(report, facts, f).figures.push_back({name, all[f].auc, CheckReport::Unit::number});
      ranked.emplace_back(all[f].most(), f);
    }
    std::sort(ranked.rbegin(), ranked.rend());
    const bool enough = has_both_classes(facts, t);
    for (size_t i = 0; i < ranked.size(); ++i) {
      const double next = i + 1 < ranked.size() ? ranked[i + 1].first : 0.5;
      const size_t f = ranked[i].second;
      if (!tell_column(facts, f, t, report) && enough) tell_auc(facts, f, t, all[f], i == 0 ? next : 1, report);
    }
  }

  /// Enough of either that an AUC is no accident.
  static bool has_both_classes(const CheckFacts& facts, size_t t) {
    constexpr int64_t kLeast = 10;
    std::array<int64_t, 2> count{};
    for (int64_t i = 0; i < facts.sample[0].rows(); ++i) {
      const float label = facts.sample[0].label(i, t);
      if (!std::isnan(label)) ++count[label > 0];
    }
    return count[0] >= kLeast && count[1] >= kLeast;
  }

  /// The field reads the label's column.
  static bool tell_column(const CheckFacts& facts, size_t f, size_t t, CheckReport& report) {
    const LabelOptions& label = facts.data.spec.labels[t];
    const std::string& column = facts.data.parser.encoding(f).column;
    if (column != label.column) return false;
    Finding& finding = report.findings.emplace_back();
    finding.severity = Finding::Severity::severe;
    finding.text = fmt::format("reads column '{}', which the label '{}' is made of", column, label.name);
    tell_rows(facts, f, finding);
    return true;
  }

  static void tell_auc(const CheckFacts& facts, size_t f, size_t t, const Alone& alone, double next,
                       CheckReport& report) {
    constexpr double kSevere = 0.95, kWarning = 0.8, kAbove = 0.1;
    const double auc = alone.most();
    const LabelOptions& label = facts.data.spec.labels[t];
    const bool called = is_called(facts.data.parser.encoding(f).column, label);
    if (auc < kSevere && (auc < kWarning || auc < next + kAbove) && !called) return;
    Finding& finding = report.findings.emplace_back();
    finding.severity = auc >= kSevere    ? Finding::Severity::severe
                       : auc >= kWarning ? Finding::Severity::warning
                                         : Finding::Severity::note;
    const bool by_missing = alone.auc_missing >= auc;
    finding.text =
        fmt::format("{} AUC {:.4f} of the label '{}'{}", by_missing ? "whether it is missing alone has" : "alone has",
                    auc, label.name, equality(facts, f, t));
    if (called) finding.text += fmt::format("; its column is called '{}'", facts.data.parser.encoding(f).column);
    if (auc >= kWarning && auc < kSevere && next < 1)
      finding.text += fmt::format("; the next best field has {:.4f}", next);
    tell_rows(facts, f, finding);
  }

  static void tell_rows(const CheckFacts& facts, size_t f, Finding& finding) {
    finding.field = facts.data.parser.schema().fields()[f].name;
    finding.rows =
        shown_rows(facts, {facts.data.parser.encoding(f).column}, [](const SampledRows&, int64_t) { return true; });
    finding.remedy = "was it known before the label? Where it was not, leave it out";
    finding.yaml = fields_without(facts.data, f);
  }

  static bool is_called(std::string column, const LabelOptions& label) {
    const auto lower = [](std::string text) {
      std::transform(text.begin(), text.end(), text.begin(),
                     [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
      return text;
    };
    column = lower(column);
    for (const auto& name : {lower(label.name), lower(label.column), std::string("label"), std::string("target")}) {
      if (name.size() >= 4 && column.find(name) != column.npos) return true;
    }
    return false;
  }

  /// What more can be said: that it is the label, or that each of its values goes with one.
  static std::string equality(const CheckFacts& facts, size_t f, size_t t) {
    const SampledRows& rows = facts.sample[0];
    const RawColumn* const column = rows.values.raw.find(facts.data.parser.encoding(f).column);
    if (!column || column->is_list()) return "";
    std::map<std::string_view, std::array<int64_t, 2>> counts;
    bool same = true;
    for (int64_t i = 0; i < rows.rows(); ++i) {
      const float label = rows.label(i, t);
      if (std::isnan(label)) continue;
      double x = 0;
      same = same && parse_number(column->cell(i), x) && x == double(label);
      ++counts[column->cell(i)][label > 0];
    }
    if (same) return ", which it equals in every row";
    for (const auto& [value, count] : counts) {
      if (count[0] > 0 && count[1] > 0) return "";
    }
    if (2 * counts.size() > size_t(rows.rows())) return "";
    return fmt::format("; each of its {} values goes with one label", counts.size());
  }
};

INTERPLAY_REGISTER(checks(), "leakage", Leakage, "fields that say too much of the label to have been known before it");

}  // namespace
}  // namespace interplay
