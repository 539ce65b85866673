#include "nn/kernels/amx.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <interplay/nn/bf16.h>

namespace interplay::nn::amx {
namespace {

constexpr int64_t kTileNumbers = kTile * kPanelRows;  // bf16 in a tile

/// What holds LibTorch's products (oneDNN) back from tiles holds these kernels back too: a step is made of one kind.
bool tiles_are_allowed() {
  const char* const most = std::getenv("ONEDNN_MAX_CPU_ISA");
  if (!most) return true;
  const std::string_view isa = most;
  return isa.empty() || isa == "ALL" || isa == "DEFAULT" || isa.starts_with("AVX512_CORE_AMX") ||
         isa.starts_with("AVX10");
}

bool ask_for_tiles() {
  if (!tiles_are_allowed()) return false;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24;
  if ((d & kBf16) == 0 || (d & kTiles) == 0) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

/// Two batch rows of 16 numbers as 16 pairs.
INTERPLAY_INLINE simd::Bits pairs(simd::Halves even, simd::Halves odd) {
  return __builtin_convertvector(even, simd::Bits) | (__builtin_convertvector(odd, simd::Bits) << 16);
}

INTERPLAY_INLINE void transpose(simd::Bits (&v)[16]) {
  // By halves: after each step blocks of half the size have changed places across the diagonal.
  const auto swap = [&v](int distance, simd::Bits low, simd::Bits high) __attribute__((always_inline)) {
    for (int r = 0; r < 16; ++r) {
      if (r & distance) continue;
      const auto a = v[r], b = v[r + distance];
      v[r] = __builtin_shuffle(a, b, low);
      v[r + distance] = __builtin_shuffle(a, b, high);
    }
  };
  swap(8, simd::Bits{0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23},
       simd::Bits{8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31});
  swap(4, simd::Bits{0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27},
       simd::Bits{4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31});
  swap(2, simd::Bits{0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29},
       simd::Bits{2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31});
  swap(1, simd::Bits{0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30},
       simd::Bits{1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31});
}

/// 32 rows x 16 columns of a row-major matrix as 16 pairs a row; rows and columns past the end are zero.
INTERPLAY_INLINE void load_pairs(const uint16_t* from, int64_t width, int64_t rows, int64_t columns,
                                 simd::Bits (&v)[16]) {
  if (rows == kPanelRows && columns == kTile) {
    for (int r = 0; r < 16; ++r)
      v[r] = pairs(simd::load_halves(from + 2 * r * width), simd::load_halves(from + (2 * r + 1) * width));
    return;
  }
  alignas(64) uint16_t whole[kPanelRows][kTile] = {};
  for (int64_t r = 0; r < rows; ++r) std::memcpy(whole[r], from + r * width, size_t(columns) * sizeof(uint16_t));
  for (int r = 0; r < 16; ++r) v[r] = pairs(simd::load_halves(whole[2 * r]), simd::load_halves(whole[2 * r + 1]));
}

/// [rows, width] to tiles [width / 16][rows / 32][16 columns][32 rows], or, untransposed, [16 row pairs][16
/// columns][2].
template <bool kTransposed>
INTERPLAY_INLINE void pack(const uint16_t* from, int64_t width, int64_t rows, uint16_t* to) {
  const int64_t panels = (rows + kPanelRows - 1) / kPanelRows;
  for (int64_t p = 0; p < panels; ++p) {
    const int64_t here = std::min(kPanelRows, rows - p * kPanelRows);
    for (int64_t c = 0; c < width; c += kTile) {
      simd::Bits v[16];
      load_pairs(from + p * kPanelRows * width + c, width, here, std::min(kTile, width - c), v);
      if (kTransposed) transpose(v);
      auto* const tile = reinterpret_cast<simd::Bits*>(to + (c / kTile * panels + p) * kTileNumbers);
      for (int r = 0; r < 16; ++r) tile[r] = v[r];
    }
  }
}

__attribute__((target("arch=x86-64-v4"))) void pack_transposed(const uint16_t* from, int64_t width, int64_t rows,
                                                               uint16_t* to) {
  pack<true>(from, width, rows, to);
}
__attribute__((target("arch=x86-64-v4"))) void pack_pairs(const uint16_t* from, int64_t width, int64_t rows,
                                                          uint16_t* to) {
  pack<false>(from, width, rows, to);
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes_a_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// sum [.., stride] of out_tiles x in_tiles tiles += g^T x over `panels` panels
__attribute__((target("amx-tile,amx-bf16"))) void multiply(const uint16_t* g, const uint16_t* x, int64_t panels,
                                                           int64_t out_tiles, int64_t in_tiles, float* sum) {
  const TileConfig config;
  _tile_loadconfig(&config);
  const int64_t column = panels * kTileNumbers, stride = in_tiles * kTile;
  const int64_t bytes = stride * int64_t(sizeof(float));
  for (int64_t o = 0; o < out_tiles; o += 2) {
    for (int64_t i = 0; i < in_tiles; i += 2) {
      // The last tile of an odd number is worked on alone: its neighbour stands in for itself and is not stored.
      const bool two_out = o + 1 < out_tiles, two_in = i + 1 < in_tiles;
      float* const c = sum + o * kTile * stride + i * kTile;
      const uint16_t *const a = g + o * column, *const b = x + i * column;
      _tile_loadd(0, c, bytes);
      if (two_in) _tile_loadd(1, c + kTile, bytes);
      if (two_out) _tile_loadd(2, c + kTile * stride, bytes);
      if (two_in && two_out) {
        _tile_loadd(3, c + kTile * stride + kTile, bytes);
        for (int64_t p = 0; p < column; p += kTileNumbers) {
          _tile_loadd(4, a + p, 64);
          _tile_loadd(6, b + p, 64);
          _tile_dpbf16ps(0, 4, 6);
          _tile_loadd(5, a + column + p, 64);
          _tile_dpbf16ps(2, 5, 6);
          _tile_loadd(7, b + column + p, 64);
          _tile_dpbf16ps(1, 4, 7);
          _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(3, c + kTile * stride + kTile, bytes);
      } else {
        for (int64_t p = 0; p < column; p += kTileNumbers) {
          _tile_loadd(4, a + p, 64);
          _tile_loadd(6, b + p, 64);
          _tile_dpbf16ps(0, 4, 6);
          if (two_out) {
            _tile_loadd(5, a + column + p, 64);
            _tile_dpbf16ps(2, 5, 6);
          }
          if (two_in) {
            _tile_loadd(7, b + column + p, 64);
            _tile_dpbf16ps(1, 4, 7);
          }
        }
      }
      _tile_stored(0, c, bytes);
      if (two_in) _tile_stored(1, c + kTile, bytes);
      if (two_out) _tile_stored(2, c + kTile * stride, bytes);
    }
  }
  _tile_release();
}

}  // namespace

bool is_present() {
  static const bool present = ask_for_tiles();
  return present;
}

WeightGradient::WeightGradient(int64_t out, int64_t in, float* sum, uint16_t* scratch)
    : out_(out), in_(in), sum_(sum), g_panels_(scratch), x_panels_(scratch + kBlockRows * rounded(out)) {}

void WeightGradient::add(const uint16_t* g, const uint16_t* x, int64_t rows) {
  pack_transposed(g, out_, rows, g_panels_);
  pack_pairs(x, in_, rows, x_panels_);
  multiply(g_panels_, x_panels_, (rows + kPanelRows - 1) / kPanelRows, rounded(out_) / kTile, rounded(in_) / kTile,
           sum_);
}

}  // namespace interplay::nn::amx
