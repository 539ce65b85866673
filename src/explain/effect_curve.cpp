#include <interplay/explain/effect_curve.h>

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/progress.h>
#include <interplay/data/field_encoding.h>
#include <interplay/data/transform.h>

namespace interplay {
namespace {

constexpr double kLowest = 0.025, kHighest = 0.975;

/// Values of a column at evenly spaced quantiles, each once.
std::vector<double> grid(const at::Tensor& values, int64_t points) {
  const auto sorted = std::get<0>(values.to(at::kDouble).sort());
  std::vector<double> out;
  for (int64_t i = 0; i < points; ++i) {
    const double share = points == 1 ? 0.5 : kLowest + (kHighest - kLowest) * double(i) / double(points - 1);
    out.push_back(sorted[std::llround(share * double(sorted.size(0) - 1))].item<double>());
  }
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Interval mean_of(const at::Tensor& p) {
  const double mean = p.mean().item<double>();
  const double error = p.size(0) > 1 ? p.std().item<double>() / std::sqrt(double(p.size(0))) : 0;
  return {mean, mean - 1.96 * error, mean + 1.96 * error};
}

}  // namespace

std::vector<EffectCurve> effect_curves(const LabelLogit& logit, const SampledRows& rows, const EffectOptions& options) {
  INTERPLAY_CHECK(options.points >= 1 && options.rows >= 1, "effect curves: {} points over {} rows; expected some",
                  options.points, options.rows);
  const at::NoGradGuard no_grad;
  const auto numeric = rows.schema().of(FieldKind::numeric);
  const auto some = at::arange(std::min(options.rows, rows.rows()));
  Progress progress(options.progress, int64_t(numeric.size()));
  std::vector<EffectCurve> out;
  for (const Field* f : numeric) {
    EffectCurve& curve = out.emplace_back(EffectCurve{f->name, {}});
    Features x = rows.take(some);
    for (const double value : grid(rows.features().dense.select(1, f->column), options.points)) {
      x.dense.select(1, f->column).fill_(value);
      curve.points.push_back({raw_number(*f, value), value, mean_of(logit(x).to(at::kDouble).sigmoid())});
    }
    if (!options.progress.empty()) progress.add(1);
  }
  return out;
}

double raw_number(const Field& field, double stored) {
  FieldEncoding encoding;
  if (!field.encoding.is_null()) read_options(encoding, field.encoding);
  const auto& v = encoding.values;
  const double goal = stored * v.scale + v.shift;
  const auto transform = transforms().make(v.transform);
  // Transforms of magnitudes rise; the interval is far wider than any raw number.
  double low = -1e15, high = 1e15;
  if (transform->apply(goal) == goal) return goal;
  while (high - low > 1e-9 * std::max(1.0, std::abs(low))) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (transform->apply(middle) < goal ? low : high) = middle;
  }
  return high;
}

}  // namespace interplay
