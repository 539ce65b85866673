#include <interplay/nn/graph_attention.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>
#include <interplay/base/simd.h>
#include <interplay/nn/plain_scope.h>
#include <interplay/nn/row_linear.h>

namespace interplay::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kNodesPerTask = 64;

INTERPLAY_INLINE float dot(const float* a, const float* b, int64_t n) {
  simd::Floats sum{};
  int64_t i = 0;
  for (; i + simd::kLanes <= n; i += simd::kLanes) sum += simd::load(a + i) * simd::load(b + i);
  float rest = 0;
  for (; i < n; ++i) rest += a[i] * b[i];
  return simd::sum(sum) + rest;
}

/// to += x from
INTERPLAY_INLINE void add_scaled(float* to, float x, const float* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += x * from[i];
}

/// Addresses of what the kernels read and write.
struct Attention {
  const float *values, *source_score, *target_score;  // [S, H, D], [S, H], [T, H]
  const int64_t *sources, *offsets;
  int64_t heads, width;  // H, D
  float slope;
  float* share;  // [E, H]
};

/// Targets begin .. end: their shares [E, H], and out [T, H, D], which begins as zeros.
INTERPLAY_CLONES void attend_targets(const Attention& a, int64_t begin, int64_t end, float* out) {
  const int64_t H = a.heads, D = a.width;
  for (int64_t t = begin; t < end; ++t) {
    const int64_t first = a.offsets[t], last = a.offsets[t + 1];
    for (int64_t h = 0; h < H; ++h) {
      const float of_target = a.target_score[t * H + h];
      float most = -INFINITY, total = 0;
      for (int64_t e = first; e < last; ++e) {
        const float raw = a.source_score[a.sources[e] * H + h] + of_target;
        a.share[e * H + h] = raw > 0 ? raw : a.slope * raw;
        most = std::max(most, a.share[e * H + h]);
      }
      for (int64_t e = first; e < last; ++e) total += a.share[e * H + h] = std::exp(a.share[e * H + h] - most);
      float* const to = out + (t * H + h) * D;
      for (int64_t e = first; e < last; ++e) {
        const float share = a.share[e * H + h] /= total;
        add_scaled(to, share, a.values + (a.sources[e] * H + h) * D, D);
      }
    }
  }
}

/// The gradient of each edge's raw score [E, H], and of the targets' scores [T, H].
INTERPLAY_CLONES void score_gradients(const Attention& a, const float* d_out, int64_t begin, int64_t end, float* d_raw,
                                      float* d_target) {
  const int64_t H = a.heads, D = a.width;
  for (int64_t t = begin; t < end; ++t) {
    const int64_t first = a.offsets[t], last = a.offsets[t + 1];
    for (int64_t h = 0; h < H; ++h) {
      const float* const d = d_out + (t * H + h) * D;
      float mean = 0, sum = 0;
      for (int64_t e = first; e < last; ++e) {
        const float d_share = dot(d, a.values + (a.sources[e] * H + h) * D, D);
        d_raw[e * H + h] = d_share;
        mean += a.share[e * H + h] * d_share;
      }
      for (int64_t e = first; e < last; ++e) {
        const float raw = a.source_score[a.sources[e] * H + h] + a.target_score[t * H + h];
        const float g = a.share[e * H + h] * (d_raw[e * H + h] - mean) * (raw > 0 ? 1.f : a.slope);
        d_raw[e * H + h] = g;
        sum += g;
      }
      d_target[t * H + h] = sum;
    }
  }
}

/// The edges once more, source by source, each source's in their order.
struct SourceEdges {
  std::vector<int64_t> offsets, edges, targets;

  SourceEdges(const Attention& a, int64_t sources, int64_t targets_count) : offsets(size_t(sources) + 1) {
    const int64_t E = a.offsets[targets_count];
    edges.resize(size_t(E));
    targets.resize(size_t(E));
    for (int64_t e = 0; e < E; ++e) ++offsets[size_t(a.sources[e]) + 1];
    for (int64_t s = 0; s < sources; ++s) offsets[size_t(s) + 1] += offsets[size_t(s)];
    std::vector<int64_t> next(offsets.begin(), offsets.end() - 1);
    for (int64_t t = 0; t < targets_count; ++t) {
      for (int64_t e = a.offsets[t]; e < a.offsets[t + 1]; ++e) {
        const auto place = size_t(next[size_t(a.sources[e])]++);
        edges[place] = e;
        targets[place] = t;
      }
    }
  }
};

/// d_values [S, H, D] and d_source [S, H], which begin as zeros.
INTERPLAY_CLONES void source_gradients(const Attention& a, const SourceEdges& by, const float* d_out,
                                       const float* d_raw, int64_t begin, int64_t end, float* d_values,
                                       float* d_source) {
  const int64_t H = a.heads, D = a.width;
  for (int64_t s = begin; s < end; ++s) {
    for (int64_t i = by.offsets[size_t(s)]; i < by.offsets[size_t(s) + 1]; ++i) {
      const int64_t e = by.edges[size_t(i)], t = by.targets[size_t(i)];
      for (int64_t h = 0; h < H; ++h) {
        d_source[s * H + h] += d_raw[e * H + h];
        add_scaled(d_values + (s * H + h) * D, a.share[e * H + h], d_out + (t * H + h) * D, D);
      }
    }
  }
}

Attention addresses(const at::Tensor& values, const at::Tensor& source_score, const at::Tensor& target_score,
                    const TargetEdges& edges, double slope, at::Tensor& share) {
  return {values.const_data_ptr<float>(),
          source_score.const_data_ptr<float>(),
          target_score.const_data_ptr<float>(),
          edges.sources.const_data_ptr<int64_t>(),
          edges.offsets.const_data_ptr<int64_t>(),
          values.size(1),
          values.size(2),
          float(slope),
          share.mutable_data_ptr<float>()};
}

/// out [T, H, D] and the shares [E, H]; everything is contiguous.
at::Tensor run(const at::Tensor& values, const at::Tensor& source_score, const at::Tensor& target_score,
               const TargetEdges& edges, double slope, at::Tensor& share) {
  share = at::empty({edges.sources.size(0), values.size(1)}, values.options());
  auto out = at::zeros({edges.targets(), values.size(1), values.size(2)}, values.options());
  const Attention a = addresses(values, source_score, target_score, edges, slope, share);
  float* const to = out.mutable_data_ptr<float>();
  at::parallel_for(0, edges.targets(), kNodesPerTask,
                   [&](int64_t begin, int64_t end) { attend_targets(a, begin, end, to); });
  return out;
}

struct GatherAttentionNode : torch::autograd::Function<GatherAttentionNode> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& values, const at::Tensor& source_score,
                            const at::Tensor& target_score, const TargetEdges& edges, double slope) {
    at::Tensor share;
    auto out = run(values, source_score, target_score, edges, slope, share);
    context->save_for_backward({values, source_score, target_score, edges.sources, edges.offsets, share});
    context->saved_data["slope"] = slope;
    return out;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    at::Tensor share = saved[5];
    const TargetEdges edges{saved[3], saved[4]};
    const Attention a = addresses(saved[0], saved[1], saved[2], edges, context->saved_data["slope"].toDouble(), share);
    const auto d_out = gradients[0].contiguous();
    const int64_t S = saved[0].size(0), T = edges.targets();
    auto d_raw = at::empty_like(share), d_target = at::empty_like(saved[2]);
    auto d_values = at::zeros_like(saved[0]), d_source = at::zeros_like(saved[1]);
    const float* const d = d_out.const_data_ptr<float>();
    float *const raw = d_raw.mutable_data_ptr<float>(), *const target = d_target.mutable_data_ptr<float>();
    float *const of_values = d_values.mutable_data_ptr<float>(), *const source = d_source.mutable_data_ptr<float>();
    at::parallel_for(0, T, kNodesPerTask,
                     [&](int64_t begin, int64_t end) { score_gradients(a, d, begin, end, raw, target); });
    const SourceEdges by(a, S, T);
    at::parallel_for(0, S, kNodesPerTask, [&](int64_t begin, int64_t end) {
      source_gradients(a, by, d, raw, begin, end, of_values, source);
    });
    return {d_values, d_source, d_target, at::Tensor(), at::Tensor()};
  }
};

void check(const at::Tensor& values, const at::Tensor& source_score, const at::Tensor& target_score,
           const TargetEdges& edges) {
  INTERPLAY_CHECK(
      values.dim() == 3 && source_score.sizes() == values.sizes().slice(0, 2) && target_score.dim() == 2 &&
          target_score.size(0) == edges.targets() && target_score.size(1) == values.size(1),
      "graph attention: values [{}], scores [{}] and [{}] of {} targets; expected [S, H, D], [S, H], [T, H]",
      fmt::join(values.sizes(), ", "), fmt::join(source_score.sizes(), ", "), fmt::join(target_score.sizes(), ", "),
      edges.targets());
  if (edges.sources.numel() == 0) return;
  const auto low = edges.sources.min().item<int64_t>(), high = edges.sources.max().item<int64_t>();
  INTERPLAY_CHECK(low >= 0 && high < values.size(0), "graph attention: an edge comes from node {} of {}",
                  low < 0 ? low : high, values.size(0));
}

/// Which target each edge ends in: i64 [E], ascending.
at::Tensor targets_of(const TargetEdges& edges) {
  const auto targets = at::arange(edges.targets(), edges.offsets.options());
  return targets.repeat_interleave(edges.offsets.diff(), 0, edges.sources.size(0));
}

}  // namespace

TargetEdges TargetEdges::of_lists(const at::Tensor& lists) {
  const auto there = lists.ge(0);
  const auto counts = there.sum(1);
  return {lists.masked_select(there).to(at::kLong), at::cat({at::zeros({1}, counts.options()), counts.cumsum(0)})};
}

at::Tensor edge_attention(const at::Tensor& source_score, const at::Tensor& target_score, const TargetEdges& edges,
                          double slope) {
  const auto target = targets_of(edges);
  const auto raw = at::leaky_relu(source_score.index_select(0, edges.sources) + target_score.index_select(0, target),
                                  slope);  // [E, H]
  const auto places = target.unsqueeze(1).expand_as(raw);
  const auto most = at::full_like(target_score, -INFINITY).scatter_reduce(0, places, raw.detach(), "amax");
  const auto e = (raw - most.index_select(0, target)).exp();
  return e / at::zeros_like(target_score).index_add(0, target, e).index_select(0, target);
}

at::Tensor gather_attention(const at::Tensor& values, const at::Tensor& source_score, const at::Tensor& target_score,
                            const TargetEdges& edges, double slope) {
  check(values, source_score, target_score, edges);
  const bool fused = values.device().is_cpu() && values.scalar_type() == at::kFloat && !PlainScope::active();
  if (!fused) {
    const auto share = edge_attention(source_score, target_score, edges, slope);       // [E, H]
    const auto weighted = share.unsqueeze(2) * values.index_select(0, edges.sources);  // [E, H, D]
    const auto none = at::zeros({edges.targets(), values.size(1), values.size(2)}, values.options());
    return none.index_add(0, targets_of(edges), weighted);
  }
  const TargetEdges whole{edges.sources.contiguous(), edges.offsets.contiguous()};
  if (at::GradMode::is_enabled())
    return GatherAttentionNode::apply(values.contiguous(), source_score.contiguous(), target_score.contiguous(), whole,
                                      slope);
  at::Tensor share;
  return run(values.contiguous(), source_score.contiguous(), target_score.contiguous(), whole, slope, share);
}

GraphAttentionImpl::GraphAttentionImpl(int64_t source_width, int64_t target_width, int64_t heads, int64_t head_width)
    : heads_(heads), head_width_(head_width) {
  INTERPLAY_CHECK(heads >= 1 && head_width >= 1, "graph attention: {} heads of {} numbers; expected 1 or more of each",
                  heads, head_width);
  const auto drawn = [&](const char* name, int64_t rows, int64_t columns) {
    auto w = at::empty({rows, columns});
    torch::nn::init::xavier_normal_(w, std::sqrt(2.0));
    return register_parameter(name, w);
  };
  source_weight = drawn("source_weight", width(), source_width);
  target_weight = drawn("target_weight", width(), target_width);
  attend_source = drawn("attend_source", heads, head_width);
  attend_target = drawn("attend_target", heads, head_width);
  bias = register_parameter("bias", at::zeros({width()}));
}

GraphAttentionImpl::Sources GraphAttentionImpl::sources(const at::Tensor& source) {
  const auto values = row_linear(source, source_weight).view({source.size(0), heads_, head_width_});
  return {values, (values * attend_source).sum(2)};
}

at::Tensor GraphAttentionImpl::attend(const Sources& sources, const at::Tensor& target, const TargetEdges& edges) {
  // a_r . (W_d x) = (a_r W_d) . x: the targets' own projection is never made
  const auto of_target =
      (attend_target.unsqueeze(2) * target_weight.view({heads_, head_width_, target_weight.size(1)})).sum(1);
  const auto score = row_linear(target, of_target);  // [T, H]
  return gather_attention(sources.values, sources.score, score, edges).flatten(1) + bias;
}

at::Tensor GraphAttentionImpl::forward(const at::Tensor& source, const at::Tensor& target, const TargetEdges& edges) {
  return attend(sources(source), target, edges);
}

}  // namespace interplay::nn
