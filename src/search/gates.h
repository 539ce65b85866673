#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <interplay/base/options.h>
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
/// The parameters of one group, all of which GRDA moves; `names` are those of their numbers, in the model's order.
GateReading read_named_gates(Trainer& trainer, const std::string& of_group, std::vector<std::string> names);

/// A share of `count` gates, at least one; 0 where the share is 0.
INTERPLAY_API size_t wanted_gates(double share, size_t count);

/// A threshold between the last of the `wanted` largest sizes and the next; 0 where all are wanted.
INTERPLAY_API double threshold_that_keeps(const std::vector<double>& values, size_t wanted);

/// Gates as this threshold leaves them, given what each has accumulated; those that are not 0 are kept.
void set_gates(std::vector<Interaction>& interactions, const std::vector<double>& values, double threshold);

/// How GRDA moves gates.
struct GrdaOptions {
  double c = 5e-4, mu = 0.8, lr = 1;
  Config schedule = Config::scalar("constant", true);
};

/// The same as options of every search, for gates of dimensions behind `dimension_`. Where neither c nor mu is given,
/// the valid split may say what is kept instead.
struct GrdaKnobs {
  std::optional<double> c, mu;
  double lr = 1;
  Config schedule = Config::scalar("constant", true);
  void visit(auto&& field) {
    field(
        "c", c,
        "GRDA: the larger, the more gates close; the threshold ends at c lr^(1/2 + mu) steps^mu. Where nothing is said "
        "of c, mu and what to keep, the valid split chooses it",
        Range{0, 1e9});
    field("mu", mu, "GRDA: how the threshold grows with the steps", Range{0, 1});
    field("lr", lr, "learning rate of the gates", Range{0, 1e9});
    field("schedule", schedule, "of that rate: constant, step, ..., or a map with options; not train.schedule");
  }
  void visit_of_dimensions(auto&& field) {
    field("dimension_c", c, "as c, for the gates of dimensions", Range{0, 1e9});
    field("dimension_mu", mu, "as mu, for the gates of dimensions", Range{0, 1});
    field("dimension_lr", lr, "as lr, for the gates of dimensions", Range{0, 1e9});
    field("dimension_schedule", schedule, "as schedule, for the gates of dimensions");
  }
  bool given() const { return c || mu; }
  /// What is not given comes from `other`.
  GrdaOptions over(const GrdaOptions& other) const {
    return {c.value_or(other.c), mu.value_or(other.mu), lr, schedule};
  }
  /// No threshold at all: gates that only learn, ready to be ranked.
  GrdaOptions without_threshold() const { return {0, 1, lr, schedule}; }
};

/// How long a stage trains: so many epochs and the last weights, or, with `patience`, at most so many, until the log
/// loss on valid has not been better for that many evaluations, and the best weights. (AUC may be at its best after a
/// few steps, while norms still follow the weights; and it is the log loss that says what is kept.)
struct SearchLength {
  int64_t epochs = 1, patience = 0;
  int64_t checkpoint_every = 0;  ///< steps; 0 = as the experiment says
};
INTERPLAY_API int64_t steps_per_epoch(const Config& experiment, int64_t train_rows);  ///< at least 1
/// Until valid stops getting better: three epochs, or as many as make 300 steps, without improvement; at most 50
/// epochs, or as many as make 3,000 steps.
INTERPLAY_API SearchLength until_valid_stops(const Config& experiment, int64_t train_rows);

/// What closes the gates of a finished stage, given what they and the threshold have accumulated: GRDA as it ran, or
/// with the c whose threshold would have kept `wanted` of them (0: as it ran). Whatever the schedule, a threshold is
/// linear in c.
INTERPLAY_API GrdaSummary closing_grda(const StageResult& stage, const GrdaOptions& ran, double threshold,
                                       const std::vector<double>& values, size_t wanted);
INTERPLAY_API std::string grda_text(
    const GrdaSummary& grda);  ///< `GRDA with c 0.01 (searched with 0.0005), mu 0.8, threshold 0.6`

/// A searched model whose gates are to be ranked: products are of centred vectors, so that no interaction stands in for
/// what single fields say or for another one, and norms follow within tens of steps, for valid has a say from the first
/// epoch on. Whatever the experiment says of these is for re-training.
Config ready_to_rank(Config model);

/// The experiment without optimizers of gates.
Config without_gate_rules(Config experiment);
/// The experiment of a search stage, in which GRDA moves what `groups` name. Optimizers that the experiment has for
/// gates are those of re-training.
Config with_grda(const Config& experiment, const std::map<std::string, GrdaOptions>& groups,
                 const SearchLength& length);

std::string interaction_name(const Interaction& interaction);  ///< `site_id x app_id`, `site_id x app_id (kernel)`

}  // namespace interplay
