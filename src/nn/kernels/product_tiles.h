#pragma once

#include <array>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/error.h>

namespace interplay::nn {

/// What computes products of field vectors, sixteen batch rows side by side: element w of these rows is one vector of a
/// "tile" [W, 16], so that a product of fields is K multiplications of vectors and no sum across lanes.

/// A list of sets as groups of neighbours that share all fields but their last; the product of those they share is
/// computed once a group. Groups end where blocks of sets do: what a block needs stays in the first-level cache.
struct INTERPLAY_API SetList {
  static constexpr int64_t kBlock = 256;
  struct Group {
    std::array<int32_t, 3> shared;  // order - 1 fields
    int32_t begin, end;             // sets
  };
  explicit SetList(const at::Tensor& sets);  ///< i64 [P, o], checked
  int64_t size() const { return int64_t(last.size()); }
  int64_t blocks() const { return int64_t(block_groups.size()) - 1; }
  int64_t first(int64_t block) const { return block * kBlock; }
  int64_t size(int64_t block) const { return std::min(kBlock, size() - first(block)); }

  int64_t order;
  std::vector<int32_t> last;  // [P]
  std::vector<Group> groups;
  std::vector<int32_t> block_groups;  // block b has groups block_groups[b] .. [b + 1]
};

/// f32 [B, F, K] and its sets, all on the CPU and contiguous.
struct ProductInput {
  const float* e;
  int64_t batch, fields, width;
  int64_t flat() const { return fields * width; }
};

/// A linear map of each product: scale_p (z_bp - mean_p), [P] each.
struct Scaling {
  const float *scale, *mean;
};

/// What flows back from a layer: d_b, the same for all sets of a row, or d_bp.
struct Flow {
  const float* d;  // [B], or [B, P]
  bool by_set;
};

/// Products as a pass left them, tile by tile, for those that follow: [tiles, P, 16]. Made where they take less time to
/// read than to compute again, else empty.
struct INTERPLAY_API KeptProducts {
  static KeptProducts of(const ProductInput& x, const SetList& sets);
  bool empty() const { return !z.defined(); }
  at::Tensor z;
};

/// z [B, P], scaled unless nullptr
INTERPLAY_API void products(const ProductInput& x, const SetList& sets, const Scaling* scaling, float* z,
                            const KeptProducts& kept = {});
/// Sum over p of what is scaled: [B]
INTERPLAY_API void product_sums(const ProductInput& x, const SetList& sets, const Scaling& scaling, float* out,
                                const KeptProducts& kept = {});
/// Mean and biased variance of each product over the batch: [P] each. Fills `keep`, unless it is empty.
INTERPLAY_API void product_statistics(const ProductInput& x, const SetList& sets, float* mean, float* variance,
                                      const KeptProducts& keep = {});
/// Sums over b of d and of d (z - mean): [P] each.
INTERPLAY_API void flow_statistics(const ProductInput& x, const SetList& sets, const float* mean, const Flow& flow,
                                   float* sums, float* dots, const KeptProducts& kept = {});
/// d_e [B, F, K], written whole, where d_z_bp = d_bp
INTERPLAY_API void product_gradients(const ProductInput& x, const SetList& sets, const float* d, float* d_e);
/// The same where d_z_bp = scale_p (d - centre_p - (z_bp - mean_p) slope_p); centre, slope nullptr: all zero. `kept`
/// holds the products of a longer list, in which set p is place[p].
INTERPLAY_API void scaled_gradients(const ProductInput& x, const SetList& sets, const Scaling& scaling,
                                    const float* centre, const float* slope, const Flow& flow, float* d_e,
                                    const KeptProducts& kept = {}, const int64_t* place = nullptr);

}  // namespace interplay::nn
