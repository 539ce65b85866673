#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

#include "data/synth/synth_shapes.h"

namespace interplay::synth {
namespace {

enum Stream : uint64_t { kValue = 1 << 20, kEffect = 2 << 20, kPair = 3 << 20, kNoise = 4 << 20 };
enum Task : uint64_t { kClick, kLike, kConversion, kTasks };
constexpr uint64_t kOfTask = 1 << 16;  // streams of one kind between two tasks

/// What a row's tasks come to.
struct Row {
  std::vector<int64_t> values;
  bool click, like, would_buy;
};

/// Scores of three tasks over the same pairs of fields. Those of `like` disagree with those of `click` by
/// options.conflict: each effect is r times the click's plus sqrt(1 - r^2) times one of its own, r = 1 - 2 conflict.
/// Conversions do by options.conversion_conflict, by default half-way (r = 0.5), so that rows that were clicked are not
/// like the others. Immutable once made: any thread may draw any row.
class Generator {
 public:
  explicit Generator(const SynthOptions& options)
      : options_(options),
        seed_(uint64_t(options.seed)),
        agreement_{1, 1 - 2 * options.conflict, 1 - 2 * options.conversion_conflict} {
    INTERPLAY_CHECK(options.categories >= 2 * options.fields, "categories: {} are too few for {} fields of two or more",
                    options.categories, options.fields);
    find_thresholds();
  }

  void append(fmt::memory_buffer& out, int64_t index, Row& row) const {
    draw(index, row);
    const bool buy = row.click && row.would_buy;
    fmt::format_to(std::back_inserter(out), "{:d},{:d},{:d},{}", row.click, row.like, buy,
                   row.click ? (buy ? "1" : "0") : "");
    fmt::format_to(std::back_inserter(out), ",{:d}", row.would_buy);
    for (const int64_t value : row.values) fmt::format_to(std::back_inserter(out), ",{}", value);
    out.push_back('\n');
  }

 private:
  int64_t categories(int64_t field) const {
    return options_.categories / options_.fields + (field < options_.categories % options_.fields ? 1 : 0);
  }

  /// An effect of a task: N(0, 1), as alike the click's as the task's agreement says.
  double effect(Task task, uint64_t stream, uint64_t cell) const {
    const double r = agreement_[task];
    const double clicks = random_normal(seed_, stream, cell);
    if (r == 1) return clicks;
    return r * clicks + std::sqrt(1 - r * r) * random_normal(seed_, stream + kOfTask * uint64_t(task), cell);
  }

  double score(Task task, const std::vector<int64_t>& values) const {
    double sum = 0;
    for (size_t f = 0; f < values.size(); ++f) sum += options_.linear * effect(task, kEffect + f, uint64_t(values[f]));
    for (size_t f = 0; f + 1 < values.size(); f += 2)  // fields 0-1, 2-3, ...
      sum += effect(task, kPair + f, uint64_t(values[f]) << 32 | uint64_t(values[f + 1]));
    return sum;
  }

  double noisy(Task task, int64_t index, const std::vector<int64_t>& values) const {
    return score(task, values) + options_.noise * random_normal(seed_, kNoise + uint64_t(task), uint64_t(index));
  }

  void draw_values(int64_t index, Row& row) const {
    row.values.resize(size_t(options_.fields));
    for (size_t f = 0; f < row.values.size(); ++f) {
      const auto count = categories(int64_t(f));
      row.values[f] = std::min(count - 1, int64_t(double(count) * random_unit(seed_, kValue + f, uint64_t(index))));
    }
  }

  void draw(int64_t index, Row& row) const {
    draw_values(index, row);
    row.click = noisy(kClick, index, row.values) > threshold_[kClick];
    row.like = noisy(kLike, index, row.values) > threshold_[kLike];
    row.would_buy = noisy(kConversion, index, row.values) > threshold_[kConversion];
  }

  /// A fifth of the rows are clicked, liked, or would be bought.
  void find_thresholds() {
    constexpr int64_t kSample = 20000;
    for (const Task task : {kClick, kLike, kConversion}) {
      std::vector<double> sums;
      Row row;
      for (int64_t index = 0; index < kSample; ++index) {
        draw_values(index, row);
        sums.push_back(noisy(task, index, row.values));
      }
      const auto top = sums.begin() + kSample * 4 / 5;
      std::nth_element(sums.begin(), top, sums.end());
      threshold_[task] = *top;
    }
  }

  SynthOptions options_;
  uint64_t seed_;
  double agreement_[kTasks];
  double threshold_[kTasks] = {};
};

}  // namespace

void tasks(const SynthOptions& options, const std::filesystem::path& directory) {
  const auto generator = std::make_shared<const Generator>(options);
  std::string header = "click,like,buy,cvr,would_buy";
  for (int64_t f = 0; f < options.fields; ++f) header += fmt::format(",f{}", f);
  write_splits(
      options, directory, ".csv", header + "\n",
      [generator, row = Row{}](fmt::memory_buffer& out, int64_t index) mutable { generator->append(out, index, row); });
  write_file(directory / "data.yaml", fmt::format("format: csv\n"
                                                  "{}"
                                                  "label:\n"
                                                  "  - click\n"
                                                  "  - like\n"
                                                  "  - buy  # of all rows: clicked and bought\n"
                                                  "  - {{column: cvr, optional: true}}  # of clicked rows alone\n"
                                                  "  - would_buy  # what no log knows: of all rows, clicked or not\n"
                                                  "fields:\n"
                                                  "  - {{columns: [f0..f{}], kind: categorical}}\n",
                                                  files_line(options, ".csv"), options.fields - 1));
}

}  // namespace interplay::synth
