#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::flip {

/// Masking by field (Wang et al. 2023, FLIP, arXiv:2310.19453, section 3.2): of a row's F fields some are chosen, all
/// alike and none twice, and masked whole: an id becomes 0, and every token of a value [MASK].

/// int(ratio F), but one at least.
INTERPLAY_API int64_t masked_count(int64_t fields, double ratio);

/// Which fields of each row: bool [B, F], `count` in each row. A new draw of torch's default generator every time.
INTERPLAY_API at::Tensor draw_fields(int64_t rows, int64_t fields, int64_t count);

/// Rows as numbers, by what they hold alone: ids i64 [B, F] -> B keys. -1 counts for nothing.
INTERPLAY_API std::vector<uint64_t> row_keys(const at::Tensor& ids);

/// A choice that follows from the row's key, for evaluations that are to be repeated: bool [B, F].
INTERPLAY_API at::Tensor fixed_fields(const std::vector<uint64_t>& keys, int64_t fields, int64_t count);

/// Numbers in [0, 1) that follow from the row's key: f64 [rows.size(0), n], of rows i64 [N] and places i64 [N] in them.
INTERPLAY_API at::Tensor fixed_numbers(const std::vector<uint64_t>& keys, const at::Tensor& rows,
                                       const at::Tensor& places, int64_t n, uint64_t seed);

/// ids i32 [B, F], chosen bool [B, F] -> the ids, the chosen ones 0.
INTERPLAY_API at::Tensor mask_ids(const at::Tensor& ids, const at::Tensor& chosen);

/// ids i64 [B, L], columns i64 [B, L] (-1: of none), chosen bool [B, C]: tokens of chosen columns become `mask`.
/// A column of which no token is left, as one behind the length limit, is recovered nowhere.
struct MaskedText {
  at::Tensor ids;     ///< i64 [B, L]
  at::Tensor masked;  ///< bool [B, L]: where a token is to be recovered
};
INTERPLAY_API MaskedText mask_text(const at::Tensor& ids, const at::Tensor& columns, const at::Tensor& chosen,
                                   int64_t mask);

}  // namespace interplay::flip
