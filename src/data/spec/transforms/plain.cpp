// Numbers that stay magnitudes.
#include <cmath>

#include <interplay/data/transform.h>

namespace interplay {
namespace {

class None final : public Transform {
 public:
  using Options = NoOptions;
  explicit None(const Options&) {}
};
INTERPLAY_REGISTER(transforms(), "none", None, "the number as it is");

class Log1p final : public Transform {
 public:
  using Options = NoOptions;
  explicit Log1p(const Options&) {}
  double apply(double x) const override { return std::copysign(std::log1p(std::fabs(x)), x); }
};
INTERPLAY_REGISTER(transforms(), "log1p", Log1p, "ln(1 + |x|), with the sign of x");

class Standardise final : public Transform {
 public:
  using Options = NoOptions;
  explicit Standardise(const Options&) {}
  bool is_fitted() const override { return true; }
  Scale fit(const NumberStatistics& s) const override { return {s.mean, s.deviation}; }
};
INTERPLAY_REGISTER(transforms(), "standardise", Standardise, "mean 0 and deviation 1 in the training rows");

class MinMax final : public Transform {
 public:
  using Options = NoOptions;
  explicit MinMax(const Options&) {}
  bool is_fitted() const override { return true; }
  Scale fit(const NumberStatistics& s) const override { return {s.low, s.high - s.low}; }
};
INTERPLAY_REGISTER(transforms(), "min_max", MinMax, "0 for the smallest training row, 1 for the largest");

}  // namespace
}  // namespace interplay
