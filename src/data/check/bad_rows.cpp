#include <set>

#include "data/check/advice.h"

namespace interplay {
namespace {

/// prepare() stops at such a row, so this is what has to be mended first.
class BadRowsOfFiles final : public Check {
 public:
  using Options = NoOptions;
  BadRowsOfFiles(const CheckedData&, const Options&) {}

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    const int64_t good = facts.rows[0] + facts.rows[1] + facts.rows[2] + report.left_out_rows;
    for (const auto& [column, bad] : facts.bad_rows.columns()) {
      Finding& f = report.findings.emplace_back();
      f.severity = Finding::Severity::severe;
      const double share = double(bad.rows) / double(bad.rows + good);
      f.text = fmt::format("{} row{} ({}) cannot be used: {}", bad.rows, bad.rows == 1 ? "" : "s", percent(share),
                           told(column, bad.first.front()));
      for (const auto& row : bad.first) {
        f.rows.push_back({fmt::format("{}:{}", row.file, row.line), {}});
        if (!column.empty()) f.rows.back().cells.emplace_back(column, row.value);
      }
      advise(facts.data, column, bad, share, f);
    }
  }

 private:
  static std::string told(const std::string& column, const BadRowCounts::Row& row) {
    return column.empty() ? row.reason : fmt::format("'{}' in column '{}' {}", row.value, column, row.reason);
  }

  static void advise(const CheckedData& data, const std::string& column, const BadRowCounts::Column& bad, double share,
                     Finding& f) {
    constexpr double kMost = 0.5;
    f.remedy = fmt::format("mend these rows, or leave them out: `interplay prepare --bad-rows skip:{}`", bad.rows);
    const auto& fields = data.parser.schema().fields();
    for (size_t i = 0; i < fields.size(); ++i) {
      if (data.parser.encoding(i).column != column) continue;
      f.field = fields[i].name;
      if (share < kMost || (fields[i].kind != FieldKind::numeric && !data.parser.makes_buckets(i))) continue;
      Config entry;
      entry.set("column", Config::scalar(column, true));
      if (fields[i].name != column) entry.set("name", Config::scalar(fields[i].name, true));
      f.remedy = "it is declared numeric, and holds text: declare it as tokens";
      f.yaml = fields_with(data, i, entry);
      return;
    }
    std::set<std::string> values;
    for (const auto& row : bad.first) values.insert(row.value);
    if (bad.first.front().reason.find("missing_tokens") == std::string::npos) return;
    std::vector<std::string> tokens = data.spec.options.missing_tokens;
    tokens.insert(tokens.end(), values.begin(), values.end());
    f.remedy = "where that means a missing value, say so";
    f.yaml = list_yaml("missing_tokens", tokens);
  }
};

INTERPLAY_REGISTER(checks(), "bad_rows", BadRowsOfFiles, "rows at which `prepare` would stop");

}  // namespace
}  // namespace interplay
