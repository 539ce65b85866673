#include <interplay/systems/rerank.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/progress.h>
#include <interplay/core/calibration.h>
#include <interplay/train/evaluator.h>

namespace interplay {
namespace {

double seconds_since(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

/// The logits of some rows, in their order.
std::vector<float> logits_of(Model& model, const Dataset& rows, std::span<const int64_t> which, int64_t batch_size) {
  const at::NoGradGuard no_grad;
  const bool training = model.is_training();
  model.eval();
  std::vector<float> out;
  Progress line("rerank", int64_t(which.size()), "rows");
  for (size_t i = 0; i < which.size(); i += size_t(batch_size)) {
    const auto some = which.subspan(i, std::min(size_t(batch_size), which.size() - i));
    const auto logit = model.forward(rows.gather(some).features).logit;
    INTERPLAY_CHECK(logit.defined() && logit.numel() == int64_t(some.size()),
                    "the second model gives no single logit a row; expected a model of one label");
    const auto flat = logit.reshape({-1}).to(at::kFloat).contiguous();
    out.insert(out.end(), flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel());
    line.add(int64_t(some.size()));
  }
  model.train(training);
  return out;
}

}  // namespace

std::vector<float> reranked(std::span<const float> first, std::span<const int64_t> asked, std::span<const float> second,
                            double blend) {
  INTERPLAY_CHECK(asked.size() == second.size(), "reranked(): {} rows asked about, {} answers", asked.size(),
                  second.size());
  std::vector<float> out(first.begin(), first.end()), logits;
  std::vector<double> keys;
  for (size_t i = 0; i < asked.size(); ++i) {
    const float own = first[size_t(asked[i])];
    logits.push_back(own);
    keys.push_back((1 - blend) * double(own) + blend * double(second[i]));
  }
  std::sort(logits.begin(), logits.end());
  std::vector<size_t> order(asked.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return keys[a] < keys[b]; });
  for (size_t i = 0; i < order.size(); ++i) out[size_t(asked[order[i]])] = logits[i];
  return out;
}

Reranking rerank(Model& first, const Dataset& rows_of_first, Model& second, const Dataset& rows_of_second,
                 const RerankOptions& o, double offset, const Calibration* calibration) {
  INTERPLAY_CHECK(o.low <= o.high, "rerank: the band begins at {} and ends at {}; expected low <= high", o.low, o.high);
  INTERPLAY_CHECK(rows_of_first.rows() == rows_of_second.rows(),
                  "rerank: {} rows for the first model, {} for the second", rows_of_first.rows(),
                  rows_of_second.rows());
  Reranking out;
  auto begun = std::chrono::steady_clock::now();
  out.first =
      predict(first, rows_of_first, {.batch_size = o.batch_size, .logit_offsets = {offset}, .progress = "filter"});
  if (calibration) calibration->apply(out.first, rows_of_first);
  out.seconds_first = seconds_since(begun);
  INTERPLAY_CHECK(out.first.labels == 1 && out.first.rows() == rows_of_first.rows(),
                  "the first model gives {} logits for {} rows; expected a model of one label", out.first.logit.size(),
                  rows_of_first.rows());
  for (int64_t i = 0; i < out.first.rows(); ++i) {
    const double p = 1 / (1 + std::exp(-double(out.first.logit[size_t(i)])));
    if (p >= o.low && p <= o.high) out.asked.push_back(i);
  }
  begun = std::chrono::steady_clock::now();
  out.second = logits_of(second, rows_of_second, out.asked, o.second_batch_size);
  out.seconds_second = seconds_since(begun);
  out.logit = reranked(out.first.logit, out.asked, out.second, o.blend);
  return out;
}

}  // namespace interplay
