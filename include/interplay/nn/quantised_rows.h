#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::nn {

/// Rows of a table in fewer bits: fp16, bf16, or int8 with a scale for each row, x = q * scale; of rows narrower than
/// kNarrow, whose scales would weigh as much as they do, as many as kRowsAScale share one. In a file they are the
/// entries PATH.weight and, of int8, PATH.weight.scale.
struct QuantisedRows {
  static constexpr int64_t kNarrow = 8, kRowsAScale = 64;

  at::Tensor rows;   ///< I8, F16 or BF16 [R, K]
  at::Tensor scale;  ///< of I8: BF16 [R], or of narrow rows [ceil(R / kRowsAScale)]

  int64_t rows_a_scale() const { return rows.size(1) < kNarrow ? kRowsAScale : 1; }
};

INTERPLAY_API const std::vector<std::string>& quantised_types();  ///< int8, fp16, bf16
/// f32 [R, K] rounded to the nearest of that type: of int8 the largest of the numbers that share a scale is 127.
INTERPLAY_API QuantisedRows quantise(const at::Tensor& rows, const std::string& type);
INTERPLAY_API at::Tensor dequantise(const QuantisedRows& rows);  ///< f32 [R, K]

/// Of the entries of a weight file those that are quantised, by name of the rows. Throws Error(data), naming file and
/// entry, where a scale is missing or does not fit.
INTERPLAY_API std::map<std::string, QuantisedRows> quantised_of(const std::map<std::string, at::Tensor>& entries,
                                                                const std::string& from);
/// The entries as if they were not.
INTERPLAY_API std::map<std::string, at::Tensor> dequantised(std::map<std::string, at::Tensor> entries,
                                                            const std::string& from);

}  // namespace interplay::nn
