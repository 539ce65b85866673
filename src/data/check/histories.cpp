#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <interplay/data/number.h>

#include "data/check/advice.h"
#include "data/check/field_cells.h"

namespace interplay {
namespace {

/// Histories that hold what was not known yet: events of the row's own time or later, or the row's own target.
class Histories final : public Check {
 public:
  using Options = NoOptions;
  Histories(const CheckedData&, const Options&) {}

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    tell_ties(facts, report);
    if (facts.sample[0].rows() == 0) return;
    const auto& fields = facts.data.parser.schema().fields();
    for (size_t f = 0; f < fields.size(); ++f) {
      if (fields[f].kind != FieldKind::sequence) continue;
      tell_times(facts, f, report);
      for (size_t target = 0; target < fields.size(); ++target) {
        const bool named = fields[f].target == fields[target].name;
        const bool shared = fields[f].target.empty() && fields[f].table == fields[target].table;
        if (fields[target].kind == FieldKind::categorical && (named || shared)) tell_target(facts, f, target, report);
      }
    }
  }

 private:
  /// Those that are made of earlier rows.
  static void tell_ties(const CheckFacts& facts, CheckReport& report) {
    const auto past = facts.data.spec.past();
    for (const HistoryIndex& history : facts.data.plan.histories()) {
      const auto of = std::find_if(past.begin(), past.end(), [&](const auto& p) { return p.name == history.name(); });
      if (history.rows_with_own_time() == 0) continue;
      Finding& f = report.findings.emplace_back();
      f.field = history.name();
      f.text = fmt::format("the histories of {} rows ({}) hold events of the row's own {} (ties: order)",
                           history.rows_with_own_time(),
                           percent(double(history.rows_with_own_time()) / double(facts.usable_rows)), of->time);
      f.remedy =
          "right where rows of one time are told apart when they are scored; else `ties: before`, in this field's "
          "entry, ends a history before its row's time";
      for (const Config& entry : facts.data.yaml["fields"].items()) {
        if (!entry.has("name") || entry["name"].as<std::string>() != history.name()) continue;
        Config changed = entry, out;
        changed.set("ties", Config::scalar("before"));
        out.set("fields", Config::sequence({changed}));
        f.yaml = out.yaml();
      }
    }
  }

  /// Lists of times, as the pair of a list of items: entries that lie between the first and the last time of the rows.
  static void tell_times(const CheckFacts& facts, size_t field, CheckReport& report) {
    constexpr double kTimes = 0.9, kSevere = 0.01;
    const std::string time = time_column(facts.data);
    const SampledRows& rows = facts.sample[0];
    const RawColumn* const column = time.empty() ? nullptr : rows.values.raw.find(time);
    if (!column || column->is_list()) return;
    const FieldCells cells(facts.data.parser, rows.values);
    std::vector<double> own(size_t(rows.rows())), latest(own.size(), -std::numeric_limits<double>::infinity());
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (size_t i = 0; i < own.size(); ++i) {
      if (!parse_number(column->cell(int64_t(i)), own[i])) return;
      low = std::min(low, own[i]), high = std::max(high, own[i]);
    }
    int64_t entries = 0, times = 0;
    for (size_t i = 0; i < own.size(); ++i) {
      cells.tokens(field, int32_t(i), [&](std::string_view token) {
        double x = 0;
        if (token.empty()) return;
        ++entries;
        if (!parse_number(token, x)) return;
        times += x >= low - (high - low) && x <= high ? 1 : 0;
        latest[i] = std::max(latest[i], x);
      });
    }
    if (entries == 0 || high <= low || double(times) < kTimes * double(entries)) return;
    const auto late = [&](size_t i) { return latest[i] >= own[i]; };
    int64_t count = 0;
    for (size_t i = 0; i < own.size(); ++i) count += late(i) ? 1 : 0;
    if (count == 0) return;
    const double share = double(count) / double(own.size());
    Finding& f = report.findings.emplace_back();
    f.severity = share < kSevere ? Finding::Severity::warning : Finding::Severity::severe;
    f.field = facts.data.parser.schema().fields()[field].name;
    f.text = fmt::format("reads as times, of which {} of the training rows hold one that is their own {} or later",
                         percent(share), time);
    const std::string& own_column = facts.data.parser.encoding(field).column;
    for (size_t i = 0; i < own.size() && f.rows.size() < kShownRows; ++i) {
      if (late(i)) f.rows.push_back(shown_row(facts, rows, int64_t(i), {time, own_column}));
    }
    advise(f);
  }

  /// Lists of items that hold the row's own, and more often where the label is 1.
  static void tell_target(const CheckFacts& facts, size_t field, size_t target, CheckReport& report) {
    constexpr double kWarning = 0.3, kSevere = 0.9;
    const SampledRows& rows = facts.sample[0];
    const FieldCells cells(facts.data.parser, rows.values);
    std::vector<bool> holds(size_t(rows.rows()), false);
    std::array<double, 2> count{}, held{};  // by label
    for (int64_t i = 0; i < rows.rows(); ++i) {
      std::string_view own;
      cells.tokens(target, int32_t(i), [&](std::string_view token) { own = token; });
      cells.tokens(field, int32_t(i), [&](std::string_view token) {
        if (!own.empty() && token == own) holds[size_t(i)] = true;
      });
      const float label = rows.label(i, 0);
      if (std::isnan(label)) continue;
      ++count[label > 0], held[label > 0] += holds[size_t(i)] ? 1 : 0;
    }
    if (count[0] == 0 || count[1] == 0) return;
    const double positive = held[1] / count[1], negative = held[0] / count[0];
    const double all = (held[0] + held[1]) / (count[0] + count[1]);
    const double apart = std::fabs(positive - negative);
    if (apart < kWarning && all < kSevere) return;
    const auto& fields = facts.data.parser.schema().fields();
    Finding& f = report.findings.emplace_back();
    f.severity = apart < kSevere && all < kSevere ? Finding::Severity::warning : Finding::Severity::severe;
    f.field = fields[field].name;
    f.text = fmt::format("holds the row's own {} in {} of the training rows with label 1, in {} of those with 0",
                         fields[target].name, percent(positive), percent(negative));
    const auto& parser = facts.data.parser;
    for (int64_t i = 0; i < rows.rows() && f.rows.size() < kShownRows; ++i) {
      if (!holds[size_t(i)]) continue;
      f.rows.push_back(shown_row(facts, rows, i, {parser.encoding(target).column, parser.encoding(field).column}));
    }
    advise(f);
  }

  static void advise(Finding& f) {
    f.remedy =
        "cut the lists before the row's time where they are made, or have them made here, where no later event "
        "gets in";
    f.yaml = fmt::format("fields:\n  - {{name: {}, kind: history, user: USER, item: ITEM, time: TIME}}\n", f.field);
  }
};

INTERPLAY_REGISTER(checks(), "histories", Histories, "histories that hold what was not known yet");

}  // namespace
}  // namespace interplay
