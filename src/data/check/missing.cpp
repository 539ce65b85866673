#include "data/check/advice.h"
#include "data/check/field_cells.h"

namespace interplay {
namespace {

/// How much of each field is there.
class Missing final : public Check {
 public:
  using Options = NoOptions;
  Missing(const CheckedData& data, const Options&) : parser_(data.parser), missing_(parser_.schema().fields().size()) {}

  void see(const CheckedBatch& batch) override {
    const FieldCells cells(parser_, batch.values);
    for (size_t f = 0; f < missing_.size(); ++f) {
      if (FieldCells::shape(parser_, f) == FieldCells::Shape::other) continue;
      for (size_t i = 0; i < batch.splits.size(); ++i) {
        if (batch.splits[i] < 3 && cells.missing(f, batch.values.rows[i])) ++missing_[f];
      }
    }
  }

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    constexpr double kNote = 0.5, kWarning = 0.95;
    const auto rows = double(facts.rows[0] + facts.rows[1] + facts.rows[2]);
    for (size_t f = 0; rows > 0 && f < missing_.size(); ++f) {
      if (FieldCells::shape(parser_, f) == FieldCells::Shape::other) continue;
      const double share = double(missing_[f]) / rows;
      figures_of(report, facts, f).figures.push_back({"missing", share, CheckReport::Unit::share});
      if (share < kNote) continue;
      Finding& finding = report.findings.emplace_back();
      finding.severity = share < kWarning ? Finding::Severity::note : Finding::Severity::warning;
      finding.field = parser_.schema().fields()[f].name;
      finding.text = fmt::format("missing in {} of the rows", percent(share));
      const std::string& column = parser_.encoding(f).column;
      finding.rows = shown_rows(facts, {column}, [&](const SampledRows& rows, int64_t i) {
        return !FieldCells(parser_, rows.values).missing(f, int32_t(i));
      });
      finding.remedy = share < kWarning
                           ? "a missing value is a value of its own to a model; nothing needs to be done"
                           : "see whether the rows that have it are worth a field (below); else leave it out";
      if (share >= kWarning) finding.yaml = fields_without(facts.data, f);
    }
  }

 private:
  const RowParser& parser_;
  std::vector<int64_t> missing_;  // beside the fields
};

INTERPLAY_REGISTER(checks(), "missing", Missing, "fields that most rows lack");

}  // namespace
}  // namespace interplay
