#pragma once

#include <string>

#include <interplay/core/model.h>

namespace interplay {

/// After a loss that is not a number: looks for what caused it and throws Error(numeric) naming tensor, field and row.
[[noreturn]] void explain_not_finite(Model& model, const Batch& batch, const Schema& schema, int64_t step, double loss);

}  // namespace interplay
