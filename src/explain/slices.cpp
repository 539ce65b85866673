#include <interplay/explain/slices.h>

#include <algorithm>
#include <cmath>
#include <map>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

namespace interplay {
namespace {

/// Sums for the weighted mean of a number and its standard error.
struct Moments {
  double w = 0, wx = 0, w2 = 0, w2x = 0, w2xx = 0;
  void add(double weight, double x) {
    w += weight, wx += weight * x;
    w2 += weight * weight, w2x += weight * weight * x, w2xx += weight * weight * x * x;
  }
  Moments without(const Moments& part) const {
    return {w - part.w, wx - part.wx, w2 - part.w2, w2x - part.w2x, w2xx - part.w2xx};
  }
  double mean() const { return wx / w; }
  double variance() const {  // of the mean: sum of w^2 (x - mean)^2 over (sum of w)^2
    const double m = mean();
    return std::max(0.0, w2xx - 2 * m * w2x + m * m * w2) / (w * w);
  }
};

struct Sums {
  int64_t rows = 0;
  Moments loss, gap, p, observed;
  void add(double weight, double logit, double label) {
    const double likely = 1 / (1 + std::exp(-logit));
    const double cross = std::max(logit, 0.0) - logit * label + std::log1p(std::exp(-std::abs(logit)));
    ++rows;
    loss.add(weight, cross), gap.add(weight, likely - label), p.add(weight, likely), observed.add(weight, label);
  }
};

/// How far from 0 it surely is; below 0 where it may be 0.
double sure_distance(const Interval& i) { return std::max(i.low, -i.high); }

template <class Rank>
std::vector<RowSlice> first(std::vector<RowSlice> slices, int64_t most, const Rank& rank) {
  std::stable_sort(slices.begin(), slices.end(),
                   [&](const RowSlice& a, const RowSlice& b) { return rank(a) > rank(b); });
  if (int64_t(slices.size()) > most) slices.resize(size_t(most));
  return slices;
}

}  // namespace

double two_sided_z(double probability) {
  double low = 0, high = 40;
  while (high - low > 1e-12) {
    const double middle = (low + high) / 2;
    (std::erfc(middle / std::sqrt(2.0)) > probability ? low : high) = middle;
  }
  return low;
}

WorstSlices worst_slices(const SampledRows& fields, const std::vector<float>& logits, const SliceOptions& options) {
  INTERPLAY_CHECK(int64_t(logits.size()) == fields.rows(), "slices: {} logits for {} rows", logits.size(),
                  fields.rows());
  const auto weight = [&](size_t i) { return fields.weight().empty() ? 1.0 : double(fields.weight()[i]); };
  Sums all;
  for (size_t i = 0; i < logits.size(); ++i) all.add(weight(i), logits[i], fields.label()[i]);
  std::vector<std::pair<RowSlice, Sums>> found;
  for (const Field* f : fields.schema().of(FieldKind::categorical)) {
    const auto ids = fields.features().ids.select(1, f->column).contiguous();
    std::map<int32_t, Sums> by_id;
    for (size_t i = 0; i < logits.size(); ++i)
      by_id[ids.const_data_ptr<int32_t>()[i]].add(weight(i), logits[i], fields.label()[i]);
    for (const auto& [id, sums] : by_id) {
      const bool enough = sums.rows >= options.min_rows && sums.rows < all.rows && sums.loss.w > 0;
      if (enough) found.push_back({{f->name, id, sums.rows, sums.p.mean(), sums.observed.mean(), {}, {}}, sums});
    }
  }
  WorstSlices out;
  out.looked_at = int64_t(found.size());
  if (found.empty()) return out;
  const double z = two_sided_z(0.05 / double(found.size()));
  std::vector<RowSlice> slices;
  for (auto& [slice, sums] : found) {
    const Moments rest = all.loss.without(sums.loss);
    const double excess = sums.loss.mean() - rest.mean(), gap = sums.gap.mean();
    const double excess_error = std::sqrt(sums.loss.variance() + rest.variance());
    const double gap_error = std::sqrt(sums.gap.variance());
    slice.excess = {excess, excess - z * excess_error, excess + z * excess_error};
    slice.gap = {gap, gap - z * gap_error, gap + z * gap_error};
    slices.push_back(slice);
  }
  out.by_loss = first(slices, options.most, [](const RowSlice& s) { return s.excess.low; });
  out.by_gap = first(std::move(slices), options.most, [](const RowSlice& s) { return sure_distance(s.gap); });
  return out;
}

}  // namespace interplay
