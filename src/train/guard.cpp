#include "guard.h"

#include <cmath>

#include <ATen/ATen.h>

#include <interplay/nn/embedding.h>

namespace interplay {
namespace {

constexpr float kLargeInput = 1e6f;  // beyond it an input is rather the cause than the learning rate

/// Index of the first element that is NaN or infinite, or -1.
int64_t first_bad(const at::Tensor& t) {
  if (!t.defined() || t.numel() == 0 || !t.is_floating_point()) return -1;
  const auto bad = at::isfinite(t).logical_not().flatten().nonzero();
  return bad.numel() == 0 ? -1 : bad[0].item<int64_t>();
}

/// Its name, or its column where the batch came without a schema (Trainer::step).
std::string name_of(const Schema& schema, FieldKind kind, int64_t column) {
  const auto fields = schema.of(kind);
  return column < int64_t(fields.size()) ? "'" + fields[size_t(column)]->name + "'" : fmt::format("{}", column);
}

std::pair<float, std::string> largest_weight(const Model& model) {
  std::pair<float, std::string> largest{0, "?"};
  for (const auto& [name, w] : weights_of(model)) {
    if (w.numel() == 0 || !w.is_floating_point()) continue;
    const float size = w.abs().max().item<float>();
    if (size > largest.first) largest = {size, name};
  }
  return largest;
}

[[noreturn]] void fail(int64_t step, double loss, const std::string& found, const std::string& remedy) {
  const std::string value = std::isnan(loss) ? "nan" : fmt::format("{}", loss);  // fmt would say -nan
  throw Error(fmt::format("step {}: the loss is {}: {}; {}", step, value, found, remedy), ErrorKind::numeric);
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
         fmt::format("numeric field {} is not finite in row {} of the batch",
                     name_of(schema, FieldKind::numeric, at % width), at / width),
         fix_data);
  }
  for (size_t v = 0; v < x.vectors.size(); ++v) {
    if (const int64_t at = first_bad(x.vectors[v]); at >= 0) {
      fail(step, loss,
           fmt::format("vector field {} is not finite in row {} of the batch",
                       name_of(schema, FieldKind::vector, int64_t(v)), at / x.vectors[v].size(1)),
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
  if (const int64_t at = first_bad(logit); at >= 0) {
    const int64_t row = at / (logit.numel() / logit.size(0));
    const std::string found =
        fmt::format("the logit of row {} of the batch is not finite, though every weight is", row);
    const auto [weight, name] = largest_weight(model);
    const std::string weights = fmt::format("the largest is {:g}, in '{}'", weight, name);
    if (!x.dense.defined() || x.dense.numel() == 0) fail(step, loss, fmt::format("{} ({})", found, weights), lower);
    const auto [size, column] = x.dense[row].abs().max(0);
    fail(step, loss,
         fmt::format("{} ({}; the row's largest input is {:g}, of numeric field {})", found, weights,
                     size.item<float>(), name_of(schema, FieldKind::numeric, column.item<int64_t>())),
         size.item<float>() > kLargeInput ? fix_data : lower);
  }
  fail(step, loss, "every weight, input and logit is finite", lower);
}

}  // namespace interplay
