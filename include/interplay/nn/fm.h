#pragma once

#include <interplay/nn/field_vectors.h>

namespace interplay::nn {

/// Second-order term of a factorisation machine: sum over i<j of <e_i, e_j>, in O(FK) (Rendle 2010, lemma 3.1). On the
/// CPU in one pass over the tables, without [B, F, K] in either direction.
/// f32 [B, F, K] -> f32 [B]
INTERPLAY_API at::Tensor fm(const FieldVectors& fields);

/// Sum over the fields, in one pass likewise: f32 [B, F, K] -> f32 [B, K]
INTERPLAY_API at::Tensor sum_fields(const FieldVectors& fields);

/// The same as fm() before the sum over K, 0.5 [(sum e)^2 - sum e^2] (NFM's bi-interaction): f32 [B, F, K] -> f32 [B,
/// K]
INTERPLAY_API at::Tensor bi_interaction(const FieldVectors& fields);

/// Inner products of the given pairs of fields, in their order, in O(PK) without [B, P, K]: f32 [B, F, K], i64 [P], i64
/// [P] -> f32 [B, P]
INTERPLAY_API at::Tensor inner_products(const FieldVectors& fields, const at::Tensor& left, const at::Tensor& right);

/// All pairs i<j in lexicographic order, as (left, right) index tensors i64 [F(F-1)/2].
INTERPLAY_API std::pair<at::Tensor, at::Tensor> all_pairs(int64_t fields);

}  // namespace interplay::nn
