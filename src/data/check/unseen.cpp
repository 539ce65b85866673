#include "data/check/advice.h"
#include "data/check/field_cells.h"

namespace interplay {
namespace {

/// Values that the vocabularies of the training rows will not hold.
class UnseenValues final : public Check {
 public:
  using Options = NoOptions;
  UnseenValues(const CheckedData&, const Options&) {}

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    for (size_t f = 0; facts.rows[0] > 0 && f < facts.data.parser.schema().fields().size(); ++f) {
      if (has_vocabulary(facts.data, f)) judge_field(facts, f, report);
    }
  }

 private:
  static constexpr double kNote = 0.1, kWarning = 0.5, kNearlyAll = 0.9;

  static bool has_vocabulary(const CheckedData& data, size_t f) {
    if (FieldCells::shape(data.parser, f) != FieldCells::Shape::tokens) return false;
    return data.parser.encoding(f).values.hash_buckets == 0;
  }
  static int64_t least(const CheckFacts& facts, size_t f) {
    return facts.data.spec.min_count.at(facts.data.parser.schema().fields()[f].table);
  }

  static void judge_field(const CheckFacts& facts, size_t f, CheckReport& report) {
    double most = 0;
    std::vector<std::string> told;
    std::vector<Finding::Row> rows;
    for (size_t s = 1; s < 3; ++s) {
      if (facts.rows[s] == 0) continue;
      const double share = unseen(facts, f, facts.sample[s], rows);
      figures_of(report, facts, f)
          .figures.push_back({fmt::format("unseen {}", kCheckedSplits[s]), share, CheckReport::Unit::share});
      told.push_back(fmt::format("{} of its values in the {} rows", percent(share), kCheckedSplits[s]));
      most = std::max(most, share);
    }
    if (most < kNote) return;
    Finding& finding = report.findings.emplace_back();
    finding.severity = most < kWarning ? Finding::Severity::note : Finding::Severity::warning;
    finding.field = facts.data.parser.schema().fields()[f].name;
    finding.text =
        fmt::format("{} are in {}", fmt::join(told, " and "),
                    least(facts, f) > 1 ? fmt::format("fewer than {} training rows (min_count)", least(facts, f))
                                        : "no training row");
    finding.rows = std::move(rows);
    advise(facts, f, most, finding);
  }

  /// The share of a sample's values; rows that hold such are added to `rows`, while there are few.
  static double unseen(const CheckFacts& facts, size_t f, const SampledRows& sample, std::vector<Finding::Row>& rows) {
    const FieldCells cells(facts.data.parser, sample.values);
    int64_t present = 0, unseen = 0;
    for (int64_t i = 0; i < sample.rows(); ++i) {
      const int64_t before = unseen;
      cells.tokens(f, int32_t(i), [&](std::string_view token) {
        if (token.empty()) return;
        ++present;
        unseen += facts.rates.seen(f, token) < least(facts, f) ? 1 : 0;
      });
      if (unseen > before && rows.size() < kShownRows)
        rows.push_back(shown_row(facts, sample, i, {facts.data.parser.encoding(f).column}));
    }
    return present > 0 ? double(unseen) / double(present) : 0;
  }

  static void advise(const CheckFacts& facts, size_t f, double share, Finding& finding) {
    finding.remedy = "to a model they are all one value";
    if (share >= kNearlyAll) finding.remedy += "; are they written as in the training rows? 12 and 12.0 are two values";
    const Field& field = facts.data.parser.schema().fields()[f];
    if (least(facts, f) > 1 || field.table != field.name) return;
    finding.remedy += ", which no training row has; with a min_count of 2 or more, it is learnt from rare values";
    Config entry = entry_of(facts.data, f);
    entry.set("min_count", Config::scalar("2"));
    finding.yaml = fields_with(facts.data, f, entry);
  }
};

INTERPLAY_REGISTER(checks(), "unseen", UnseenValues, "fields whose values in valid or test are in no training row");

}  // namespace
}  // namespace interplay
