#include <interplay/core/bootstrap.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <ATen/Parallel.h>

#include <interplay/base/error.h>
#include <interplay/base/random.h>

#include "core/metric/probability.h"
#include "core/ranking.h"
#include "core/resample.h"

namespace interplay {

namespace {

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

/// Those that are numbers, by size.
std::vector<double> sorted(std::vector<double> values) {
  std::erase_if(values, [](double d) { return std::isnan(d); });
  std::sort(values.begin(), values.end());
  INTERPLAY_CHECK(values.size() >= 2, "bootstrap: no replicate has both classes; there are too few rows to compare on");
  return values;
}

void summarize(AucDifference& result, std::vector<double> given) {
  const std::vector<double> differences = sorted(std::move(given));
  const auto n = double(differences.size());
  result.replicates = int64_t(differences.size());
  result.mean = std::accumulate(differences.begin(), differences.end(), 0.0) / n;
  double squares = 0;
  for (const double d : differences) squares += (d - result.mean) * (d - result.mean);
  result.standard_error = std::sqrt(squares / (n - 1));
  result.low = quantile(differences, 0.025);
  result.high = quantile(differences, 0.975);
}

void check_rows(size_t labels, std::span<const float> logit, std::span<const float> weight) {
  INTERPLAY_CHECK(labels == logit.size(),
                  "bootstrap: {} labels and {} logits; all models must have scored the same rows", labels,
                  logit.size());
  INTERPLAY_CHECK(weight.empty() || weight.size() == labels, "bootstrap: {} weights for {} rows", weight.size(),
                  labels);
}

/// How often each row counts, with its label in the lowest bit, see auc().
class Draws {
 public:
  Draws(std::span<const float> label, uint64_t seed) : seed_(seed), once_(label.size()) {
    for (size_t i = 0; i < once_.size(); ++i) once_[i] = uint8_t(2 | (label[i] >= 0.5f));
  }
  const std::vector<uint8_t>& once() const { return once_; }
  void draw(int64_t replicate, std::vector<uint8_t>& count) const {
    count.resize(once_.size());
    for (size_t i = 0; i < count.size(); ++i)
      count[i] = uint8_t(poisson_(random_bits(seed_, uint64_t(replicate), i)) << 1 | (once_[i] & 1));
  }

 private:
  Poisson poisson_;
  uint64_t seed_;
  std::vector<uint8_t> once_;
};

}  // namespace

AucDifference bootstrap_auc_difference(const PairedLogits& given, int64_t replicates, uint64_t seed) {
  const auto& [label, logit_a, logit_b, weight] = given;
  check_rows(label.size(), logit_a, weight);
  check_rows(label.size(), logit_b, weight);
  INTERPLAY_CHECK(replicates >= 2, "bootstrap: {} replicates; expected at least 2", replicates);
  const Walk a(logit_a), b(logit_b);
  const Draws draws(label, seed);
  const AucSum whole = auc(a, draws.once(), weight);
  INTERPLAY_CHECK_DATA(whole.both_classes(), "bootstrap: the {} labels are all of one class; AUC needs both",
                       label.size());
  AucDifference result;
  result.auc_a = whole.value();
  result.auc_b = auc(b, draws.once(), weight).value();
  result.difference = result.auc_a - result.auc_b;
  std::vector<double> differences(size_t(replicates), 0.0);
  at::parallel_for(0, replicates, 1, [&](int64_t first, int64_t last) {
    std::vector<uint8_t> count;
    for (int64_t r = first; r < last; ++r) {
      draws.draw(r, count);
      differences[size_t(r)] = auc(a, count, given.weight).value() - auc(b, count, given.weight).value();
    }
  });
  summarize(result, std::move(differences));
  return result;
}

namespace {

/// A model in the form a replicate walks.
struct Scored {
  Walk walk;
  std::vector<float> loss;  // of each row
};

double logloss(const Scored& model, const std::vector<uint8_t>& count, std::span<const float> weights) {
  double sum = 0, weight = 0;
  for (size_t i = 0; i < count.size(); ++i) {
    const double w = weights.empty() ? double(count[i] >> 1) : (count[i] >> 1) * double(weights[i]);
    sum += w * double(model.loss[i]);
    weight += w;
  }
  return sum / weight;
}

}  // namespace

Replicates bootstrap(const ScoredRows& rows, int64_t replicates, uint64_t seed) {
  INTERPLAY_CHECK(replicates >= 2, "bootstrap: {} replicates; expected at least 2", replicates);
  std::vector<Scored> models;
  for (const auto& logit : rows.logit) {
    check_rows(rows.label.size(), logit, rows.weight);
    Scored& model = models.emplace_back(Scored{Walk(logit), {}});
    for (size_t i = 0; i < logit.size(); ++i) model.loss.push_back(float(cross_entropy(logit[i], rows.label[i])));
  }
  const Draws draws(rows.label, seed);
  const auto judge = [&](const std::vector<uint8_t>& count) {
    std::vector<Judgement> out;
    for (const auto& m : models)
      out.push_back({auc(m.walk, count, rows.weight).value(), logloss(m, count, rows.weight)});
    return out;
  };
  Replicates out{judge(draws.once()), std::vector<std::vector<Judgement>>(size_t(replicates))};
  INTERPLAY_CHECK_DATA(out.whole.empty() || !std::isnan(out.whole[0].auc),
                       "bootstrap: the {} labels are all of one class; AUC needs both", rows.label.size());
  at::parallel_for(0, replicates, 1, [&](int64_t first, int64_t last) {
    std::vector<uint8_t> count;
    for (int64_t r = first; r < last; ++r) {
      draws.draw(r, count);
      out.drawn[size_t(r)] = judge(count);
    }
  });
  return out;
}

Interval percentile_interval(double value, std::vector<double> replicates, double level) {
  const std::vector<double> values = sorted(std::move(replicates));
  return {value, quantile(values, (1 - level) / 2), quantile(values, (1 + level) / 2)};
}

}  // namespace interplay
