#include "guard.h"

#include <ATen/ATen.h>

#include <interplay/nn/embedding.h>

namespace interplay {
namespace {

/// Index of the first element that is NaN or infinite, or -1.
int64_t first_bad(const at::Tensor& t) {
  if (!t.defined() || t.numel() == 0 || !t.is_floating_point()) return -1;
  const auto bad = at::isfinite(t).logical_not().flatten().nonzero();
  return bad.numel() == 0 ? -1 : bad[0].item<int64_t>();
}

[[noreturn]] void fail(int64_t step, double loss, const std::string& found, const std::string& remedy) {
  throw Error(fmt::format("step {}: the loss is {}: {}; {}", step, loss, found, remedy), ErrorKind::numeric);
}

}  // namespace

void explain_not_finite(Model& model, const Batch& batch, const Schema& schema, int64_t step, double loss) {
  const at::NoGradGuard no_grad;
  const Features& x = batch.features;
  const std::string fix_data = "mend the value, or give the field a transform";
  const std::string lower = "lower the learning rate, or set train.clip_norm";
  if (const int64_t at = first_bad(x.dense); at >= 0) {
    const int64_t width = x.dense.size(1);
    fail(step, loss,
         fmt::format("numeric field '{}' is not finite in row {} of the batch",
                     schema.of(FieldKind::numeric)[size_t(at % width)]->name, at / width),
         fix_data);
  }
  const auto vectors = schema.of(FieldKind::vector);
  for (size_t v = 0; v < x.vectors.size(); ++v) {
    if (const int64_t at = first_bad(x.vectors[v]); at >= 0) {
      fail(step, loss,
           fmt::format("vector field '{}' is not finite in row {} of the batch", vectors[v]->name,
                       at / vectors[v]->dimension),
           fix_data);
    }
  }
  if (const int64_t at = first_bad(batch.weight); at >= 0)
    fail(step, loss, fmt::format("the weight of row {} of the batch is not finite", at), fix_data);
  if (const int64_t at = first_bad(batch.labels); at >= 0)
    fail(step, loss, fmt::format("the label of row {} of the batch is not finite", at), fix_data);
  for (const auto& t : nn::tables_of(model)) {
    if (const int64_t at = first_bad(t.table->table().weight()); at >= 0) {
      fail(step, loss,
           fmt::format("embedding '{}' is not finite in its row {} (an id of that field)", t.name,
                       at / t.table->width()),
           lower);
    }
  }
  for (const auto& p : model.named_parameters()) {
    if (const int64_t at = first_bad(p.value()); at >= 0)
      fail(step, loss, fmt::format("parameter '{}' is not finite at element {}", p.key(), at), lower);
  }
  const auto logit = model.forward(x).logit;
  if (const int64_t at = first_bad(logit); at >= 0)
    fail(step, loss, fmt::format("the logit of row {} of the batch is not finite, though every weight is", at), lower);
  fail(step, loss, "every weight, input and logit is finite", lower);
}

}  // namespace interplay
