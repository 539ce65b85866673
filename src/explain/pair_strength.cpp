#include <interplay/explain/pair_strength.h>

#include <algorithm>
#include <cmath>
#include <map>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/core/interactions.h>

namespace interplay {
namespace {

// Of logits in float: what lies below it is their rounding, and no dependence.
constexpr double kRounding = 1e-6;

void sort_by_size(std::vector<PairStrength>& pairs) {
  std::stable_sort(pairs.begin(), pairs.end(), [](const PairStrength& a, const PairStrength& b) {
    return std::abs(a.strength) > std::abs(b.strength);
  });
}

/// Partial dependence of the logit on fields, at each of n rows, over the same n rows; less its mean.
class Dependence {
 public:
  Dependence(const LabelLogit& logit, const SampledRows& rows, const PairOptions& options)
      : logit_(logit), rows_(rows), progress_(options.progress, 0), shown_(!options.progress.empty()) {
    const int64_t n = std::min(options.rows, rows.rows());
    const Permutation order(uint64_t(rows.rows()), options.seed);
    std::vector<int64_t> drawn;
    for (int64_t i = 0; i < n; ++i) drawn.push_back(int64_t(order.at(uint64_t(i))));
    const auto places = at::tensor(drawn, at::kLong);
    others_ = places.repeat({n});          // [n n]
    given_ = places.repeat_interleave(n);  // [n n]: row i beside each other row
    n_ = n;
  }
  void expect(int64_t calls) { progress_.total(calls * n_ * n_); }

  at::Tensor operator()(const std::vector<std::string>& fields) {  // f64 [n]
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> parts;
    for (int64_t first = 0; first < n_ * n_; first += SampledRows::kBatchRows) {
      const int64_t count = std::min(SampledRows::kBatchRows, n_ * n_ - first);
      parts.push_back(
          logit_(rows_.take(others_.narrow(0, first, count), fields, given_.narrow(0, first, count))).to(at::kDouble));
      if (shown_) progress_.add(count);
    }
    const auto mean = at::cat(parts).view({n_, n_}).mean(1);
    return mean - mean.mean();
  }

 private:
  const LabelLogit& logit_;
  const SampledRows& rows_;
  Progress progress_;
  bool shown_;
  int64_t n_;
  at::Tensor others_, given_;
};

PairStrength strength_of(const FieldGroup& a, const FieldGroup& b, const at::Tensor& both, const at::Tensor& apart) {
  const double above = (both - apart).square().mean().item<double>(), all = both.square().mean().item<double>();
  PairStrength out{a.name, b.name, std::sqrt(above)};
  out.h = all > kRounding * kRounding ? std::sqrt(above / all) : 0;
  return out;
}

}  // namespace

std::vector<PairStrength> own_pair_strengths(const Model& model) {
  std::map<std::pair<std::string, std::string>, PairStrength> pairs;
  bool weighed = false;
  for (const auto& i : interactions_of(model)) {
    if (i.fields.size() != 2) continue;
    weighed = weighed || i.gate != 1;
    PairStrength& pair =
        pairs.try_emplace({i.fields[0], i.fields[1]}, PairStrength{i.fields[0], i.fields[1]}).first->second;
    if (std::abs(i.gate) > std::abs(pair.strength)) pair.strength = i.gate;
  }
  std::vector<PairStrength> out;
  if (!weighed) return out;
  for (auto& [names, pair] : pairs) out.push_back(std::move(pair));
  sort_by_size(out);
  return out;
}

std::vector<PairStrength> h_statistics(const LabelLogit& logit, const SampledRows& rows,
                                       const std::vector<FieldGroup>& groups, const PairOptions& options) {
  INTERPLAY_CHECK(options.rows >= 2 && rows.rows() >= 2, "H-statistics: {} rows; expected at least 2",
                  std::min(options.rows, rows.rows()));
  Dependence dependence(logit, rows, options);
  const auto count = int64_t(groups.size());
  dependence.expect(count + count * (count - 1) / 2);
  std::vector<at::Tensor> single;
  for (const auto& group : groups) single.push_back(dependence(group.fields));
  std::vector<PairStrength> out;
  for (size_t j = 0; j < groups.size(); ++j) {
    for (size_t k = j + 1; k < groups.size(); ++k) {
      auto fields = groups[j].fields;
      fields.insert(fields.end(), groups[k].fields.begin(), groups[k].fields.end());
      out.push_back(strength_of(groups[j], groups[k], dependence(fields), single[j] + single[k]));
    }
  }
  sort_by_size(out);
  return out;
}

}  // namespace interplay
