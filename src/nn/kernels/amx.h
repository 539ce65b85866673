#pragma once

#include <cstdint>

#include <interplay/base/api.h>

/// Matrix products on the tiles of Intel's AMX, for the one product that oneDNN runs at half its speed: gradients of
/// weights, whose long dimension is the batch.
namespace interplay::nn::amx {

constexpr int64_t kTile = 16;       // rows of a tile, and columns of f32
constexpr int64_t kPanelRows = 32;  // batch rows a panel

/// Whether tiles of bf16 can be used; asks the system for them once.
INTERPLAY_API bool is_present();

/// Sums g^T x over batch rows, a block at a time. g bf16 [N, out], x bf16 [N, in]; one a thread.
class INTERPLAY_API WeightGradient {
 public:
  /// `sum` f32 [rounded(out), rounded(in)], zero at first; `scratch` bf16 of scratch_size() numbers, 64-byte aligned.
  WeightGradient(int64_t out, int64_t in, float* sum, uint16_t* scratch);
  static int64_t rounded(int64_t n) { return (n + kTile - 1) / kTile * kTile; }
  static constexpr int64_t kBlockRows = 512;  // as many as keep a block's panels in the second-level cache
  static int64_t scratch_size(int64_t out, int64_t in) { return kBlockRows * (rounded(out) + rounded(in)); }
  void add(const uint16_t* g, const uint16_t* x, int64_t rows);  ///< rows <= kBlockRows

 private:
  int64_t out_, in_;
  float* sum_;
  uint16_t *g_panels_, *x_panels_;
};

}  // namespace interplay::nn::amx
