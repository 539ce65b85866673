#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "systems/recfound/task.h"
#include "systems/recfound/tune_losses.h"

namespace interplay::recfound {

/// Rows of all tasks, and the texts that steps are made of. Immutable.
class TuneData {
 public:
  /// Reads the tasks' files of train and, where ratios are taken, of valid. Throws Error(data) naming what is wrong
  /// with them, Error(config) where S2Sched has no valid rows to go by.
  TuneData(const TuneOptions& options, const std::vector<Task>& tasks, std::shared_ptr<const lm::Tokenizer> tokenizer);

  int64_t rows(size_t task) const { return train_[task].size(); }  ///< of train
  uint64_t checksum() const { return checksum_; }
  int64_t cut() const { return cut_; }  ///< texts of valid that are longer than what is read of them

  /// A training row of step `step`, the `place`-th: which of its positives and negatives are taken is drawn by these.
  QueryTexts query(int64_t task, int64_t row, int64_t step, int64_t place) const;
  PromptTokens prompt(int64_t task, int64_t row) const;

  /// Valid rows that ratios are of, always the same.
  const std::vector<QueryTexts>& valid_queries(size_t task) const { return valid_queries_[task]; }
  const std::vector<PromptTokens>& valid_prompts(size_t task) const { return valid_prompts_[task]; }
  bool is_watched(size_t task) const { return !valid_queries_[task].empty() || !valid_prompts_[task].empty(); }

 private:
  void check_negatives(const Task& task, const TaskRows& rows, const char* split) const;
  void watch(int64_t task);
  QueryTexts texts_of(int64_t task, const QueryRow& row, uint64_t step, uint64_t place) const;
  PromptTokens tokens_of(int64_t task, const PromptRow& row) const;

  const TuneOptions options_;
  std::vector<Task> tasks_;
  std::shared_ptr<const lm::Tokenizer> tokenizer_;
  std::vector<TaskRows> train_;                         // by task
  std::vector<std::vector<QueryTexts>> valid_queries_;  // by task
  std::vector<std::vector<PromptTokens>> valid_prompts_;
  uint64_t checksum_ = 0;
  int64_t cut_ = 0;
};

}  // namespace interplay::recfound
