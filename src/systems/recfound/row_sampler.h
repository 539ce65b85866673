#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <interplay/base/api.h>
#include <interplay/base/random.h>

namespace interplay::recfound {

/// A training row, by its task and its number there.
struct RowPlace {
  int64_t task = 0, row = 0;
  bool operator==(const RowPlace&) const = default;
};

/// Which rows of a family's tasks a step learns from. Rows pass by in an order drawn by seed, all of them once before
/// any comes again; of those that are drawn for a step some are kept, by the tasks' weights: first such as no step has
/// learnt from, then others (allocate()).
class INTERPLAY_API RowSampler {
 public:
  /// `tasks`: their numbers elsewhere; `rows`: how many each has.
  RowSampler(std::vector<int64_t> tasks, std::vector<int64_t> rows, uint64_t seed);

  /// `budget` rows as they pass by: tasks have their share of all rows.
  std::vector<RowPlace> next(int64_t budget);
  /// Of `budget` / `keep` rows that pass by about `budget`, by `weights`, one a task. Fewer where no more can be had.
  std::vector<RowPlace> next(int64_t budget, double keep, std::span<const double> weights);

  int64_t size() const { return int64_t(places_.size()); }
  std::string used() const;  ///< a digit 0-f for each four rows, for checkpoints
  int64_t drawn() const { return drawn_; }
  /// Throws Error(data) where the text is not of as many rows.
  void restore(int64_t drawn, const std::string& used);

 private:
  std::vector<int64_t> draw(int64_t count);

  std::vector<int64_t> tasks_;
  std::vector<RowPlace> places_;
  std::vector<size_t> task_of_;  // place -> place of its task in tasks_
  uint64_t seed_;
  std::vector<bool> used_;
  int64_t drawn_ = 0;
};

}  // namespace interplay::recfound
