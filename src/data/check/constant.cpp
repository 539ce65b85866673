#include <optional>

#include "data/check/advice.h"
#include "data/check/field_cells.h"

namespace interplay {
namespace {

/// Fields that are the same in all training rows.
class Constant final : public Check {
 public:
  using Options = NoOptions;
  Constant(const CheckedData& data, const Options&) : parser_(data.parser), first_(parser_.schema().fields().size()) {
    varies_.resize(first_.size());
  }

  void see(const CheckedBatch& batch) override {
    const FieldCells cells(parser_, batch.values);
    for (size_t f = 0; f < first_.size(); ++f) {
      if (FieldCells::shape(parser_, f) == FieldCells::Shape::other) continue;
      for (size_t i = 0; i < batch.splits.size() && !varies_[f]; ++i) {
        if (batch.splits[i] != 0) continue;
        const std::string value = told(cells, f, batch.values.rows[i]);
        if (!first_[f]) first_[f] = value;
        varies_[f] = value != *first_[f];
      }
    }
  }

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    for (size_t f = 0; f < first_.size(); ++f) {
      if (!first_[f] || varies_[f]) continue;
      Finding& finding = report.findings.emplace_back();
      finding.severity = Finding::Severity::warning;
      finding.field = parser_.schema().fields()[f].name;
      finding.text = first_[f]->empty()
                         ? fmt::format("missing in all {} training rows", facts.rows[0])
                         : fmt::format("is '{}' in all {} training rows: it tells nothing", *first_[f], facts.rows[0]);
      finding.rows = shown_rows(facts, {parser_.encoding(f).column}, [&](const SampledRows& rows, int64_t i) {
        return told(FieldCells(parser_, rows.values), f, int32_t(i)) != *first_[f];
      });
      finding.remedy =
          finding.rows.empty() ? "leave it out" : "leave it out; the rows below, of other splits, have another value";
      finding.yaml = fields_without(facts.data, f);
    }
  }

 private:
  std::string told(const FieldCells& cells, size_t f, int32_t row) const {
    if (FieldCells::shape(parser_, f) == FieldCells::Shape::number)
      return cells.missing(f, row) ? "" : fmt::format("{}", cells.number(f, row));
    std::string out;
    cells.tokens(f, row, [&](std::string_view token) { out += (out.empty() ? "" : "|") + std::string(token); });
    return out;
  }

  const RowParser& parser_;
  std::vector<std::optional<std::string>> first_;  // beside the fields; of the first training row
  std::vector<bool> varies_;
};

INTERPLAY_REGISTER(checks(), "constant", Constant, "fields that are the same in every training row");

}  // namespace
}  // namespace interplay
