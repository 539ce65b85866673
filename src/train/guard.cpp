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

/// What of the weights is not finite, with its name and place, or "".
std::string bad_weight(const Model& model) {
  for (const auto& t : nn::tables_of(model)) {
    if (const int64_t at = first_bad(t.table->weight()); at >= 0) {
      return fmt::format("embedding '{}' is not finite in its row {} (an id of that field)", t.name,
                         at / t.table->width());
    }
  }
  for (const auto& p : model.named_parameters()) {
    if (const int64_t at = first_bad(p.value()); at >= 0)
      return fmt::format("parameter '{}' is not finite at element {}", p.key(), at);
  }
  for (const auto& b : model.named_buffers()) {
    if (const int64_t at = first_bad(b.value()); at >= 0)
      return fmt::format("buffer '{}' is not finite at element {}", b.key(), at);
  }
  return "";
}

constexpr const char* kFixData = "mend the value, or give the field a transform";
constexpr const char* kLower = "lower the learning rate, or set train.clip_norm";

/// The row's largest input, where it has numbers.
std::string largest_input(const Features& x, int64_t row, const Schema& schema, float& size) {
  size = 0;
  if (!x.dense.defined() || x.dense.numel() == 0) return "";
  const auto [largest, column] = x.dense[row].abs().max(0);
  size = largest.item<float>();
  return fmt::format("the row's largest input is {:g}, of numeric field {}", size,
                     name_of(schema, FieldKind::numeric, column.item<int64_t>()));
}

[[noreturn]] void fail(int64_t step, double loss, const std::string& found, const std::string& remedy) {
  const std::string value = std::isnan(loss) ? "nan" : fmt::format("{}", loss);  // fmt would say -nan
  throw Error(fmt::format("step {}: the loss is {}: {}; {}", step, value, found, remedy), ErrorKind::numeric);
}

}  // namespace

void explain_not_finite(Model& model, const Batch& batch, const Schema& schema, int64_t step, double loss) {
  const at::NoGradGuard no_grad;
  const Features& x = batch.features;
  const std::string fix_data = kFixData, lower = kLower;
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
  if (batch.labels.defined()) {  // NaN is a label that the row lacks
    const auto labels = at::where(batch.labels.isnan(), at::zeros_like(batch.labels), batch.labels);
    if (const int64_t at = first_bad(labels); at >= 0)
      fail(step, loss, fmt::format("the label of row {} of the batch is not finite", at / labels.size(1)), fix_data);
  }
  if (const std::string bad = bad_weight(model); !bad.empty()) fail(step, loss, bad, lower);
  const auto logit = model.forward(x).logit;
  if (const int64_t at = first_bad(logit); at >= 0) {
    const int64_t row = at / (logit.numel() / logit.size(0));
    const std::string found =
        fmt::format("the logit of row {} of the batch is not finite, though every weight is", row);
    const auto [weight, name] = largest_weight(model);
    const std::string weights = fmt::format("the largest is {:g}, in '{}'", weight, name);
    float size = 0;
    const std::string input = largest_input(x, row, schema, size);
    fail(step, loss, fmt::format("{} ({}{}{})", found, weights, input.empty() ? "" : "; ", input),
         size > kLargeInput ? fix_data : lower);
  }
  if (batch.weight.defined() && !std::isfinite(batch.weight.sum().item<float>()))
    fail(step, loss, "the sum of the weights of the batch is not finite, though each of them is",
         "divide the column of weights by a constant: only their ratios count");
  fail(step, loss, "every weight, input and logit is finite", lower);
}

void check_weights(const Model& model, int64_t step) {
  const at::NoGradGuard no_grad;
  if (const std::string bad = bad_weight(model); !bad.empty())
    throw Error(fmt::format("step {}: {}, so nothing of it is saved; {}", step, bad, kLower), ErrorKind::numeric);
}

void check_logits(const at::Tensor& logit, Model& model, const Batch& batch, const Dataset& rows, int64_t first) {
  const int64_t at = first_bad(logit);
  if (at < 0) return;
  const int64_t row = at / (logit.numel() / logit.size(0));
  const float value = logit.flatten()[at].item<float>();
  float size = 0;
  const std::string input = largest_input(batch.features, row, rows.schema(), size);
  std::string place = rows.name().empty() ? "" : rows.name() + ": ";
  const std::string found = fmt::format("{}the logit of row {} (from 0) is {}", place, first + row,
                                        std::isnan(value) ? "nan" : fmt::format("{}", value));
  if (const std::string bad = bad_weight(model); !bad.empty())
    throw Error(fmt::format("{}: {}; {}", found, bad, kLower), ErrorKind::numeric);
  const bool of_data = size > kLargeInput || !std::isfinite(size);
  throw Error(fmt::format("{}{}{}; {}", found, input.empty() ? "" : ": ", input,
                          of_data ? std::string(kFixData) : "the model has diverged: " + std::string(kLower)),
              ErrorKind::numeric);
}

}  // namespace interplay
