#include <interplay/train/evaluator.h>

#include <chrono>
#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/progress.h>
#include <interplay/data/loader.h>

#include "guard.h"

namespace interplay {
namespace {

void append(std::vector<float>& to, const at::Tensor& from) {
  const auto flat = from.to(at::kCPU, at::kFloat).contiguous();
  to.insert(to.end(), flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel());
}

/// Evaluation mode while it lives. A model that is in it already is left untouched: a served one is shared between
/// threads.
class EvalMode {
 public:
  explicit EvalMode(Model& model) : model_(model), training_(model.is_training()) {
    if (training_) model_.eval();
  }
  ~EvalMode() {
    if (training_) model_.train();
  }
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  Model& model_;
  bool training_;
};

}  // namespace

Predicted predict(Model& model, const Dataset& dataset, const PredictOptions& options) {
  const auto begun = std::chrono::steady_clock::now();
  const at::NoGradGuard no_grad;
  const nn::PrecisionGuard in_precision(options.precision);
  const EvalMode mode(model);
  Predicted out;
  out.labels = std::max<int64_t>(1, int64_t(dataset.schema().labels().size()));
  out.logit.reserve(size_t(dataset.rows() * out.labels));
  Loader loader(dataset, LoaderOptions{.batch_size = options.batch_size, .shuffle = false});
  loader.start(0, 0);
  Progress progress(options.progress, dataset.rows());
  for (Batch batch; loader.next(batch);) {
    if (options.before_batch) options.before_batch();
    const Output output = model.forward(batch.features.to(options.device));
    const auto& logit = output.logit;  // [B] or [B, T]
    check_logits(logit, model, batch, dataset, out.rows());
    progress.also(output.tokens, "tokens");
    append(out.logit, options.logit_offset != 0 ? logit + options.logit_offset : logit);
    if (batch.labels.defined()) append(out.label, batch.labels);
    if (batch.weight.defined()) append(out.weight, batch.weight);
    if (batch.group.defined()) {
      const auto group = batch.group.contiguous();
      out.group.insert(out.group.end(), group.const_data_ptr<int64_t>(),
                       group.const_data_ptr<int64_t>() + group.numel());
    }
    if (!options.progress.empty()) progress.add(batch.rows());
  }
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return out;
}

std::vector<MetricValue> Predicted::evaluate(const Config& wanted, const std::vector<std::string>& label_names) const {
  if (labels == 1) {
    return interplay::evaluate(Predictions{.logit = logit, .label = label, .weight = weight, .group = group}, wanted);
  }
  std::vector<MetricValue> mean, each;
  for (int64_t t = 0; t < labels; ++t) {
    std::vector<float> l, y;
    for (size_t i = size_t(t); i < logit.size(); i += size_t(labels)) l.push_back(logit[i]), y.push_back(label[i]);
    auto values = interplay::evaluate(Predictions{.logit = l, .label = y, .weight = weight, .group = group}, wanted);
    if (mean.empty()) {
      mean = values;
      for (auto& m : mean) m.value /= double(labels), m.merit /= double(labels);
    } else {
      for (size_t i = 0; i < mean.size(); ++i) {
        mean[i].value += values[i].value / double(labels);
        mean[i].merit += values[i].merit / double(labels);
      }
    }
    for (auto& v : values) {
      v.name += ":" + label_names[size_t(t)];
      v.display += ":" + label_names[size_t(t)];
      each.push_back(std::move(v));
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

double negative_rate_offset(double rate) { return std::log(rate); }

}  // namespace interplay
