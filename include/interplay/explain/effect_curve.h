#pragma once

#include <string>
#include <vector>

#include <interplay/core/bootstrap.h>
#include <interplay/explain/sampled_rows.h>

namespace interplay {

/// How the mean probability moves with one number: partial dependence (Friedman 2001, "Greedy function approximation",
/// sec. 8.2).
struct EffectCurve {
  struct Point {
    double value = 0;   ///< as raw data have it
    double stored = 0;  ///< as the model sees it, after the field's transform
    Interval p;         ///< mean over the rows with this value in place of their own, and its 95% interval
  };
  std::string field;
  std::vector<Point> points;  ///< by rising value
};

struct EffectOptions {
  int64_t points = 20;  ///< quantiles of the field at most; equal ones are one point
  int64_t rows = 1000;  ///< of the sample, the first so many
  std::string progress{};
};

/// A curve for each numeric field, of the rows' values at evenly spaced quantiles from 2.5% to 97.5%. The interval is
/// 1.96 standard errors of the mean over rows: it says how well the rows know the mean, not how far single rows lie
/// from it. Combinations of values that no row has are scored too where fields go together.
INTERPLAY_API std::vector<EffectCurve> effect_curves(const LabelLogit& logit, const SampledRows& rows,
                                                     const EffectOptions& options = {});

/// The number that is stored as this one: the field's transform, turned round.
INTERPLAY_API double raw_number(const Field& field, double stored);

}  // namespace interplay
