#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include <interplay/optim/update_rule.h>

namespace interplay {

/// The optimizers of a module, group by group ("embedding", "dense", and what its modules name themselves), and the
/// step they take together: gradients of embedding rows are summed per row, L1 and L2 join the gradients, the global
/// norm is clipped, then every group's rule moves its weights.
///
/// Keeps references to the module's parameters and tables; used by one thread.
class INTERPLAY_API Optimizer {
 public:
  /// `config` is the `optimizer:` part: a map from group to {name, lr, l1, l2, mode, ...rule options}. A group that it
  /// leaves out has the options of `dense` (`linear`: of `embedding`). Throws Error on a group that the module does not
  /// have, as step() and lr() do.
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
  double step(const Step& step);
  void clear_gradients();

  int64_t steps() const;  ///< taken so far
  double lr(const std::string& group) const;
  Config schedule(const std::string& group) const;  ///< null: that of all groups
  std::vector<std::string> groups() const;
  double penalty() const;  ///< sum of (l2/2)|w|^2 + l1|w| over groups that are not lazy

  /// Optimizer state by parameter name ("fields.item_id.weight"): views, which load into or save from.
  std::map<std::string, at::Tensor> state() const;
  void restore(int64_t steps);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
