#include "lm/tensor/attention_step.h"

#include <cmath>

#include <interplay/base/tasks.h>

#include "lm/tensor/attention.h"
#include "lm/tensor/one_pass.h"

namespace interplay::lm {
namespace {

/// to = (a rotation of) from * scale
void rotate(const float* from, int64_t head_dim, const float* c, const float* s, float scale, float* to) {
  const int64_t half = head_dim / 2;
  for (int64_t k = 0; k < half; ++k) {
    to[k] = (from[k] * c[k] - from[k + half] * s[k]) * scale;
    to[k + half] = (from[k + half] * c[k] + from[k] * s[k]) * scale;
  }
}

/// scores[t] = q keys[t]
INTERPLAY_CLONES void score_keys(const float* q, const float* keys, int64_t count, int64_t head_dim, float* scores) {
  for (int64_t t = 0; t < count; ++t, keys += head_dim) {
    Floats sum{};
    float rest = 0;
    int64_t k = 0;
    for (; k + simd::kLanes <= head_dim; k += simd::kLanes) sum += simd::load(q + k) * simd::load(keys + k);
    for (; k < head_dim; ++k) rest += q[k] * keys[k];
    scores[t] = simd::sum(sum) + rest;
  }
}

/// out = scale sum over t of p[t] values[t]. Even and odd places are summed apart, so that none waits for the other.
INTERPLAY_CLONES void mix_values(const float* p, const float* values, int64_t count, int64_t head_dim, float scale,
                                 float* out) {
  int64_t k = 0;
  for (; k + simd::kLanes <= head_dim; k += simd::kLanes) {
    Floats even{}, odd{};
    int64_t t = 0;
    for (; t + 2 <= count; t += 2) {
      even += simd::load(values + t * head_dim + k) * p[t];
      odd += simd::load(values + (t + 1) * head_dim + k) * p[t + 1];
    }
    if (t < count) even += simd::load(values + t * head_dim + k) * p[t];
    simd::store(out + k, (even + odd) * scale);
  }
  for (; k < head_dim; ++k) {
    float sum = 0;
    for (int64_t t = 0; t < count; ++t) sum += p[t] * values[t * head_dim + k];
    out[k] = sum * scale;
  }
}

}  // namespace

at::Tensor attention_step(const at::Tensor& qkv, const AttentionStep& call) {
  const int64_t d = call.head_dim, group = call.heads / call.kv_heads, width = qkv.size(1);
  auto out = at::empty({qkv.size(0), call.heads * d}, qkv.options());
  const float *const from = numbers<float>(qkv), *const c = numbers<float>(call.cosines),
                     *const s = numbers<float>(call.sines);
  float* const to = mutable_numbers<float>(out);
  run_tasks(qkv.size(0) * call.kv_heads, [&](int64_t task) {
    const int64_t b = task / call.kv_heads, head = task % call.kv_heads, past = call.past[size_t(b)], seen = past + 1;
    const float *const row = from + b * width, *const cosines = c + b * d / 2, *const sines = s + b * d / 2;
    float* const keys = call.memory[size_t(b)] + head * call.capacity[size_t(b)] * d;
    float* const values = keys + call.kv_heads * call.capacity[size_t(b)] * d;
    rotate(row + (call.heads + head) * d, d, cosines, sines, 1.f, keys + past * d);
    std::copy_n(row + (call.heads + call.kv_heads + head) * d, d, values + past * d);
    std::vector<float> q(static_cast<size_t>(d)), scores(static_cast<size_t>(seen));
    for (int64_t h = head * group; h < (head + 1) * group; ++h) {
      rotate(row + h * d, d, cosines, sines, 1 / std::sqrt(float(d)), q.data());
      score_keys(q.data(), keys, seen, d, scores.data());
      float log_sum = 0;
      const float scale = softmax_row(scores.data(), seen, seen, &log_sum);
      mix_values(scores.data(), values, seen, d, scale, to + (b * call.heads + h) * d);
    }
  });
  return out;
}

}  // namespace interplay::lm
