#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <interplay/core/model.h>
#include <interplay/data/dataset.h>
#include <interplay/train/fit_report.h>
#include <interplay/train/stepper.h>
#include <interplay/train/train_options.h>

namespace interplay {

class Tracking;
struct TrackedRun;

/// Batches from anywhere: a message queue, a generator, a file that grows. Called with the number of batches taken
/// before, so that one that can go back gives a resumed training what it would have had next; nothing: it has ended.
using BatchStream = std::function<std::optional<Batch>(int64_t taken)>;

/// The training loop. It knows models by their interface alone.
///
///     Trainer trainer(*model, config);           // reads train:, optimizer: and seed
///     trainer.fit(train, valid);                 // leaves the best weights in *model
///
/// A step is the Stepper's, which has the hooks; fit() gives it batches, has the model judged on validation rows, keeps
/// what is best, stops where nothing gets better, and logs a line an evaluation (base/log.h:
/// log::set_level(log::Level::warning) silences it).
///
/// A second fit() goes on: with the weights that are in the model, the optimizer's state and the number of its steps,
/// for as many epochs again (where the first was stopped: with what it had left). Patience and the best begin anew.
///
/// With a run directory (`run_in`) it keeps metrics.jsonl, the best weights and checkpoints there, and goes on from the
/// last checkpoint when asked: the end is the same, to the byte, as that of a run that was never stopped.
/// One thread uses it; stop() may be called from any thread or signal handler.
class INTERPLAY_API Trainer {
 public:
  /// `labels`: names of the labels, for step() on batches of which several labels have losses of their own, or whose
  /// terms name one; fit() goes by the data.
  Trainer(Model& model, const Config& config, std::vector<std::string> labels = {});
  ~Trainer();

  void run_in(const std::filesystem::path& directory, bool resume);
  /// Has `tracking` told that training of `run` begins (at which step, and what was measured before, is filled in), and
  /// of each record of metrics.jsonl; it has to be there as long as fit() is called. How a run ends is for who knows.
  void track(Tracking& tracking, TrackedRun run);
  void on_epoch(std::function<void(const EpochReport&)> call);  ///< called after each evaluation
  /// What hooks of the Stepper have to remember where training is resumed: `save` is asked at each checkpoint, `load`
  /// is given what it said, before the first step. One pair a name.
  void remember(std::string name, std::function<Config()> save, std::function<void(const Config&)> load);

  /// Validation without rows is none: every epoch is trained, and the last weights are the result.
  FitReport fit(const Dataset& train, const Dataset& valid);
  FitReport fit(const Dataset& train);
  /// Trains until the stream ends (`train.epochs` has no say), with evaluations every `train.eval_every` steps and at
  /// the end. Schedules that fall towards an end (cosine, linear) are refused, for there is none in sight.
  FitReport fit(const BatchStream& batches, const Dataset& valid);
  FitReport fit(const BatchStream& batches, const Schema& schema);  ///< without validation
  /// One step on one batch, see Stepper::step(). Returns the loss.
  double step(const Batch& batch, const std::vector<std::string>& only = {});

  /// fit() writes a checkpoint and returns after the present step; an evaluation is cut short, and is begun anew by
  /// whoever goes on.
  void stop() noexcept;
  std::function<void()> stopper() const;  ///< does what stop() does, and may be called when the Trainer is gone
  bool stop_asked() const noexcept;       ///< whether stop() was called, also where fit() had ended by then

  Stepper& stepper();
  Model& model();
  Optimizer& optimizer();
  const TrainOptions& options() const;
  uint64_t seed() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
