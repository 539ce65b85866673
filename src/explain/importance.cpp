#include <interplay/explain/importance.h>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>

namespace interplay {
namespace {

at::Tensor shuffled(int64_t n, uint64_t seed) {
  const Permutation order(uint64_t(n), seed);
  std::vector<int64_t> places;
  for (int64_t i = 0; i < n; ++i) places.push_back(int64_t(order.at(uint64_t(i))));
  return at::tensor(places, at::kLong);
}

/// Of a judgement of the rows as they are (first) and permuted (the others).
Judgement lost(const std::vector<Judgement>& models) {
  Judgement mean;
  const auto others = double(models.size() - 1);
  for (size_t m = 1; m < models.size(); ++m)
    mean.auc += models[m].auc / others, mean.logloss += models[m].logloss / others;
  return {models[0].auc - mean.auc, mean.logloss - models[0].logloss};
}

/// Intervals of AUC and log loss, of what `of` makes of the models' judgements.
template <class Of>
std::pair<Interval, Interval> intervals(const Replicates& replicates, const Of& of) {
  const Judgement whole = of(replicates.whole);
  std::vector<double> auc, logloss;
  for (const auto& drawn : replicates.drawn) {
    const Judgement one = of(drawn);
    auc.push_back(one.auc), logloss.push_back(one.logloss);
  }
  return {percentile_interval(whole.auc, std::move(auc)), percentile_interval(whole.logloss, std::move(logloss))};
}

}  // namespace

std::vector<Importance> permutation_importance(const LabelLogit& logit, const SampledRows& rows,
                                               const std::vector<FieldGroup>& groups,
                                               const ImportanceOptions& options) {
  INTERPLAY_CHECK(options.repeats >= 1, "permutation importance: {} repeats; expected at least 1", options.repeats);
  Progress progress(options.progress, (int64_t(groups.size()) * options.repeats + 1) * rows.rows());
  const auto count = [&] {
    if (!options.progress.empty()) progress.add(rows.rows());
  };
  const std::vector<float> as_they_are = rows.logits(logit);
  count();
  std::vector<Importance> out;
  for (const auto& group : groups) {
    std::vector<std::vector<float>> logits{as_they_are};
    const uint64_t seed = hash64(fmt::format("{}", fmt::join(group.fields, "\n")), options.seed);
    for (int64_t r = 0; r < options.repeats; ++r) {
      logits.push_back(rows.logits(logit, group.fields, shuffled(rows.rows(), random_bits(seed, uint64_t(r), 0))));
      count();
    }
    const Replicates replicates =
        bootstrap({rows.label(), {logits.begin(), logits.end()}, rows.weight()}, options.replicates, options.seed);
    const auto [auc, logloss] = intervals(replicates, lost);
    out.push_back({group, logloss, auc});
  }
  return out;
}

Standing standing(const LabelLogit& logit, const SampledRows& rows, const ImportanceOptions& options) {
  const std::vector<float> logits = rows.logits(logit);
  const Replicates replicates = bootstrap({rows.label(), {logits}, rows.weight()}, options.replicates, options.seed);
  const auto [auc, logloss] = intervals(replicates, [](const std::vector<Judgement>& models) { return models[0]; });
  return {auc, logloss};
}

}  // namespace interplay
