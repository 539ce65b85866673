#include "optim/dense_step.h"

#include <algorithm>

#include <interplay/base/tasks.h>

#include "optim/row_math.h"

namespace interplay {
namespace {

constexpr int64_t kDensePerTask = 16384;  // numbers

}  // namespace

std::vector<DenseParameter*> with_penalties(const std::vector<DenseParameter*>& parameters) {
  std::vector<DenseParameter*> out;
  for (auto* p : parameters) {
    auto& grad = p->weight.mutable_grad();
    if (!grad.defined()) {  // unused in this step: only a penalty moves it
      if (!p->group->has_penalty()) continue;
      grad = at::zeros_like(p->weight);
    }
    if (p->group->has_penalty()) grad.add_(p->group->penalty(p->weight));
    out.push_back(p);
  }
  return out;
}

void move_dense(StepState& step) {
  struct Piece {
    DenseParameter* parameter;
    const float* gradients;
    int64_t first, count;
  };
  std::vector<Piece> pieces;
  std::vector<at::Tensor> kept;
  for (auto* p : step.dense) {
    auto w = p->as_rows(p->weight), g = p->as_rows(p->weight.grad());
    if (!w.device().is_cpu() && !at::isfinite(g).all().item<bool>()) {
      step.bad.found(p->name, at::isfinite(g).logical_not().flatten().nonzero()[0].item<int64_t>(), false);
      continue;
    }
    if (step.scale != 1) g = g * step.scale;
    if (!w.device().is_cpu()) {
      p->group->rule->update(w, g, p->state, step.info(*p->group, false));
      continue;
    }
    p->weight.unsafeGetTensorImpl()->bump_version();  // for who keeps copies of weights
    kept.push_back(g.contiguous());
    const int64_t rows = w.size(0), at_once = std::max<int64_t>(1, kDensePerTask / std::max<int64_t>(1, w.size(1)));
    for (int64_t first = 0; first < rows; first += at_once)
      pieces.push_back({p, kept.back().const_data_ptr<float>(), first, std::min(at_once, rows - first)});
  }
  run_tasks(int64_t(pieces.size()), [&](int64_t i) {
    const Piece& piece = pieces[size_t(i)];
    DenseParameter& p = *piece.parameter;
    const int64_t state_width = p.state.size(1), width = p.weight.numel() / p.state.size(0);
    const float* const g = piece.gradients + piece.first * width;
    if (!all_finite(g, piece.count * width))
      return step.bad.found(p.name, piece.first * width + first_not_finite(g, piece.count * width), false);
    p.group->rule->update(
        {static_cast<float*>(p.weight.data_ptr()) + piece.first * width, g,
         static_cast<float*>(p.state.data_ptr()) + piece.first * state_width, piece.count, width, width, state_width},
        step.info(*p.group, false));
  });
}

}  // namespace interplay
