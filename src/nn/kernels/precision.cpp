#include <interplay/nn/precision.h>

#include <interplay/base/error.h>

#include "nn/kernels/amx.h"
#include "nn/kernels/bf16_layers.h"

namespace interplay::nn {
namespace {

thread_local Precision current = Precision::fp32;

}  // namespace

std::string to_string(Precision precision) { return precision == Precision::bf16 ? "bf16" : "fp32"; }

bool bf16_is_native() { return __builtin_cpu_supports("avx512bf16") || amx::is_present(); }

Precision parse_precision(const std::string& name) {
  if (name == "auto") return bf16_is_native() ? Precision::bf16 : Precision::fp32;
  if (name == "bf16") return Precision::bf16;
  INTERPLAY_CHECK(name == "fp32", "precision: '{}' is not known; expected auto, fp32 or bf16", name);
  return Precision::fp32;
}

Precision precision() { return current; }

PrecisionGuard::PrecisionGuard(Precision precision) : before_(current) { current = precision; }
PrecisionGuard::~PrecisionGuard() {
  current = before_;
  if (before_ == Precision::fp32) forget_bf16();
}

}  // namespace interplay::nn
