#include <interplay/train/evaluator.h>

#include <chrono>
#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/progress.h>
#include <interplay/data/loader.h>

#include "train/guard.h"
#include "train/eval_mode.h"

namespace interplay {
namespace {

void append(std::vector<float>& to, const at::Tensor& from) {
  const auto flat = from.to(at::kCPU, at::kFloat).contiguous();
  to.insert(to.end(), flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel());
}

at::Tensor corrected(const at::Tensor& logit, const std::vector<double>& offsets) {
  if (offsets.empty()) return logit;
  return logit.dim() == 1 ? logit + offsets[0] : logit + at::tensor(offsets, logit.options());
}

}  // namespace

Predicted predict(Model& model, const Dataset& dataset, const PredictOptions& options) {
  const auto begun = std::chrono::steady_clock::now();
  const at::NoGradGuard no_grad;
  const nn::PrecisionGuard in_precision(options.precision);
  const EvalMode eval_mode(model);
  Predicted out;
  out.labels = std::max<int64_t>(1, int64_t(dataset.schema().labels().size()));
  out.logit.reserve(size_t(dataset.rows() * out.labels));
  Loader loader(dataset, LoaderOptions{.batch_size = options.batch_size, .shuffle = false});
  loader.start(0, 0);
  Progress progress(options.progress, dataset.rows());
  for (Batch batch; loader.next(batch);) {
    if (options.before_batch) options.before_batch();
    const Output output = model.forward(batch.features.to(options.device));
    if (output.logit.defined()) check_logits(output.logit, model, batch, dataset, out.rows());
    progress.also(output.tokens, "tokens");
    if (options.each) options.each(output, batch);
    if (output.logit.defined()) append(out.logit, corrected(output.logit, options.logit_offsets));
    out.add(batch);
    if (!options.progress.empty()) progress.add(batch.rows());
  }
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return out;
}

std::shared_ptr<const Predicted::OfLabel> Predicted::of_label(int64_t t) const {
  INTERPLAY_CHECK(label.size() == logit.size(), "evaluate: {} labels beside {} logits; give one of each a row",
                  label.size(), logit.size());
  auto out = std::make_shared<OfLabel>();
  const auto is_missing = [&](size_t row) { return std::isnan(label[row * size_t(labels) + size_t(t)]); };
  const size_t all = logit.size() / size_t(labels);
  bool missing = false;
  for (size_t row = 0; row < all && !missing; ++row) missing = is_missing(row);
  if (labels == 1 && !missing) {
    out->predictions = {.logit = logit, .label = label, .weight = weight, .group = group};
    return out;
  }
  for (size_t row = 0; row < all; ++row) {
    if (is_missing(row)) continue;
    out->logit_.push_back(logit[row * size_t(labels) + size_t(t)]);
    out->label_.push_back(label[row * size_t(labels) + size_t(t)]);
    if (missing) out->rows.push_back(int64_t(row));
    if (missing && !weight.empty()) out->weight_.push_back(weight[row]);
    if (missing && !group.empty()) out->group_.push_back(group[row]);
  }
  out->predictions = {.logit = out->logit_, .label = out->label_, .weight = weight, .group = group};
  if (missing) out->predictions.weight = out->weight_, out->predictions.group = out->group_;
  return out;
}

std::vector<MetricValue> Predicted::evaluate(const Config& wanted, const std::vector<std::string>& label_names) const {
  std::vector<MetricValue> mean, each;
  for (int64_t t = 0; t < labels; ++t) {
    auto values = interplay::evaluate(of_label(t)->predictions, wanted);
    if (labels == 1) return values;
    const std::string& name = label_names.at(size_t(t));
    if (mean.empty()) mean = values;
    for (size_t i = 0; i < values.size(); ++i) {
      auto& m = mean[i];
      if (t == 0) m.value = m.merit = 0, m.reason.clear();
      m.value += values[i].value / double(labels);
      m.merit += values[i].merit / double(labels);
      if (m.reason.empty() && !values[i].reason.empty())
        m.reason = fmt::format("of label '{}', {}", name, values[i].reason);
      values[i].name += ":" + name;
      values[i].display += ":" + name;
      each.push_back(std::move(values[i]));
    }
  }
  mean.insert(mean.end(), each.begin(), each.end());
  return mean;
}

Predicted Predicted::pick(const std::vector<int64_t>& rows) const {
  Predicted out;
  out.labels = labels;
  for (const int64_t r : rows) {
    for (int64_t t = 0; t < labels; ++t) {
      out.logit.push_back(logit[size_t(r * labels + t)]);
      out.label.push_back(label[size_t(r * labels + t)]);
    }
    if (!weight.empty()) out.weight.push_back(weight[size_t(r)]);
    if (!group.empty()) out.group.push_back(group[size_t(r)]);
  }
  return out;
}

}  // namespace interplay
