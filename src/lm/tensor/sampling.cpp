#include "lm/tensor/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace interplay::lm {
namespace {

struct Candidate {
  double weight;  // of its probability
  int64_t token;
};

/// The likelier first; of equals the one of the smaller number, so that a draw is the same on every machine.
bool is_likelier(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
}

/// Leaves the fewest of the likeliest that have the share top_p of all weight, at least one, the likelier first. Few
/// are needed as a rule, so that only these are sorted.
void keep_top_p(std::vector<Candidate>& candidates, double top_p) {
  const double all = std::accumulate(candidates.begin(), candidates.end(), 0.0,
                                     [](double sum, const Candidate& c) { return sum + c.weight; });
  double sum = 0;
  constexpr size_t kFirst = 256;
  for (size_t begin = 0, end = std::min(kFirst, candidates.size()); begin < candidates.size();
       begin = end, end = std::min(8 * end, candidates.size())) {
    const auto from = candidates.begin() + int64_t(begin), to = candidates.begin() + int64_t(end);
    std::partial_sort(from, to, candidates.end(), is_likelier);
    for (size_t i = begin; i < end; ++i) {
      sum += candidates[i].weight;
      if (sum >= top_p * all) return candidates.resize(i + 1);
    }
  }
}

}  // namespace

int64_t choose_token(std::span<const float> logits, const GenerateOptions& options, double unit) {
  const auto most = std::max_element(logits.begin(), logits.end());
  if (options.temperature == 0) return most - logits.begin();
  std::vector<float> sorted;
  float least = -INFINITY;
  if (options.top_k > 0 && options.top_k < int64_t(logits.size())) {
    sorted.assign(logits.begin(), logits.end());
    const auto last = sorted.begin() + options.top_k - 1;
    std::nth_element(sorted.begin(), last, sorted.end(), std::greater<>());
    least = *last;
  }
  // Less than e^-50 of the likeliest's weight: all tokens of such weights together are never drawn.
  least = std::max(least, float(double(*most) - 50 * options.temperature));
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] < least) continue;
    candidates.push_back({std::exp((double(logits[i]) - double(*most)) / options.temperature), int64_t(i)});
  }
  if (options.top_p < 1) keep_top_p(candidates, options.top_p);
  double all = 0;
  for (const auto& c : candidates) all += c.weight;
  double left = unit * all;
  for (const auto& c : candidates) {
    if (left < c.weight) return c.token;
    left -= c.weight;
  }
  return candidates.back().token;  // what rounding left over
}

}  // namespace interplay::lm
