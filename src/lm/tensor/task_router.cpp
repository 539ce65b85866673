#include <interplay/lm/task_router.h>

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <interplay/base/error.h>

namespace interplay::lm {

TaskRouterImpl::TaskRouterImpl(std::vector<TaskFamily> tasks, std::vector<std::string> projections,
                               const ExpertCounts& experts, int64_t width, uint64_t seed)
    : tasks_(std::move(tasks)), projections_(std::move(projections)), experts_(experts) {
  const auto n = int64_t(tasks_.size()), places = int64_t(projections_.size()), all = experts_.total();
  INTERPLAY_CHECK(n > 0 && places > 0 && width > 0, "experts of {} tasks for {} projections by vectors of {}", n,
                  places, width);
  auto hidden = at::zeros({n, 1, all}, at::kBool);
  for (int64_t task = 0; task < n; ++task) {
    const bool embeds = tasks_[size_t(task)] == TaskFamily::embedding;
    INTERPLAY_CHECK(all > (embeds ? experts_.generation : experts_.embedding),
                    "no expert is left to a task of {}; give it some, or shared ones", to_string(tasks_[size_t(task)]));
    if (embeds) {
      hidden[task].narrow(1, all - experts_.generation, experts_.generation).fill_(true);
    } else {
      hidden[task].narrow(1, 0, experts_.embedding).fill_(true);
    }
  }
  hidden_ = hidden;
  auto generator = at::detail::createCPUGenerator(seed);
  const auto f32 = at::TensorOptions().dtype(at::kFloat);
  const double of_tasks = std::sqrt(6.0 / double(n + 1 + width)), of_bias = 1 / std::sqrt(double(width));
  task_vectors =
      register_parameter("task_vectors", at::empty({n, width}, f32).uniform_(-of_tasks, of_tasks, generator));
  weight = register_parameter("weight", at::empty({places, all, width}, f32).normal_(0, 1, generator));
  bias = register_parameter("bias", at::empty({places, all}, f32).uniform_(-of_bias, of_bias, generator));
}

at::Tensor TaskRouterImpl::weights() {
  const auto logits = at::einsum("nw,pew->npe", {task_vectors, weight}) + bias;
  return logits.masked_fill(hidden_, -std::numeric_limits<double>::infinity()).softmax(2);
}

AdapterCall TaskRouterImpl::forward(std::span<const int64_t> tasks) {
  const int64_t n = this->tasks();
  std::vector<int64_t> rows;
  for (const int64_t task : tasks) {
    INTERPLAY_CHECK(task >= kNone && task < n, "task {} of {}", task, n);
    rows.push_back(task == kNone ? n : task);
  }
  // behind the tasks, what counts where none is told
  const auto alike = at::full({1, int64_t(projections_.size()), experts_.total()}, 1 / double(experts_.total()));
  const auto each = at::cat({weights(), alike}).index_select(0, at::tensor(rows, at::kLong));  // [B, P, E]
  const auto by_projection = each.unbind(1);
  AdapterCall out;
  for (size_t p = 0; p < projections_.size(); ++p) out.mixes[projections_[p]].experts = by_projection[p];
  return out;
}

}  // namespace interplay::lm
