#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <interplay/data/number.h>

#include "data/check/advice.h"
#include "data/check/field_cells.h"

namespace interplay {
namespace {

/// Fields whose values look like something else than what they are declared as.
class Types final : public Check {
 public:
  using Options = NoOptions;
  Types(const CheckedData&, const Options&) {}

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    if (facts.sample[0].rows() == 0) return;
    const FieldCells cells(facts.data.parser, facts.sample[0].values);
    std::vector<Tokens> tokens(facts.data.parser.schema().fields().size());
    std::set<std::string> missing;  // in any field: one list in data.yaml is for all
    for (size_t f = 0; f < tokens.size(); ++f) {
      if (FieldCells::shape(facts.data.parser, f) != FieldCells::Shape::tokens) continue;
      for (const int32_t r : facts.sample[0].values.rows)
        cells.tokens(f, r, [&](std::string_view token) { count(token, tokens[f]); });
      missing.insert(tokens[f].missing.begin(), tokens[f].missing.end());
    }
    for (size_t f = 0; f < tokens.size(); ++f) {
      if (FieldCells::shape(facts.data.parser, f) == FieldCells::Shape::number) judge_number(facts, cells, f, report);
      if (!tokens[f].missing.empty()) tell_missing(facts, cells, f, tokens[f], missing, report);
      if (tokens[f].all > 0) judge_tokens(facts, cells, f, tokens[f], report);
    }
  }

 private:
  struct Tokens {
    int64_t all = 0, numbers = 0, fractions = 0, whole = 0, written_as_fraction = 0, blank = 0;
    std::set<std::string> missing;  // tokens that mean nothing is there
    std::set<std::string_view> distinct_fractions;
  };

  static bool means_missing(std::string_view token) {
    constexpr const char* kMissing[] = {"nan", "null", "none", "na", "n/a", "<na>", "nil", "nat", "\\n", "#n/a"};
    std::string lower(token);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    return std::find(std::begin(kMissing), std::end(kMissing), lower) != std::end(kMissing);
  }

  static void count(std::string_view token, Tokens& t) {
    if (token.empty()) return;
    ++t.all;
    t.blank += token.front() == ' ' || token.back() == ' ' ? 1 : 0;
    double x = 0;
    if (means_missing(token)) t.missing.insert(std::string(token));
    if (!parse_number(token, x)) return;
    ++t.numbers;
    if (x != std::round(x)) {
      ++t.fractions;
      t.distinct_fractions.insert(token);
    } else {
      ++(token.find('.') == token.npos ? t.whole : t.written_as_fraction);
    }
  }

  static void judge_tokens(const CheckFacts& facts, const FieldCells& cells, size_t f, const Tokens& t,
                           CheckReport& report) {
    constexpr double kNumbers = 0.99, kFractions = 0.1;
    constexpr size_t kManyFractions = 50;
    const bool one = facts.data.parser.schema().fields()[f].kind == FieldKind::categorical;
    const auto share = [&](int64_t n) { return double(n) / double(t.all); };
    if (one && share(t.numbers) >= kNumbers && share(t.fractions) >= kFractions &&
        t.distinct_fractions.size() >= kManyFractions) {
      Config entry;
      entry.set("column", Config::scalar(facts.data.parser.encoding(f).column, true));
      entry.set("kind", Config::scalar("numeric"));
      entry.set("transform", Config::scalar("standardise"));
      tell(facts, cells, f, report, is_fraction,
           fmt::format("is declared as tokens, and holds numbers ({}), {} of them with a fraction",
                       percent(share(t.numbers)), percent(share(t.fractions))),
           "declare it numeric: 3.99 and 4.00 are as strange to one another as two names",
           fields_with(facts.data, f, entry));
    } else if (t.whole > 0 && t.written_as_fraction > 0) {
      tell(facts, cells, f, report, is_written_as_fraction,
           fmt::format("holds whole numbers written in two ways: {} as 12, {} as 12.0", t.whole, t.written_as_fraction),
           "write them in one way where the files are made; 12 and 12.0 are two tokens", "");
    }
    if (t.blank > 0) {
      tell(
          facts, cells, f, report, [](std::string_view token) { return token.front() == ' ' || token.back() == ' '; },
          fmt::format("{} of its values begin or end with a blank", percent(share(t.blank))),
          "where the same value is there without it, these are two; where the separator is a comma and a blank, say so",
          is_separated_by_comma(facts.data) ? "format: {name: csv, separator: \", \", quote: false}\n" : "");
    }
  }

  static bool is_separated_by_comma(const CheckedData& data) {
    return data.spec.reader["name"].as<std::string>() == "csv" && !data.spec.reader.has("separator");
  }

  static bool is_fraction(std::string_view token) {
    double x = 0;
    return parse_number(token, x) && x != std::round(x);
  }
  static bool is_written_as_fraction(std::string_view token) {
    double x = 0;
    return parse_number(token, x) && x == std::round(x) && token.find('.') != token.npos;
  }

  static void tell_missing(const CheckFacts& facts, const FieldCells& cells, size_t f, const Tokens& t,
                           const std::set<std::string>& missing, CheckReport& report) {
    std::vector<std::string> tokens = facts.data.spec.options.missing_tokens;
    tokens.insert(tokens.end(), missing.begin(), missing.end());
    tell(facts, cells, f, report, means_missing,
         fmt::format("holds '{}', which reads as a missing value and is taken for a value",
                     fmt::join(t.missing, "', '")),
         "say that it means a missing value", list_yaml("missing_tokens", tokens));
  }

  template <class IsShown>
  static Finding& tell(const CheckFacts& facts, const FieldCells& cells, size_t f, CheckReport& report,
                       IsShown&& is_shown, std::string text, std::string remedy, std::string yaml) {
    Finding& finding = report.findings.emplace_back();
    finding.severity = Finding::Severity::warning;
    finding.field = facts.data.parser.schema().fields()[f].name;
    finding.text = std::move(text);
    finding.remedy = std::move(remedy);
    finding.yaml = std::move(yaml);
    const SampledRows& rows = facts.sample[0];
    for (int64_t i = 0; i < rows.rows() && finding.rows.size() < kShownRows; ++i) {
      bool shown = false;
      cells.tokens(f, int32_t(i),
                   [&](std::string_view token) { shown = shown || (!token.empty() && is_shown(token)); });
      if (shown) finding.rows.push_back(shown_row(facts, rows, i, {facts.data.parser.encoding(f).column}));
    }
    return finding;
  }

  /// Numbers that are names: whole, and their column is called an id.
  static void judge_number(const CheckFacts& facts, const FieldCells& cells, size_t f, CheckReport& report) {
    const std::string& column = facts.data.parser.encoding(f).column;
    std::string name = column;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    const bool called_id = name == "id" || name == "zip" || name.ends_with("_id") || name.ends_with("_code") ||
                           name.ends_with("zip_code") || (column.size() > 2 && column.ends_with("Id"));
    if (!called_id || facts.data.parser.makes_buckets(f)) return;
    std::set<double> values;
    for (const int32_t r : facts.sample[0].values.rows) {
      const double x = cells.number(f, r);
      if (std::isnan(x)) continue;
      if (x != std::round(x)) return;
      values.insert(x);
    }
    if (values.size() < 3) return;
    Finding& finding = report.findings.emplace_back();
    finding.severity = Finding::Severity::warning;
    finding.field = facts.data.parser.schema().fields()[f].name;
    finding.text = fmt::format("is declared numeric, and is called an id: {} whole numbers", values.size());
    finding.rows = shown_rows(facts, {column}, [](const SampledRows&, int64_t) { return true; });
    finding.remedy = "declare it as tokens: 7 is no more than 3 where both are names";
    Config entry;
    entry.set("column", Config::scalar(column, true));
    if (finding.field != column) entry.set("name", Config::scalar(finding.field, true));
    finding.yaml = fields_with(facts.data, f, entry);
  }
};

INTERPLAY_REGISTER(checks(), "types", Types, "fields whose values look like another kind than is declared");

}  // namespace
}  // namespace interplay
