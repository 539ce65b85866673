#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <interplay/search/search.h>

namespace interplay {

/// gates.jsonl of a stage: a line with the gates' names, then a line a reading: {"step": 40, "threshold": 0.021,
/// "values": [0.61, ...]}. A run that goes on from a checkpoint first cuts off what was read after it.
class GateLog {
 public:
  /// A reading before the first step, every `every` steps, and after the last.
  GateLog(std::filesystem::path file, int64_t every, std::function<GateReading(Trainer&)> read);
  void started(Trainer& trainer);
  void stepped(Trainer& trainer, int64_t step);
  void finished(Trainer& trainer);

 private:
  void cut(int64_t step);
  void append(Trainer& trainer, int64_t step);

  std::filesystem::path file_;
  int64_t every_;
  std::function<GateReading(Trainer&)> read_;
  bool cut_ = false;
};

/// Readings of a whole stage.
struct GateCourse {
  std::vector<std::string> names;
  std::vector<int64_t> steps;
  std::vector<double> thresholds;
  std::vector<std::vector<double>> values;  ///< by step
};
INTERPLAY_API GateCourse read_course(const std::filesystem::path& file);  ///< empty where there is no such file

/// The gates of every interaction of a model, which GRDA moves, in the order of interactions_of().
GateReading read_grda_gates(Trainer& trainer);
/// The parameters of group gates, all of which GRDA moves; `names` are those of their numbers, in the model's order.
GateReading read_named_gates(Trainer& trainer, std::vector<std::string> names);

/// A threshold between the last of the `wanted` largest sizes and the next; 0 where all are wanted.
INTERPLAY_API double threshold_that_keeps(const std::vector<double>& values, size_t wanted);

/// Gates as this threshold leaves them, given what each has accumulated; those that are not 0 are kept.
void set_gates(std::vector<Interaction>& interactions, const std::vector<double>& values, double threshold);

/// The experiment of a search stage: GRDA moves the gates, and the last weights count, so that nothing stops early.
Config with_grda(Config experiment, double c, double mu, double lr, int64_t epochs);

std::string interaction_name(const Interaction& interaction);  ///< `site_id x app_id`, `site_id x app_id (kernel)`

}  // namespace interplay
