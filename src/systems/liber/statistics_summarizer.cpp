// Summaries without a language model: what came up most, and how often it was liked, in words.
#include <fmt/format.h>

#include <interplay/base/error.h>
#include <interplay/systems/liber.h>

#include "systems/liber/tastes.h"

namespace interplay {
namespace {

/// As a language model, it knows of the past only what the earlier summary says: counts of it are read and added to,
/// and what was too rare to be said is forgotten.
class StatisticsSummarizer final : public Summarizer {
 public:
  struct Options {
    int64_t most = 8;
    void visit(auto&& field) {
      field("most", most, "values of a column that are told, those that came up most; 0 = all", Range{0, 1e6});
    }
  };

  StatisticsSummarizer(const SummarizerContext& context, const Options& options)
      : o_(options), tastes_(context.tastes), counter_(context.tastes, context.tastes_at) {}

  std::vector<std::string> columns() const override { return counter_.columns(); }

  std::vector<std::string> summaries(std::span<const SummaryTask> tasks) override {
    std::vector<std::string> out;
    for (const SummaryTask& task : tasks) {
      Tastes tastes = read_tastes(counter_.counted(), task.earlier);
      counter_.count(task.events, tastes);
      out.push_back(tell_tastes(counter_.counted(), tastes, o_.most));
    }
    return out;
  }

  std::vector<std::string> shifts(std::span<const ShiftTask> tasks) override {
    std::vector<std::string> out;
    for (const ShiftTask& task : tasks) out.push_back(shift(task));
    return out;
  }

  std::string identity() const override {
    return "statistics " + write_options(o_).yaml() + write_options(tastes_).yaml();
  }

 private:
  static double share(const Taste& taste) { return double(taste.liked) / double(taste.seen); }

  std::string shift(const ShiftTask& task) const {
    const auto& columns = counter_.counted();
    const Tastes before = read_tastes(columns, task.before), now = read_tastes(columns, task.now);
    std::string out;
    for (size_t c = 0; c < columns.size(); ++c) {
      std::string said[4];  // new, more, less, gone
      const auto say = [&](size_t what, const std::string& value) {
        said[what] += fmt::format("{}{}", said[what].empty() ? "" : ", ", value);
      };
      for (const auto& [value, taste] : now[c]) {
        const auto old = before[c].find(value);
        if (old == before[c].end()) {
          say(0, value);
        } else if (share(taste) > share(old->second) + kChange) {
          say(1, value);
        } else if (share(taste) < share(old->second) - kChange) {
          say(2, value);
        }
      }
      for (const auto& [value, taste] : before[c]) {
        if (!now[c].contains(value)) say(3, value);
      }
      constexpr const char* kWords[] = {"new", "liked more", "liked less", "no longer"};
      std::string line;
      for (size_t what = 0; what < 4; ++what) {
        if (!said[what].empty()) line += fmt::format("{}{} {}", line.empty() ? " " : "; ", kWords[what], said[what]);
      }
      if (!line.empty()) out += fmt::format("{}{}:{}", out.empty() ? "" : "\n", columns[c].name, line);
    }
    return out.empty() ? "nothing changed" : out;
  }

  static constexpr double kChange = 0.1;
  Options o_;
  TasteOptions tastes_;
  TasteCounter counter_;
};

INTERPLAY_REGISTER(summarizers(), "statistics", StatisticsSummarizer,
                   "what came up most and how often it was liked, counted, as text");

}  // namespace
}  // namespace interplay
