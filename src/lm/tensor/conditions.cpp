#include <interplay/lm/conditions.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

namespace interplay::lm {

Conditions::Conditions(std::span<const TokenIds> texts, at::Tensor vectors, AdapterCall adapters)
    : vectors_(std::move(vectors)), offsets_{0}, adapters_(std::move(adapters)) {
  for (const auto& text : texts)
    offsets_.push_back(offsets_.back() + std::count(text.begin(), text.end(), TokenBatch::kVector));
  const int64_t given = vectors_.defined() ? vectors_.size(0) : 0;
  INTERPLAY_CHECK(given == offsets_.back(), "{} vectors for {} places in {} texts; expected one for each", given,
                  offsets_.back(), texts.size());
  for (const auto& [name, mix] : adapters_.mixes) {
    for (const auto& part : {mix.core, mix.experts})
      INTERPLAY_CHECK(!part.defined() || part.size(0) == int64_t(texts.size()),
                      "{}: cores or experts of {} texts for {}", name, part.size(0), texts.size());
  }
}

at::Tensor Conditions::vectors(std::span<const int64_t> which) const {
  if (!vectors_.defined()) return {};
  std::vector<int64_t> rows;
  for (const int64_t w : which) {
    for (int64_t v = offsets_[size_t(w)]; v < offsets_[size_t(w) + 1]; ++v) rows.push_back(v);
  }
  return vectors_.index_select(0, at::tensor(rows, at::kLong));
}

AdapterCall Conditions::adapters(std::span<const int64_t> which) const {
  AdapterCall out;
  if (adapters_.mixes.empty()) return out;
  const auto rows = at::tensor(at::ArrayRef<int64_t>(which.data(), which.size()), at::kLong);
  const auto select = [&](const at::Tensor& of) { return of.defined() ? of.index_select(0, rows) : of; };
  for (const auto& [name, mix] : adapters_.mixes) out.mixes[name] = {select(mix.core), select(mix.experts)};
  return out;
}

}  // namespace interplay::lm
