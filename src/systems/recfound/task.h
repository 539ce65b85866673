#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <interplay/base/config.h>
#include <interplay/lm/prompt_frame.h>
#include <interplay/lm/tokenizer.h>

#include "systems/recfound/task_metrics.h"
#include "systems/recfound/tune_options.h"

namespace interplay::recfound {

/// A row of a task of embedding.
struct QueryRow {
  std::string query;
  std::vector<std::string> positives, negatives;
};
/// A row of a task of generation.
struct PromptRow {
  std::string prompt, answer;
};

/// Rows of one file: of the task's family, the other is empty.
struct TaskRows {
  std::vector<QueryRow> queries;
  std::vector<PromptRow> prompts;
  uint64_t checksum = 0;  ///< of the file
  int64_t size() const { return int64_t(queries.size() + prompts.size()); }
};

/// Reads a .jsonl file. Throws Error(data) naming file, line and key of whatever is not as it should be.
INTERPLAY_API TaskRows read_rows(const std::filesystem::path& file, lm::TaskFamily family);

/// A task as it is declared, checked; rows are read where they are asked for. Immutable, for any thread.
class INTERPLAY_API Task {
 public:
  /// `at`: where it is written. `run`: what is said for all tasks.
  Task(const TaskOptions& options, const FrameOptions& frames, const Config& at);

  const std::string& name() const { return options_.name; }
  lm::TaskFamily family() const { return family_; }
  bool embeds() const { return family_ == lm::TaskFamily::embedding; }
  const TaskOptions& options() const { return options_; }
  const std::vector<TaskMetric>& metrics() const { return metrics_; }
  lm::TunedTask tuned() const;

  /// Of train, valid or test. Throws Error(config) where there is no such file.
  TaskRows rows(const std::string& split) const;
  bool has(const std::string& split) const { return !file_of(split).empty(); }

  lm::FramedText query(const lm::Tokenizer& tokenizer, const std::string& text) const;  ///< or prompt
  lm::FramedText passage(const lm::Tokenizer& tokenizer, const std::string& text) const;
  /// What follows a prompt: the answer's tokens and the one that ends it.
  std::vector<int64_t> answer(const lm::Tokenizer& tokenizer, const std::string& text) const;

 private:
  const std::string& file_of(const std::string& split) const;

  TaskOptions options_;
  Config at_;
  lm::TaskFamily family_;
  std::string frame_text_;
  lm::PromptFrame frame_;
  std::vector<TaskMetric> metrics_;
};

/// The tasks of TASKS.yaml: at least one, with names of their own.
INTERPLAY_API std::vector<Task> read_tasks(const TuneOptions& options, const Config& experiment);

/// TASKS.yaml with every default written out and its paths in full, so that it may be read from anywhere. Throws Error
/// where a key, a name or a file is wrong.
INTERPLAY_API Config resolve_tune(const Config& experiment);
INTERPLAY_API TuneOptions read_tune(const Config& resolved);

}  // namespace interplay::recfound
