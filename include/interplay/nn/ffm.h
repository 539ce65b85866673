#pragma once

#include <interplay/nn/field_vectors.h>

namespace interplay::nn {

/// Second-order term of a field-aware factorisation machine (Juan et al. 2016, doi:10.1145/2959100.2959134, eq. 4): sum
/// over i<j of <e_{i,j}, e_{j,i}>. Field i's row holds a vector of K numbers for each field j, e_{i,j}, in the order of
/// the fields; e_{i,i} is not read, and counts only so that fields of one table agree on what is where.
/// On the CPU in one pass over the tables; the backward pass does not read them again.
/// f32 [B, F, F K] -> f32 [B]
INTERPLAY_API at::Tensor ffm(const FieldVectors& fields);

}  // namespace interplay::nn
