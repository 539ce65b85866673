#include "lm/tensor/texts.h"

#include <algorithm>
#include <numeric>

#include <interplay/base/with_place.h>

namespace interplay::lm {

size_t shared_tokens(std::span<const TokenIds> ids, size_t most) {
  if (ids.size() < 2) return 0;
  size_t shared = most;
  for (const auto& one : ids) {
    shared = std::min(shared, one.size() - 1);
    shared = size_t(std::mismatch(one.begin(), one.begin() + int64_t(shared), ids[0].begin()).first - one.begin());
  }
  return shared;
}

std::vector<int64_t> longest_first(std::span<const TokenIds> ids) {
  std::vector<int64_t> order(ids.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return ids[size_t(a)].size() > ids[size_t(b)].size(); });
  return order;
}

std::vector<TokenIds> ids_of_all(const TextEncoder& encoder, std::span<const std::string> texts) {
  std::vector<TokenIds> ids;
  for (const auto& text : texts)
    ids.push_back(with_place(fmt::format("text {}", ids.size() + 1), [&] { return encoder.ids_of(text); }));
  return ids;
}

}  // namespace interplay::lm
