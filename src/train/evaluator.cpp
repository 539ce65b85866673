#include <interplay/train/evaluator.h>

#include <utility>

#include <ATen/ATen.h>

#include <interplay/base/progress.h>
#include <interplay/data/loader.h>
#include <interplay/data/row_facts.h>

#include "train/eval_mode.h"
#include "train/guard.h"

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

Predictions predict(Model& model, const Dataset& dataset, const PredictOptions& options) {
  const at::NoGradGuard no_grad;
  const nn::PrecisionGuard in_precision(options.precision);
  const EvalMode eval_mode(model);
  Predictions out;
  RowFacts facts;
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
    facts.add(batch);
    if (!options.progress.empty()) progress.add(batch.rows());
  }
  out.label = std::move(facts.label), out.weight = std::move(facts.weight), out.group = std::move(facts.group);
  return out;
}

}  // namespace interplay
