#include <interplay/core/bootstrap.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include <ATen/Parallel.h>

#include <interplay/base/error.h>
#include <interplay/base/random.h>

#include "core/ranking.h"

namespace interplay {

namespace {

// A Poisson(1) number from 64 random bits: how many of the distribution function's steps lie at or below them.
class Poisson {
 public:
  Poisson() {
    double step = std::exp(-1.0), sum = 0;
    for (size_t k = 0; k < thresholds_.size(); ++k) {
      sum += step;
      thresholds_[k] = uint64_t(sum * 0x1p63) << 1;
      step /= double(k + 1);
    }
  }
  uint8_t operator()(uint64_t bits) const {
    uint8_t count = 0;
    while (count < thresholds_.size() && bits >= thresholds_[count]) ++count;
    return count;
  }

 private:
  std::array<uint64_t, 14> thresholds_;  // P(more than 14) < 1e-12
};

// The ranking of one model in the form a replicate walks: rows by rising logit, the last row of each tie marked.
struct Walk {
  explicit Walk(std::span<const float> logit) {
    const Ranking ranking(logit);
    rows.resize(ranking.size());
    ends.resize(ranking.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i] = ranking.row(i);
      ends[i] = i + 1 == rows.size() || !ranking.tied(i, i + 1);
    }
  }
  std::vector<uint32_t> rows;
  std::vector<uint8_t> ends;
};

// AUC in which row r counts `count[r] >> 1` times, each time by its weight; the lowest bit of count[r] is its label.
AucSum auc(const Walk& walk, const std::vector<uint8_t>& count, std::span<const float> weights) {
  AucSum sum;
  double weight[2] = {0, 0};
  for (size_t i = 0; i < walk.rows.size(); ++i) {
    const uint32_t row = walk.rows[i];
    const uint8_t c = count[row];
    weight[c & 1] += weights.empty() ? double(c >> 1) : (c >> 1) * double(weights[row]);
    if (!walk.ends[i]) continue;
    sum.add(weight[1], weight[0]);
    weight[0] = weight[1] = 0;
  }
  return sum;
}

// As numpy.quantile: linear between the neighbours.
double quantile(const std::vector<double>& sorted, double q) {
  const double place = q * double(sorted.size() - 1);
  const auto below = size_t(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - double(below)) * (sorted[above] - sorted[below]);
}

void summarize(AucDifference& result, std::vector<double> differences) {
  std::erase_if(differences, [](double d) { return std::isnan(d); });
  std::sort(differences.begin(), differences.end());
  const auto n = double(differences.size());
  INTERPLAY_CHECK(n >= 2, "bootstrap: no replicate has both classes; there are too few rows to compare on");
  result.replicates = int64_t(differences.size());
  result.mean = std::accumulate(differences.begin(), differences.end(), 0.0) / n;
  double squares = 0;
  for (const double d : differences) squares += (d - result.mean) * (d - result.mean);
  result.standard_error = std::sqrt(squares / (n - 1));
  result.low = quantile(differences, 0.025);
  result.high = quantile(differences, 0.975);
}

}  // namespace

AucDifference bootstrap_auc_difference(const PairedLogits& given, int64_t replicates, uint64_t seed) {
  const auto& [label, logit_a, logit_b, weight] = given;
  INTERPLAY_CHECK(label.size() == logit_a.size() && label.size() == logit_b.size(),
                  "bootstrap: {} labels, {} and {} logits; both models must have scored the same rows", label.size(),
                  logit_a.size(), logit_b.size());
  INTERPLAY_CHECK(weight.empty() || weight.size() == label.size(), "bootstrap: {} weights for {} rows", weight.size(),
                  label.size());
  INTERPLAY_CHECK(replicates >= 2, "bootstrap: {} replicates; expected at least 2", replicates);
  const Walk a(logit_a), b(logit_b);
  const Poisson poisson;
  std::vector<uint8_t> once(label.size());
  for (size_t i = 0; i < once.size(); ++i) once[i] = uint8_t(2 | (label[i] >= 0.5f));
  const AucSum whole = auc(a, once, weight);
  INTERPLAY_CHECK_DATA(whole.both_classes(), "bootstrap: the {} labels are all of one class; AUC needs both",
                       label.size());
  AucDifference result;
  result.auc_a = whole.value();
  result.auc_b = auc(b, once, weight).value();
  result.difference = result.auc_a - result.auc_b;
  std::vector<double> differences(size_t(replicates), 0.0);
  at::parallel_for(0, replicates, 1, [&](int64_t first, int64_t last) {
    std::vector<uint8_t> count(once.size());
    for (int64_t r = first; r < last; ++r) {
      for (size_t i = 0; i < count.size(); ++i) {
        count[i] = uint8_t(poisson(random_bits(seed, uint64_t(r), i)) << 1 | (once[i] & 1));
      }
      differences[size_t(r)] = auc(a, count, given.weight).value() - auc(b, count, given.weight).value();
    }
  });
  summarize(result, std::move(differences));
  return result;
}

}  // namespace interplay
