#include "systems/autograph/row_edges.h"

#include <algorithm>
#include <limits>
#include <vector>

#include <ATen/ATen.h>

#include <interplay/base/random.h>

namespace interplay::autograph {

void take_some(std::vector<int64_t>& nodes, int64_t most, uint64_t seed, uint64_t stream) {
  const auto n = int64_t(nodes.size());
  if (n <= most) return;
  for (int64_t i = 0; i < most; ++i)  // the first places of a shuffle
    std::swap(nodes[size_t(i)], nodes[size_t(i) + random_bits(seed, stream, uint64_t(i)) % uint64_t(n - i)]);
  nodes.resize(size_t(most));
}

at::Tensor row_items(const Sequence& history, int64_t most, bool draw) {
  const auto ids = history.ids.cpu().contiguous(), offsets = history.offsets.cpu().contiguous();
  const auto* const id = ids.const_data_ptr<int32_t>();
  const auto* const at = offsets.const_data_ptr<int64_t>();
  const int64_t B = offsets.size(0) - 1;
  auto out = at::full({B, most}, -1, at::kLong);
  auto* const to = out.mutable_data_ptr<int64_t>();
  // one number of the generator a batch: rows are drawn by (that, row)
  const auto number =
      draw ? at::randint(std::numeric_limits<int64_t>::max(), {1}, at::kLong) : at::zeros({1}, at::kLong);
  const auto seed = uint64_t(number.item<int64_t>());
  std::vector<int64_t> items;
  for (int64_t b = 0; b < B; ++b) {
    items.clear();
    for (int64_t e = at[b + 1] - 1; e >= at[b]; --e) {  // the last ones first
      if (id[e] > 0 && std::find(items.begin(), items.end(), id[e]) == items.end()) items.push_back(id[e]);
    }
    if (draw) take_some(items, most, seed, uint64_t(b));
    std::copy_n(items.begin(), std::min(int64_t(items.size()), most), to + b * most);
  }
  return out;
}

at::Tensor without_a_click(const at::Tensor& lists, const at::Tensor& own) {
  const auto itself = lists.eq(own.unsqueeze(1));
  const auto drawn = at::rand(lists.sizes(), lists.options().dtype(at::kFloat)).masked_fill(lists.lt(0), -1).argmax(1);
  const auto other = at::arange(lists.size(1), lists.options()).unsqueeze(0).eq(drawn.unsqueeze(1));
  const auto lacks = itself.any(1).logical_or(lists.ge(0).all(1)).logical_not();
  return lists.masked_fill(itself.logical_or(other.logical_and(lacks.unsqueeze(1))), -1);
}

}  // namespace interplay::autograph
