#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/lm/adapter.h>
#include <interplay/lm/tuned_folder.h>

namespace interplay::lm {

/// What each of several adapters side by side counts for a task (TMoLE of RecFound): with a vector v of the task, for
/// every adapted projection
///
///     w = softmax(R v + c)          y = W x + alpha / r * sum over e of w_e B_e A_e x
///
/// in which the logits of experts that are the other family's are -inf: they count exactly 0, and what they hold gets
/// no gradient. Without a task all experts count 1 / E. Tasks' vectors start as Xavier-uniform draws them over n + 1
/// tasks (one is "none", which has no vector here), R as N(0, 1), c uniformly within 1 / sqrt(width).
///
/// Thread safety: as torch::nn::Module.
class INTERPLAY_API TaskRouterImpl : public torch::nn::Module {
 public:
  static constexpr int64_t kNone = -1;

  /// `projections`: that have E = experts.total() adapters each, as DecoderImpl::adapted() names them.
  TaskRouterImpl(std::vector<TaskFamily> tasks, std::vector<std::string> projections, const ExpertCounts& experts,
                 int64_t width, uint64_t seed);

  /// What each text's task (or kNone) makes of the experts: [B, E] for every projection.
  AdapterCall forward(std::span<const int64_t> tasks);
  /// f32 [n, P, E], of every task
  at::Tensor weights();

  const std::vector<std::string>& projections() const { return projections_; }
  const ExpertCounts& experts() const { return experts_; }
  int64_t tasks() const { return int64_t(tasks_.size()); }
  int64_t width() const { return task_vectors.size(1); }

  at::Tensor task_vectors;  ///< f32 [n, width]
  at::Tensor weight;        ///< f32 [P, E, width], R of each projection
  at::Tensor bias;          ///< f32 [P, E]

 private:
  std::vector<TaskFamily> tasks_;
  std::vector<std::string> projections_;
  ExpertCounts experts_;
  at::Tensor hidden_;  // bool [n, 1, E]: experts that a task may not use
};
TORCH_MODULE(TaskRouter);

}  // namespace interplay::lm
