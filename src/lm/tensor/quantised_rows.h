#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include <interplay/base/api.h>
#include <interplay/lm/gguf.h>

namespace interplay::lm {

constexpr int64_t kQuantisedBlock = 32;  // numbers that share a scale

/// How quantised rows of W are held: codes of all blocks, then scales d in f32, then (q4) offsets m in f32. A number is
/// d q + m, with q of 0 to 15, or d q, with q of -127 to 127.
enum class Quantised : uint8_t { q4, q8 };

/// Of a row of so many blocks.
int64_t quantised_bytes(Quantised kind, int64_t blocks);
/// Whether rows of this type can be held so: q4_0, q4_1, q8_0.
bool is_quantised(GgufType type);
Quantised quantised_as(GgufType type);
/// A row as a file has it, as it is held: the same numbers exactly.
void repack_row(GgufType type, const char* from, int64_t blocks, char* to);

/// Rows of x [N, in] in fixed point, 16 bits a number: each block of 32 has a scale of its own, its largest number's
/// 1/32767. NaN and infinity make all of their block NaN. In the order in which tiles read them: up to eight rows at a
/// time, of these a block of each, block after block.
class RoundedRows {
 public:
  RoundedRows(const float* x, int64_t rows, int64_t in);
  int64_t rows() const { return rows_; }
  int64_t blocks() const { return blocks_; }
  /// How many rows the group that begins with this one has: 8, 4, 2 or 1.
  int64_t group(int64_t first) const { return std::min<int64_t>(8, int64_t(std::bit_floor(uint64_t(rows_ - first)))); }
  const int16_t* codes(int64_t first) const { return codes_.data() + first * blocks_ * kQuantisedBlock; }
  const float* scales(int64_t first) const { return scales_.data() + first * blocks_; }
  /// Of each block's numbers; with zeros behind them up to a multiple of eight, as offsets of W have.
  const float* sums(int64_t row) const { return sums_.data() + row * ((blocks_ + 7) / 8 * 8); }

 private:
  int64_t rows_, blocks_;
  std::vector<int16_t> codes_;
  std::vector<float> scales_, sums_;
};

/// y[n][r] = W_r . x_n of `rows` rows of W, into y [N, y_stride]. Exact within a block, then summed in f32 in an order
/// that neither the number of rows nor the processor changes. `plain`: by the twin that any processor runs.
INTERPLAY_API void multiply_quantised(Quantised kind, const char* w, int64_t rows, const RoundedRows& x, float* y,
                                      int64_t y_stride, bool plain = false);

}  // namespace interplay::lm
