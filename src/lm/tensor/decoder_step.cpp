// How a decoder goes on from what it has read: the cache of keys and values, and steps of one token a sequence.
#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

#include "lm/tensor/attention.h"
#include "lm/tensor/attention_step.h"
#include "lm/tensor/packed.h"
#include "lm/tensor/rms_norm.h"
#include "lm/tensor/swiglu.h"

namespace interplay::lm {

KvCache KvCache::fork(int64_t sequences) const {
  INTERPLAY_CHECK(pasts_.size() == 1, "a cache of {} sequences cannot be forked; expected one", pasts_.size());
  KvCache out(sequences);
  std::fill(out.pasts_.begin(), out.pasts_.end(), pasts_[0]);
  return out;
}

/// Memory behind the past of each sequence for as many more tokens.
void DecoderImpl::make_room(KvCache& cache, const std::vector<int64_t>& tokens) const {
  for (size_t b = 0; b < tokens.size(); ++b) {
    auto& past = cache.pasts_[b];
    const int64_t length = past.length + tokens[b];
    const int64_t capacity = past.memory.defined() ? past.memory.size(3) : 0;
    // Another holder than the caller's cache and its copy may read it.
    if (past.memory.defined() && past.memory.use_count() == 2 && length <= capacity) continue;
    // The first time as long as needed, then with room for as many again.
    auto memory =
        at::empty({config_.layers, 2, config_.kv_heads, past.length > 0 ? 2 * length : length, config_.head_dim},
                  final_norm_.options());
    if (past.length > 0) memory.narrow(3, 0, past.length).copy_(past.memory.narrow(3, 0, past.length));
    past.memory = memory;
  }
}

at::Tensor DecoderImpl::extend(KvCache& cache, const TokenBatch& batch, const at::Tensor& rows) {
  const at::NoGradGuard off;
  INTERPLAY_CHECK(cache.sequences() == batch.sequences(), "decoder: {} sequences for a cache of {}", batch.sequences(),
                  cache.sequences());
  KvCache longer = cache;  // so that an Error leaves the cache as it was
  std::vector<int64_t> tokens;
  for (size_t b = 1; b < batch.offsets.size(); ++b) tokens.push_back(batch.offsets[b] - batch.offsets[b - 1]);
  make_room(longer, tokens);
  DecoderCall call;
  call.rows = rows;
  auto hidden = read(batch, call, &longer);
  for (size_t b = 0; b < tokens.size(); ++b) longer.pasts_[b].length += tokens[b];
  cache = longer;
  return hidden;
}

namespace {

/// x W^T and what the adapters of W add to it. `packed`: W as its file has it, or empty.
at::Tensor step_product(const AdapterLinearImpl& linear, const StepMatrix& packed, const AdapterOptions* adapters,
                        const at::Tensor& x) {
  auto y = packed.out() > 0 ? packed.product(x) : StepMatrix(linear.weight()).product(x);
  for (const auto& adapter : linear.adapters()) {
    const auto more = StepMatrix(adapter.b).product(StepMatrix(adapter.a).product(x));
    y.narrow(1, adapter.first, adapter.width).add_(more, adapters->scale() / double(adapters->experts));
  }
  return y;
}

}  // namespace

at::Tensor DecoderImpl::step(KvCache& cache, std::span<const int64_t> ids) {
  const at::NoGradGuard off;
  const auto rows = int64_t(ids.size());
  INTERPLAY_CHECK(rows >= 1 && cache.sequences() == rows, "decoder: {} tokens for a cache of {} sequences", rows,
                  cache.sequences());
  INTERPLAY_CHECK(embedding_.is_cpu(), "decoder: steps of one token are taken on the CPU; the weights lie elsewhere");
  const auto tokens = at::tensor(at::ArrayRef<int64_t>(ids.data(), ids.size()), at::kLong);
  check_ids(tokens);
  AttentionStep attention{config_.heads, config_.kv_heads, config_.head_dim, {}, {}, {}, {}, {}};
  for (const auto& past : cache.pasts_) attention.past.push_back(past.length);
  const int64_t longest = *std::max_element(attention.past.begin(), attention.past.end()) + 1;
  INTERPLAY_CHECK(longest <= config_.context, "decoder: a sequence of {} tokens; the model was made for {} at most",
                  longest, config_.context);
  std::tie(attention.cosines, attention.sines) = rotary_rows(attention.past, config_.head_dim, config_.rope_base);
  KvCache longer = cache;
  make_room(longer, std::vector<int64_t>(ids.size(), 1));
  std::vector<int64_t> strides;  // of a layer in each memory
  for (const auto& past : longer.pasts_) {
    attention.memory.push_back(past.memory.mutable_data_ptr<float>());
    attention.capacity.push_back(past.memory.size(3));
    strides.push_back(past.memory.stride(0));
  }
  static const Packed::Layer none;
  const auto* const adapters = adapter_options();
  at::Tensor h = embed(tokens), a;
  for (size_t l = 0; l < layers_.size(); ++l) {
    const auto& own = layers_[l];
    const auto& packed = packed_ ? packed_->layers[l] : none;
    const auto [sum, x] = add_rms_norm(h, a, own.attention_norm, config_.norm_eps, at::kFloat);
    const auto mixed = attention_step(step_product(*own.qkv, packed.qkv, adapters, x), attention);
    const auto [sum2, x2] = add_rms_norm(sum, step_product(*own.output, packed.output, adapters, mixed), own.ffn_norm,
                                         config_.norm_eps, at::kFloat);
    a = step_product(*own.down, packed.down, adapters,
                     swiglu(step_product(*own.gate_up, packed.gate_up, adapters, x2)));
    h = sum2;
    for (size_t b = 0; b < strides.size(); ++b) attention.memory[b] += strides[b];
  }
  for (auto& past : longer.pasts_) ++past.length;
  cache = longer;
  const auto hidden = add_rms_norm(h, a, final_norm_, config_.norm_eps, at::kFloat).second;
  return (packed_ && packed_->head.out() > 0 ? packed_->head : StepMatrix(head_)).product(hidden);
}

}  // namespace interplay::lm
