#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include <interplay/nn/embedding.h>
#include <interplay/optim/update_rule.h>

namespace interplay {

class Exchange;

/// What every parameter group has, whatever its rule: `optimizer: {embedding: {name: adam, lr: 1e-3, ...}}`.
struct INTERPLAY_API GroupOptions {
  double lr = 1e-3;
  double l1 = 0, l2 = 0;
  std::string mode = "lazy";
  Config schedule = Config::parse("~");
  void visit(auto&& field) {
    field("lr", lr, "learning rate", Range{0, 1e9});
    field("l1", l1, "adds l1 * sign(w) to the gradient", Range{0, 1e9});
    field("l2", l2, "adds l2 * w to the gradient: the gradient of (l2/2) |w|^2", Range{0, 1e9});
    field("mode", mode, "embedding rows: lazy = the rows a step touched; dense = every row, every step",
          OneOf{{"lazy", "dense"}});
    field("schedule", schedule, "of this group's learning rate; nothing: train.schedule");
  }
};

/// Moves the weights of a module, group by group ("embedding", "dense", and what its modules name themselves, see
/// nn::HasGroup), each group by its rule. A step has five phases:
///
///   collect   which groups move; the gradients of the others are dropped
///   sort      the distinct rows that each table was read at
///   exchange  the gradients of other processes join (optim/exchange.h); alone, nothing happens
///   norm      L1 and L2 join the gradients; where clipping is on, the global norm
///   move      rows and dense weights, by their rules
///
/// A table or parameter that is registered in several places is one, and moves once. Keeps references to the module's
/// parameters and tables, whose rows it lays out anew with room for state: one Optimizer at a time steps a module.
///
///     Optimizer optimizer(model, Config::parse("{dense: {name: adam, lr: 1e-3}, embedding: {name: adagrad}}"));
///     loss.backward();
///     optimizer.step({.clip_norm = 10});
///
/// Thread safety: used by one thread, while nobody else reads the module.
class INTERPLAY_API Optimizer {
 public:
  /// `config` is the `optimizer:` part: a map from group to {name, lr, l1, l2, mode, ...rule options}. A group that it
  /// leaves out has the options of `dense` (`linear`: of `embedding`). Throws Error on a group that the module does not
  /// have, as step() and lr() do, and on a parameter that is not contiguous f32.
  Optimizer(const torch::nn::Module& module, const Config& config);
  ~Optimizer();

  static Config resolve(const Config& config);  ///< every default written out

  struct Step {
    double lr_factor = 1;
    std::map<std::string, double> own_lr_factors = {};  ///< of groups that have another one
    double clip_norm = 0;                               ///< 0 = no clipping
    std::vector<std::string> only = {};  ///< groups that move; empty = all. Gradients of the others are dropped
    bool same_number = false;            ///< has the number of the step before: for groups that take turns
  };
  /// Returns the global gradient norm before clipping (0 where clipping is off). Gradients are gone afterwards.
  ///
  /// Throws Error(numeric) on a gradient that is not finite, naming its parameter, or its table, row and field: those
  /// weights stay, the others may have moved. Throws Error on ids that lie outside their table, before anything moves.
  double step(const Step& step);
  void clear_gradients();
  /// From the next step on, gradients of other processes join by it; nullptr, as at first: this process is alone.
  void set_exchange(std::shared_ptr<Exchange> exchange);

  int64_t steps() const;  ///< taken so far
  double lr(const std::string& group) const;
  Config schedule(const std::string& group) const;  ///< null: that of all groups
  std::vector<std::string> groups() const;
  double penalty() const;  ///< sum of (l2/2)|w|^2 + l1|w| over groups that are not lazy

  /// State of the rules by parameter name ("fields.item_id.weight"): views, which load into or save from.
  std::map<std::string, at::Tensor> state() const;
  void restore(int64_t steps);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
