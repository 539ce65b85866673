#include <interplay/nn/sampled_softmax.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/random.h>

namespace interplay::nn {

at::Tensor in_batch_softmax(const at::Tensor& query, const at::Tensor& item, const at::Tensor& id, double temperature,
                            const at::Tensor& log_probability) {
  const int64_t rows = query.size(0);
  INTERPLAY_CHECK(query.dim() == 2 && query.sizes() == item.sizes() && id.numel() == rows,
                  "in-batch softmax: queries [{}], items [{}], {} ids; expected [B, K] twice and B ids",
                  fmt::join(query.sizes(), ", "), fmt::join(item.sizes(), ", "), id.numel());
  auto score = at::matmul(query, item.t()) / temperature;  // [B, B]
  if (log_probability.defined()) score = score - log_probability.unsqueeze(0);
  const auto same = id.unsqueeze(1).eq(id.unsqueeze(0));
  const auto itself = at::eye(rows, same.options()).to(at::kBool);
  score = score.masked_fill(same.logical_and(itself.logical_not()), -INFINITY);
  return at::logsumexp(score, 1) - score.diagonal();
}

at::Tensor sampled_softmax(const at::Tensor& query, const at::Tensor& item, const at::Tensor& candidates,
                           const at::Tensor& which, double temperature) {
  INTERPLAY_CHECK(
      query.dim() == 2 && query.sizes() == item.sizes() && candidates.dim() == 2 && which.dim() == 2 &&
          which.size(0) == query.size(0),
      "sampled softmax: queries [{}], items [{}], drawn [{}] of [{}]; expected [B, K] twice, [B, N] of [M, K]",
      fmt::join(query.sizes(), ", "), fmt::join(item.sizes(), ", "), fmt::join(which.sizes(), ", "),
      fmt::join(candidates.sizes(), ", "));
  const auto own = (query * item).sum(1, true);                            // [B, 1]
  const auto others = at::matmul(query, candidates.t()).gather(1, which);  // [B, N]
  const auto score = at::cat({own, others}, 1) / temperature;
  return at::logsumexp(score, 1) - score.select(1, 0);
}

at::Tensor draw_negatives(const at::Tensor& own, const at::Tensor& all, int64_t count) {
  const auto mine = own.contiguous(), ids = all.contiguous();
  const auto* const id = ids.const_data_ptr<int64_t>();
  const int64_t A = ids.size(0), n = std::max<int64_t>(0, std::min(count, A - 1));
  auto out = at::empty({own.size(0), n}, at::kLong);
  if (out.numel() == 0) return out;
  // one number of the generator a batch: rows are drawn by (that, row)
  const auto seed = uint64_t(at::randint(std::numeric_limits<int64_t>::max(), {1}, at::kLong).item<int64_t>());
  std::vector<int64_t> drawn_for(size_t(A), -1);  // the row that has drawn a place already
  for (int64_t b = 0; b < own.size(0); ++b) {
    auto* const to = out.mutable_data_ptr<int64_t>() + b * n;
    const int64_t itself = mine.const_data_ptr<int64_t>()[b], *const at = std::lower_bound(id, id + A, itself);
    const bool is_there = at != id + A && *at == itself;
    const int64_t others = A - int64_t(is_there);
    for (int64_t j = others - n; j < others; ++j) {  // Floyd's: n distinct places among the others
      auto place = int64_t(random_bits(seed, uint64_t(b), uint64_t(j)) % uint64_t(j + 1));
      if (drawn_for[size_t(place)] == b) place = j;
      drawn_for[size_t(place)] = b;
      to[j - (others - n)] = id[place + int64_t(is_there && place >= at - id)];
    }
  }
  return out;
}

}  // namespace interplay::nn
