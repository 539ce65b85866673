#include "data/check/advice.h"
#include "data/check/field_cells.h"
#include "data/check/smallest_hashes.h"

namespace interplay {
namespace {

/// Fields that give nearly every training row a value of its own.
class NearUnique final : public Check {
 public:
  using Options = NoOptions;
  NearUnique(const CheckedData& data, const Options&)
      : parser_(data.parser), fields_(parser_.schema().fields().size(), Seen{0, SmallestHashes<int64_t>(kHashes)}) {}

  void see(const CheckedBatch& batch) override {
    const FieldCells cells(parser_, batch.values);
    for (size_t f = 0; f < fields_.size(); ++f) {
      if (FieldCells::shape(parser_, f) != FieldCells::Shape::tokens) continue;
      for (size_t i = 0; i < batch.splits.size(); ++i) {
        if (batch.splits[i] != 0) continue;
        cells.tokens(f, batch.values.rows[i], [&](std::string_view token) {
          if (token.empty()) return;
          ++fields_[f].present;
          if (int64_t* const count = fields_[f].values.at(token_hash(token))) ++*count;
        });
      }
    }
  }

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    constexpr double kShare = 0.9;
    constexpr int64_t kLeast = 100;
    for (size_t f = 0; f < fields_.size(); ++f) {
      const Seen& seen = fields_[f];
      if (seen.present == 0) continue;
      const double distinct = std::min(seen.values.distinct(), double(seen.present));
      figures_of(report, facts, f).figures.push_back({"values", std::round(distinct), CheckReport::Unit::count});
      if (seen.present < kLeast || distinct < kShare * double(seen.present)) continue;
      Finding& finding = report.findings.emplace_back();
      finding.severity = Finding::Severity::warning;
      finding.field = parser_.schema().fields()[f].name;
      finding.text = fmt::format(
          "{}{:.0f} values in {} training rows: nearly each has one of its own, and nothing is learnt of it",
          seen.values.is_whole() ? "" : "about ", distinct, seen.present);
      finding.rows = shown_rows(facts, {parser_.encoding(f).column}, [](const SampledRows&, int64_t) { return true; });
      finding.remedy = "leave it out, or make a field of what it says (the day of a time, the domain of an address)";
      finding.yaml = fields_without(facts.data, f);
    }
  }

 private:
  static constexpr size_t kHashes = 4096;
  struct Seen {
    int64_t present;
    SmallestHashes<int64_t> values;  // with their rows
  };
  const RowParser& parser_;
  std::vector<Seen> fields_;  // beside the schema's
};

INTERPLAY_REGISTER(checks(), "near_unique", NearUnique, "fields with a value of its own for nearly every row");

}  // namespace
}  // namespace interplay
