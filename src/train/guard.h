#pragma once

#include <string>

#include <interplay/core/model.h>
#include <interplay/data/dataset.h>

namespace interplay {

/// After a loss that is not a number: looks for what caused it and throws Error(numeric) naming tensor, field and row.
[[noreturn]] void explain_not_finite(Model& model, const Batch& batch, const Schema& schema, int64_t step, double loss);

/// Throws Error(numeric) naming the first weight that is not finite: nothing is saved of such a model.
void check_weights(const Model& model, int64_t step);

/// Throws Error(numeric) where a logit is not finite, naming the row of the dataset (the batch's first is `first`) and
/// the largest number in it.
void check_logits(const at::Tensor& logit, Model& model, const Batch& batch, const Dataset& rows, int64_t first);

}  // namespace interplay
