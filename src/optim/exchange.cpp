#include <interplay/optim/exchange.h>

#include <interplay/base/error.h>
#include <interplay/nn/table_storage.h>

#include "optim/step.h"

namespace interplay {
namespace {

void check_dense(const Exchange::Dense& given, const DenseParameter& p) {
  if (!given.grad.defined()) return;
  INTERPLAY_CHECK(given.grad.sizes() == p.weight.sizes() && given.grad.scalar_type() == at::kFloat &&
                      given.grad.device() == p.weight.device(),
                  "the exchange gave parameter '{}' a gradient of {} [{}] on {}; expected Float [{}] on {}", p.name,
                  toString(given.grad.scalar_type()), fmt::join(given.grad.sizes(), ", "), given.grad.device().str(),
                  fmt::join(p.weight.sizes(), ", "), p.weight.device().str());
}

void check_rows(const nn::RowGradients& given, const TableParameter& t) {
  const auto& [rows, grad] = given;
  const auto& storage = t.storage();
  INTERPLAY_CHECK(rows.defined() && grad.defined() && rows.dim() == 1 && rows.scalar_type() == at::kLong &&
                      grad.scalar_type() == at::kFloat && grad.dim() == 2 && grad.size(0) == rows.size(0) &&
                      grad.size(1) == storage.width() && grad.device() == storage.device(),
                  "the exchange gave table '{}' gradients of another kind; expected rows i64 [U] and grad f32 [U, {}] "
                  "on {}",
                  t.name, storage.width(), storage.device().str());
}

/// Back onto the tape, as if all rows had been read here.
void put_back(const nn::RowGradients& given, TableParameter& t) {
  if (!t.is_here()) {
    t.gradients = given;
  } else if (given.rows.size(0) > 0) {
    t.storage().record(given.rows.to(at::kInt), given.grad);
  }
}

}  // namespace

Exchange::~Exchange() = default;

nn::RowGradients sum_rows(const std::vector<nn::RowGradients>& parts) {
  std::vector<at::Tensor> rows, grads;
  for (const auto& part : parts) {
    rows.push_back(part.rows);
    grads.push_back(part.grad);
  }
  const auto [distinct, place, counts] = at::_unique2(at::cat(rows), /*sorted=*/true, /*return_inverse=*/true);
  const auto all = at::cat(grads);
  return {distinct, at::zeros({distinct.size(0), all.size(1)}, all.options()).index_add_(0, place, all)};
}

void exchange(StepState& step) {
  if (!step.parts.exchange) return;
  Exchange::Gradients gradients;
  for (const auto* p : step.dense) gradients.dense.push_back({p->name, p->weight.grad()});
  for (auto* t : step.tables)
    gradients.tables.push_back({t->name, t->storage().rows(), t->is_here() ? t->storage().take() : t->gradients});
  step.parts.exchange->exchange(gradients);
  INTERPLAY_CHECK(gradients.dense.size() == step.dense.size() && gradients.tables.size() == step.tables.size(),
                  "the exchange gave {} dense gradients and {} tables; expected {} and {}, in the order given",
                  gradients.dense.size(), gradients.tables.size(), step.dense.size(), step.tables.size());
  for (size_t i = 0; i < step.dense.size(); ++i) {
    check_dense(gradients.dense[i], *step.dense[i]);
    step.dense[i]->weight.mutable_grad() = gradients.dense[i].grad;
  }
  std::vector<nn::TableStorage*> here;
  for (size_t i = 0; i < step.tables.size(); ++i) {
    check_rows(gradients.tables[i].gradients, *step.tables[i]);
    put_back(gradients.tables[i].gradients, *step.tables[i]);
    if (step.tables[i]->is_here()) here.push_back(&step.tables[i]->storage());
  }
  nn::TableStorage::sort(here);
}

}  // namespace interplay
