#include <algorithm>
#include <array>
#include <cmath>

#include <interplay/data/transform.h>

namespace interplay {
namespace {

double computed(double x) {
  if (x <= 2) return double(int64_t(std::max(x, -0x1p53)));
  const double logarithm = std::log(x);
  return std::floor(logarithm * logarithm);
}

/// Those of 0, 1, 2 ...: most numbers of a log are small counts, and a logarithm takes longer than all else.
const std::array<int16_t, 4096> kSmall = [] {
  std::array<int16_t, 4096> buckets{};
  for (size_t x = 0; x < buckets.size(); ++x) buckets[x] = int16_t(computed(double(x)));
  return buckets;
}();

class LogSquareBucket final : public Transform {
 public:
  using Options = NoOptions;
  explicit LogSquareBucket(const Options&) {}
  bool makes_buckets() const override { return true; }
  double apply(double x) const override {
    if (x >= 0 && x < double(kSmall.size())) {
      const auto whole = size_t(x);
      if (double(whole) == x) return kSmall[whole];
    }
    return computed(x);
  }
};
INTERPLAY_REGISTER(transforms(), "log_square_bucket", LogSquareBucket,
                   "a bucket, as FuxiCTR has it for Criteo: floor(ln(x)^2) above 2, else the integer part of x");

}  // namespace
}  // namespace interplay
