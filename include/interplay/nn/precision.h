#pragma once

#include <optional>
#include <string>

#include <interplay/base/api.h>

namespace interplay::nn {

/// What the factors of matrix products are rounded to; sums, weights and everything else stay f32.
enum class Precision { fp32, bf16 };

INTERPLAY_API std::string to_string(Precision precision);
/// "auto" | "fp32" | "bf16". auto: bf16 where this processor multiplies it itself (AVX512-BF16 or AMX), since elsewhere
/// bf16 is slower than fp32. Anything else is an Error.
INTERPLAY_API Precision parse_precision(const std::string& name);
INTERPLAY_API bool bf16_is_native();

/// The precision of layers that run in this thread: fp32, unless a PrecisionGuard says otherwise.
INTERPLAY_API Precision precision();

/// Sets it while in scope. A backward pass has the precision of its forward pass.
class INTERPLAY_API PrecisionGuard {
 public:
  explicit PrecisionGuard(Precision precision);
  ~PrecisionGuard();
  PrecisionGuard(const PrecisionGuard&) = delete;
  PrecisionGuard& operator=(const PrecisionGuard&) = delete;

 private:
  Precision before_;
};

}  // namespace interplay::nn
