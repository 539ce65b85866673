#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>

namespace interplay::lm {

/// What a task asks of a language model: a vector of a text, or an answer.
enum class TaskFamily : uint8_t { embedding, generation };
INTERPLAY_API const char* to_string(TaskFamily family);             ///< embedding, generation
INTERPLAY_API TaskFamily parse_task_family(std::string_view name);  ///< throws Error(config) for another name

/// Adapters side by side, by the tasks that they are weighed for: a task of embedding mixes the first two kinds, one of
/// generation the last two.
struct ExpertCounts {
  int64_t embedding = 2, shared = 2, generation = 2;
  int64_t total() const { return embedding + shared + generation; }
  bool operator==(const ExpertCounts&) const = default;
};

/// A task that a model was tuned for, as far as whoever asks it has to know.
struct TunedTask {
  std::string name = {};
  TaskFamily family = TaskFamily::embedding;
  std::string frame = {};                                  ///< as PromptFrame takes it
  std::string instruction = {}, passage_instruction = {};  ///< of what is asked; of the passages it is held against
  int64_t max_tokens = 256, passage_tokens = 256;
};

/// The folder that `interplay lm tune` and `lm merge` leave: adapters of a language model and the tasks that they were
/// tuned for. It stands for a model wherever one is named:
///
///     RUN                 the tuned model, told no task: all experts count alike
///     RUN:TASK            the experts as that task weighs them, in its frame, with its instruction
///     RUN:TASK:passage    of a task of embedding: texts are the passages that are looked for
struct INTERPLAY_API TunedFolder {
  static constexpr const char* kFile = "tuned.json";
  static constexpr const char* kAdapters = "adapters.safetensors";
  static constexpr const char* kRouter = "router.safetensors";  ///< not there where there is one adapter

  std::filesystem::path folder;
  std::string base;  ///< the model that was tuned: a fetched name, or a path
  std::vector<TunedTask> tasks;
  std::optional<ExpertCounts> experts;  ///< none: one adapter, the same for all tasks
  int64_t router_width = 0;             ///< of the tasks' vectors, where there are experts

  std::optional<size_t> task;  ///< that was named
  bool passages = false;

  /// What a model's name means; none where it names no such folder. Throws Error(config) for a task that there is not,
  /// Error(data) where tuned.json is damaged.
  static std::optional<TunedFolder> find(const std::filesystem::path& name);
  void save() const;  ///< tuned.json, whole or not at all

  /// Where the model that was tuned lies (find_model()). Throws Error(data) where that is a tuned model itself.
  std::filesystem::path model() const;
  const TunedTask* named() const { return task ? &tasks[*task] : nullptr; }
  std::vector<std::filesystem::path> files() const;  ///< adapters and router
  std::string selection() const;  ///< of what was named beside the folder: "", "TASK", "TASK:passage"
};

}  // namespace interplay::lm
