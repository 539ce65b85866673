#include "systems/flip/masking.h"

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/random.h>

namespace interplay::flip {
namespace {

constexpr uint64_t kKeySeed = 0x666c6970, kChoiceSeed = 0x6d61736b;  // any: an evaluation is the same with every seed

/// Of each row's numbers, the places of the least: all choices of `count` fields are alike where numbers are.
at::Tensor least(const at::Tensor& numbers, int64_t count) {
  auto chosen = at::zeros(numbers.sizes(), numbers.options().dtype(at::kBool));
  return chosen.scatter_(1, std::get<1>(numbers.topk(count, 1, /*largest=*/false)), true);
}

}  // namespace

int64_t masked_count(int64_t fields, double ratio) {
  return std::clamp<int64_t>(int64_t(ratio * double(fields)), fields > 0 ? 1 : 0, fields);
}

at::Tensor draw_fields(int64_t rows, int64_t fields, int64_t count) {
  return least(at::rand({rows, fields}, at::kDouble), count);
}

std::vector<uint64_t> row_keys(const at::Tensor& ids) {
  const auto flat = ids.to(at::kCPU, at::kLong).contiguous();
  const auto* const id = flat.const_data_ptr<int64_t>();
  std::vector<uint64_t> keys(size_t(flat.size(0)), 0);
  for (size_t b = 0; b < keys.size(); ++b) {
    for (int64_t f = 0; f < flat.size(1); ++f) {
      const int64_t one = id[int64_t(b) * flat.size(1) + f];
      if (one >= 0) keys[b] = random_bits(kKeySeed + keys[b], uint64_t(one), uint64_t(f));
    }
  }
  return keys;
}

at::Tensor fixed_fields(const std::vector<uint64_t>& keys, int64_t fields, int64_t count) {
  auto numbers = at::empty({int64_t(keys.size()), fields}, at::kDouble);
  auto* const number = numbers.mutable_data_ptr<double>();
  for (size_t b = 0; b < keys.size(); ++b) {
    for (int64_t f = 0; f < fields; ++f)
      number[int64_t(b) * fields + f] = random_unit(kChoiceSeed, keys[b], uint64_t(f));
  }
  return least(numbers, count);
}

at::Tensor fixed_numbers(const std::vector<uint64_t>& keys, const at::Tensor& rows, const at::Tensor& places, int64_t n,
                         uint64_t seed) {
  const auto row = rows.to(at::kCPU).contiguous(), place = places.to(at::kCPU).contiguous();
  auto out = at::empty({row.size(0), n}, at::kDouble);
  auto* const number = out.mutable_data_ptr<double>();
  for (int64_t e = 0; e < row.size(0); ++e) {
    const uint64_t key = keys[size_t(row.const_data_ptr<int64_t>()[e])];
    const auto first = uint64_t(place.const_data_ptr<int64_t>()[e] * n);
    for (int64_t i = 0; i < n; ++i) number[e * n + i] = random_unit(seed, key, first + uint64_t(i));
  }
  return out;
}

at::Tensor mask_ids(const at::Tensor& ids, const at::Tensor& chosen) { return ids.masked_fill(chosen, 0); }

MaskedText mask_text(const at::Tensor& ids, const at::Tensor& columns, const at::Tensor& chosen, int64_t mask) {
  const auto masked = chosen.gather(1, columns.clamp_min(0)).logical_and(columns >= 0);
  return {ids.masked_fill(masked, mask), masked};
}

}  // namespace interplay::flip
