#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <interplay/base/config.h>

namespace interplay {

/// RecFound (2025): one decoder for tasks that want a vector and tasks that want an answer. Experts of low rank beside
/// its projections are weighed by task (lm::TaskRouter), and how many rows a task has in a step follows from how its
/// validation loss falls (recfound::S2Scheduler). A run is a folder that stands for a model wherever one is named
/// (lm::TunedFolder).

struct TuneRun {
  std::filesystem::path out;
  bool resume = false;  ///< go on from the last checkpoint in `out`, to the bytes that a run without a stop ends with
  std::function<void(std::function<void()> stop)> started;  ///< called once, with what ends the run after its step
};

struct TuneSummary {
  int64_t steps = 0, parameters = 0, rows = 0, tokens = 0;
  double tokens_per_s = 0;  ///< learnt, validation aside
  double seconds = 0;
  struct Task {
    std::string name, family;
    int64_t rows = 0;       ///< learnt, repeated ones each time
    double first_loss = 0;  ///< of valid, before the first step; 0 where there is no valid file
    double ratio = 1;       ///< of the last to it
  };
  std::vector<Task> tasks;
};

/// The file of `interplay lm tune` with every default written out and its paths in full. Throws Error(config).
INTERPLAY_API Config resolve_tune_file(const Config& experiment);

/// Tunes. Throws Error(config) for what the file says wrongly, Error(data) naming file and line of a bad row,
/// Error(numeric) where a loss or gradient is not finite, and Error(interrupted), a checkpoint written, when it was
/// stopped. Torch's generators are afterwards as they were. Used by one thread.
INTERPLAY_API TuneSummary tune_model(const Config& experiment, const TuneRun& run);

/// How checkpoints of tuned models become one.
struct MergeOptions {
  std::string method = "ties";  ///< ties (Yadav et al. 2023, arXiv:2306.01708), linear: their mean, slerp: of two
  double density = 0.8;         ///< ties: share of each tensor's largest changes that is kept
  double at = 0.6;              ///< slerp: how far from the first to the second
  int64_t last = 0;             ///< of one run, so many of its last checkpoints; 0 = all
  bool force = false;           ///< replace what is at `out`
};
struct MergeReport {
  int64_t models = 0, tensors = 0;
  double agreed = 1;  ///< ties: share of the numbers on whose sign all agreed
};
/// Of one run its checkpoints, of several runs what each ended with, to a run in `out`, whole or not at all. Throws
/// Error(config) where they are not of one model, tasks and adapters; and for ties, of one beginning.
INTERPLAY_API MergeReport merge_models(const std::vector<std::filesystem::path>& runs, const MergeOptions& options,
                                       const std::filesystem::path& out);

struct TaskEvaluation {
  struct Task {
    std::string name, family;
    int64_t rows = 0;
    std::vector<std::pair<std::string, double>> metrics;  ///< the first is what ranks are by
  };
  std::string model;
  std::vector<Task> tasks;
};
struct TaskEvaluationOptions {
  std::string split = "test";
  int64_t rows = 0;                  ///< of each task, the first ones; 0 = all
  std::filesystem::path tasks = {};  ///< a file of tasks, in place of the run's own; for models that are no runs
  std::string precision = "";        ///< of the weights; empty: as in training
  bool progress = true;
};
/// `model`: a run, or with `tasks` any decoder, which is told no task. Vectors rank each row's passages; answers are
/// generated, the likeliest token each time. Throws as tune_model().
INTERPLAY_API TaskEvaluation evaluate_tasks(const std::string& model, const TaskEvaluationOptions& options = {});

/// Ranks of models, from 1, equal ones at their mean: [models][tasks], by the first metric of each task.
INTERPLAY_API std::vector<std::vector<double>> task_ranks(const std::vector<TaskEvaluation>& models);

}  // namespace interplay
