#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <interplay/core/model.h>
#include <interplay/core/objective.h>
#include <interplay/nn/precision.h>
#include <interplay/optim/optimizer.h>
#include <interplay/train/train_options.h>

namespace interplay {

/// What a step found.
struct StepReport {
  int64_t step = 0;  ///< its number, from 1
  double loss = 0;   ///< what the objective came to; penalties of the optimizer are not in it
  std::vector<std::pair<std::string, double>> terms{};  ///< its parts, where it has several
  double gradient_norm = 0;  ///< global, before clipping; 0 where clipping is off, and until the weights have moved
  int64_t rows = 0, tokens = 0;
};

/// A model, what it minimises and what moves it: one step on one batch.
///
///     Stepper stepper(*model, config);           // reads train:, optimizer: and seed
///     stepper.after_step([&](const StepReport& s) { losses.push_back(s.loss); });
///     for (const Batch& batch : batches) stepper.step(batch);
///
/// A loss, gradient or weight that is not finite is an Error(numeric) that names what caused it; the weights are of no
/// more use then. What layers draw while they train (dropout, negatives) comes from torch's default generator, which
/// `seed` does not set: at::manual_seed() before, as train_run() does. Keeps a reference to the model; one thread uses
/// it.
class INTERPLAY_API Stepper {
 public:
  /// `config`: the keys `train:` (loss, terms, schedule, warmup_steps, clip_norm, device, precision), `optimizer:` and
  /// `seed`, whether resolved or not. `labels`: their names, see Trainer.
  Stepper(Model& model, const Config& config, std::vector<std::string> labels = {});
  ~Stepper();

  /// Forward, objective, backward, and the step of the optimizer, with the hooks on the way. `only`: groups that move;
  /// empty = every one that is not left to turns. The gradients of others are dropped.
  StepReport step(const Batch& batch, const std::vector<std::string>& only = {});

  /// Groups that step() leaves alone from now on, since they take turns of their own.
  void leave(const std::vector<std::string>& groups);
  /// A step of these groups alone, which has the number of the step before, and so its learning rates. No hook is
  /// called.
  StepReport turn(const Batch& batch, const std::vector<std::string>& groups);

  /// Hooks, called in the order in which they were added; what one throws ends the step there.
  void before_step(std::function<void(const Batch&)> call);
  /// Gradients are there (those of parameters in grad(), those of embedding rows on their tapes), nothing has moved.
  void after_backward(std::function<void(const Batch&, const StepReport&)> call);
  void after_step(std::function<void(const StepReport&)> call);

  /// For steps of another kind (two passes, gradients that are weighed against each other): what a batch costs, in
  /// training mode, with its graph; and how optimizer().step() is to move the weights next.
  Objective::Value loss(const Batch& batch);
  Optimizer::Step next_move() const;

  /// What batches hold: names for messages, and the labels that losses are for.
  void reads(const Schema& schema);
  /// How many steps there will be, for schedules that fall towards an end; 0: none in sight, which they refuse.
  void ends_at(int64_t steps);
  void observe(bool improved);  ///< after an evaluation, for schedules that go by them
  double lr() const;            ///< of the group "dense" in the last step

  Model& model();
  Optimizer& optimizer();
  const Objective& objective() const;
  const TrainOptions& options() const;
  at::Device device() const;
  nn::Precision precision() const;
  uint64_t seed() const;

  Config state() const;  ///< of the schedules; the optimizer's is optimizer().state()
  void restore(const Config& state);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
