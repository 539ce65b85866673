#include "lm/tensor/attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <torch/csrc/autograd/custom_function.h>

#include "lm/tensor/one_pass.h"

namespace interplay::lm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// to = (a rotation of) from * scale, row by row. Rows of `from` lie `stride` apart, those of `to` side by side. The
/// table's rows are those of the positions; nullptr: no rotation.
template <class Number>
INTERPLAY_CLONES void rotate_rows(const Number* from, int64_t stride, int64_t rows, int64_t head_dim,
                                  const float* cosines, const float* sines, float scale, float* to, int64_t to_stride) {
  const int64_t half = head_dim / 2;
  for (int64_t r = 0; r < rows; ++r, from += stride, to += to_stride) {
    if (!cosines) {
      for (int64_t k = 0; k < head_dim; ++k) to[k] = wide(from[k]) * scale;
      continue;
    }
    const float *const c = cosines + r * half, *const s = sines + r * half;
    for (int64_t k = 0; k < half; ++k) {
      const float a = wide(from[k]), b = wide(from[k + half]);
      to[k] = (a * c[k] - b * s[k]) * scale;
      to[k + half] = (b * c[k] + a * s[k]) * scale;
    }
  }
}

/// The transposed rotation: gradients of what rotate_rows read.
template <class Number>
INTERPLAY_CLONES void rotate_back_rows(const float* from, int64_t from_stride, int64_t rows, int64_t head_dim,
                                       const float* cosines, const float* sines, float scale, Number* to,
                                       int64_t stride) {
  const int64_t half = head_dim / 2;
  for (int64_t r = 0; r < rows; ++r, from += from_stride, to += stride) {
    if (!cosines) {
      for (int64_t k = 0; k < head_dim; ++k) narrow_to(to[k], from[k] * scale);
      continue;
    }
    const float *const c = cosines + r * half, *const s = sines + r * half;
    for (int64_t k = 0; k < half; ++k) {
      const float a = from[k], b = from[k + half];
      narrow_to(to[k], (a * c[k] + b * s[k]) * scale);
      narrow_to(to[k + half], (b * c[k] - a * s[k]) * scale);
    }
  }
}

}  // namespace

INTERPLAY_CLONES float softmax_row(float* score, int64_t seen, int64_t width, float* lse) {
  float most = score[0];
  Floats high = simd::fill(most);
  int64_t k = 0;
  for (; k + simd::kLanes <= seen; k += simd::kLanes) {
    const Floats v = simd::load(score + k);
    high = v > high ? v : high;
  }
  for (int64_t i = 0; i < simd::kLanes; ++i) most = std::max(most, high[i]);
  for (; k < seen; ++k) most = std::max(most, score[k]);
  Floats sums{};
  float rest = 0;
  for (k = 0; k + simd::kLanes <= seen; k += simd::kLanes) {
    const Floats e = exp(simd::load(score + k) - most);
    simd::store(score + k, e);
    sums += e;
  }
  for (; k < seen; ++k) rest += score[k] = std::exp(score[k] - most);
  for (; k < width; ++k) score[k] = 0;
  const float sum = simd::sum(sums) + rest;
  *lse = std::log(sum) + most;
  return 1 / sum;
}

namespace {

/// Probabilities again from scores, in place: exp(score - lse), unseen ones zero.
INTERPLAY_CLONES void probability_row(float* score, int64_t seen, int64_t width, float lse) {
  int64_t k = 0;
  for (; k + simd::kLanes <= seen; k += simd::kLanes) simd::store(score + k, exp(simd::load(score + k) - lse));
  for (; k < seen; ++k) score[k] = std::exp(score[k] - lse);
  for (; k < width; ++k) score[k] = 0;
}

/// d = p (d - delta), in place
INTERPLAY_CLONES void score_gradient_row(float* d, const float* p, int64_t width, float delta) {
  for (int64_t k = 0; k < width; ++k) d[k] = p[k] * (d[k] - delta);
}

template <class Number>
INTERPLAY_CLONES float dot(const Number* a, const Number* b, int64_t n) {
  float sum = 0;
  for (int64_t k = 0; k < n; ++k) sum += wide(a[k]) * wide(b[k]);
  return sum;
}

template <class Number>
INTERPLAY_CLONES void scale_row(const float* from, float scale, int64_t n, Number* to) {
  for (int64_t k = 0; k < n; ++k) narrow_to(to[k], from[k] * scale);
}

/// A matrix over memory of others.
at::Tensor matrix(const float* data, int64_t rows, int64_t columns) {
  return at::from_blob(const_cast<float*>(data), {rows, columns}, at::TensorOptions().dtype(at::kFloat));
}

at::Tensor scratch(std::initializer_list<int64_t> size) {
  return at::empty(size, at::TensorOptions().dtype(at::kFloat));
}

/// Keys and values of one head of a sequence, as they are multiplied: f32 [keys, head_dim] each.
struct KeyValues {
  at::Tensor own;  // the memory, where it is this object's
  const float *keys = nullptr, *values = nullptr;
};

/// The work on one group of heads that share keys and values, of one sequence: queries in blocks of [block group,
/// head_dim], the heads of a row side by side.
template <class Number>
class GroupAttention {
 public:
  GroupAttention(const AttentionCall& call, const at::Tensor& qkv, int64_t sequence, int64_t head)
      : call_(call),
        d_(call.head_dim),
        group_(call.heads / call.kv_heads),
        head_(head),
        sequence_(sequence),
        first_(call.offsets[size_t(sequence)]),
        rows_(call.offsets[size_t(sequence) + 1] - first_),
        past_(call.past[size_t(sequence)]),
        keys_(past_ + rows_),
        stride_(qkv.size(1)),
        qkv_(numbers<Number>(qkv) + first_ * stride_),
        cosines_(numbers<float>(call.cosines) + past_ * d_ / 2),
        sines_(numbers<float>(call.sines) + past_ * d_ / 2),
        scale_(1 / std::sqrt(float(d_))) {
    constexpr int64_t kRows = 192, kScores = 1 << 20;  // rows enough for a product to run well; scores in the cache
    block_ = std::clamp<int64_t>(std::min(kRows, kScores / std::max<int64_t>(1, keys_)) / group_, 1,
                                 std::max<int64_t>(1, rows_));
    load_keys();
  }

  int64_t blocks() const { return (rows_ + block_ - 1) / block_; }

  void forward(int64_t first_block, int64_t end_block, Number* out, float* lse) {
    const auto q = scratch({block_ * group_, d_}), s = scratch({block_ * group_ * keys_}),
               o = scratch({block_ * group_, d_});
    for (int64_t b = first_block; b < end_block; ++b) {
      const int64_t row = b * block_, rows = std::min(block_, rows_ - row), all = rows * group_,
                    seen = seen_by(row + rows - 1);
      load_queries(row, rows, mutable_numbers<float>(q));
      float* const score = mutable_numbers<float>(s);
      auto scores = matrix(score, all, seen), result = o.narrow(0, 0, all);
      at::mm_out(scores, q.narrow(0, 0, all), matrix(kv_.keys, seen, d_).t());
      inverse_.resize(size_t(all));
      for (int64_t i = 0; i < all; ++i) {
        const int64_t r = row + i / group_, h = head_ * group_ + i % group_;
        inverse_[size_t(i)] = softmax_row(score + i * seen, seen_by(r), seen, lse + (first_ + r) * call_.heads + h);
      }
      at::mm_out(result, scores, matrix(kv_.values, seen, d_));
      const float* const sum = numbers<float>(o);
      for (int64_t i = 0; i < all; ++i) scale_row(sum + i * d_, inverse_[size_t(i)], d_, out + place(row, i));
    }
  }

  /// Gradients of the group's queries, and of its keys and values, into d_qkv.
  void backward(const Number* out, const float* lse, const Number* d_out, Number* d_qkv) {
    const int64_t most = block_ * group_;
    const auto q = scratch({most, d_}), g = scratch({most, d_}), p = scratch({most * keys_}),
               ds = scratch({most * keys_}), dq = scratch({most, d_});
    const auto d_keys = at::zeros({keys_, d_}, q.options()), d_values = at::zeros({keys_, d_}, q.options());
    d_qkv += first_ * stride_;
    for (int64_t b = 0; b < blocks(); ++b) {
      const int64_t row = b * block_, rows = std::min(block_, rows_ - row), all = rows * group_,
                    seen = seen_by(row + rows - 1);
      load_queries(row, rows, mutable_numbers<float>(q));
      float *const flow = mutable_numbers<float>(g), *const probability = mutable_numbers<float>(p),
                   *const d_score = mutable_numbers<float>(ds);
      for (int64_t i = 0; i < all; ++i)
        rotate_rows(d_out + place(row, i), 0, 1, d_, nullptr, nullptr, 1.f, flow + i * d_, d_);
      const auto queries = q.narrow(0, 0, all), flows = g.narrow(0, 0, all), keys = matrix(kv_.keys, seen, d_);
      auto scores = matrix(probability, all, seen), d_scores = matrix(d_score, all, seen),
           d_queries = dq.narrow(0, 0, all);
      at::mm_out(scores, queries, keys.t());
      at::mm_out(d_scores, flows, matrix(kv_.values, seen, d_).t());
      for (int64_t i = 0; i < all; ++i) {
        const int64_t r = row + i / group_, h = head_ * group_ + i % group_;
        const float delta = dot(out + place(row, i), d_out + place(row, i), d_);
        probability_row(probability + i * seen, seen_by(r), seen, lse[(first_ + r) * call_.heads + h]);
        score_gradient_row(d_score + i * seen, probability + i * seen, seen, delta);
      }
      d_values.narrow(0, 0, seen).addmm_(scores.t(), flows);
      d_keys.narrow(0, 0, seen).addmm_(d_scores.t(), queries);
      at::mm_out(d_queries, d_scores, keys);
      const float* const from = numbers<float>(dq);
      for (int64_t h = 0; h < group_; ++h) {
        rotate_back_rows(from + h * d_, group_ * d_, rows, d_, cosines_ + row * d_ / 2, sines_ + row * d_ / 2, scale_,
                         d_qkv + row * stride_ + (head_ * group_ + h) * d_, stride_);
      }
    }
    // Queries were scaled before they met the keys, so the keys' gradient has the scale already.
    rotate_back_rows(numbers<float>(d_keys) + past_ * d_, d_, rows_, d_, cosines_, sines_, 1.f,
                     d_qkv + (call_.heads + head_) * d_, stride_);
    rotate_back_rows<Number>(numbers<float>(d_values) + past_ * d_, d_, rows_, d_, nullptr, nullptr, 1.f,
                             d_qkv + (call_.heads + call_.kv_heads + head_) * d_, stride_);
  }

 private:
  int64_t seen_by(int64_t row) const { return call_.causal ? past_ + row + 1 : keys_; }
  /// Where head i % group of row `row` + i / group lies in [N, heads head_dim].
  int64_t place(int64_t row, int64_t i) const {
    return ((first_ + row + i / group_) * call_.heads + head_ * group_ + i % group_) * d_;
  }

  void load_queries(int64_t row, int64_t rows, float* to) const {
    for (int64_t h = 0; h < group_; ++h) {
      rotate_rows(qkv_ + row * stride_ + (head_ * group_ + h) * d_, stride_, rows, d_, cosines_ + row * d_ / 2,
                  sines_ + row * d_ / 2, scale_, to + h * d_, group_ * d_);
    }
  }

  void load_keys() {
    const at::Tensor memory = call_.memory.empty() ? at::Tensor() : call_.memory[size_t(sequence_)];
    float *keys = nullptr, *values = nullptr;
    if (call_.extend) {
      keys = mutable_numbers<float>(memory) + head_ * memory.size(2) * d_;
      values = keys + call_.kv_heads * memory.size(2) * d_;
    } else {
      kv_.own = scratch({2, keys_, d_});
      keys = mutable_numbers<float>(kv_.own), values = keys + keys_ * d_;
      if (past_ > 0) {
        const float* const from = numbers<float>(memory) + head_ * memory.size(2) * d_;
        std::copy_n(from, past_ * d_, keys);
        std::copy_n(from + call_.kv_heads * memory.size(2) * d_, past_ * d_, values);
      }
    }
    rotate_rows(qkv_ + (call_.heads + head_) * d_, stride_, rows_, d_, cosines_, sines_, 1.f, keys + past_ * d_, d_);
    rotate_rows<Number>(qkv_ + (call_.heads + call_.kv_heads + head_) * d_, stride_, rows_, d_, nullptr, nullptr, 1.f,
                        values + past_ * d_, d_);
    kv_.keys = keys, kv_.values = values;
  }

  const AttentionCall& call_;
  int64_t d_, group_, head_, sequence_, first_, rows_, past_, keys_, stride_, block_;
  const Number* qkv_;
  const float *cosines_, *sines_;
  float scale_;
  KeyValues kv_;
  std::vector<float> inverse_;
};

struct Attention : torch::autograd::Function<Attention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv,
                            const std::shared_ptr<AttentionCall>& call) {
    const at::Tensor from = qkv.contiguous();
    auto out = at::empty({from.size(0), call->heads * call->head_dim}, from.options());
    auto lse = at::empty({from.size(0), call->heads}, from.options().dtype(at::kFloat));
    float* const log_sum = mutable_numbers<float>(lse);
    const int64_t tasks = call->sequences() * call->kv_heads;
    // Few groups of heads are shared out in parts of their queries, so that no thread waits for another.
    const int64_t parts = call->extend || tasks >= 4 * at::get_num_threads() ? 1 : 2 * at::get_num_threads();
    for_type(from.scalar_type(), [&]<class Number>(Number*) {
      Number* const to = mutable_numbers<Number>(out);
      run_tasks(tasks * parts, [&](int64_t task) {
        const at::AutoDispatchBelowAutograd below;
        const int64_t part = task % parts, group = task / parts;
        GroupAttention<Number> attention(*call, from, group / call->kv_heads, group % call->kv_heads);
        const int64_t blocks = attention.blocks();
        attention.forward(part * blocks / parts, (part + 1) * blocks / parts, to, log_sum);
      });
    });
    context->save_for_backward({from, out, lse});
    context->saved_data["call"] = c10::IValue::make_capsule(c10::make_intrusive<Kept>(call));
    return out;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto call = c10::static_intrusive_pointer_cast<Kept>(context->saved_data["call"].toCapsule())->call;
    const at::Tensor &qkv = saved[0], &out = saved[1], &lse = saved[2];
    const auto d_out = gradients[0].to(qkv.scalar_type()).contiguous();
    auto d = at::empty_like(qkv);
    for_type(qkv.scalar_type(), [&]<class Number>(Number*) {
      const Number *const result = numbers<Number>(out), *const flow = numbers<Number>(d_out);
      Number* const to = mutable_numbers<Number>(d);
      run_tasks(call->sequences() * call->kv_heads, [&](int64_t task) {
        const at::AutoDispatchBelowAutograd below;
        GroupAttention<Number>(*call, qkv, task / call->kv_heads, task % call->kv_heads)
            .backward(result, numbers<float>(lse), flow, to);
      });
    });
    return {d, at::Tensor()};
  }
  struct Kept : torch::CustomClassHolder {
    explicit Kept(std::shared_ptr<AttentionCall> c) : call(std::move(c)) {}
    std::shared_ptr<AttentionCall> call;
  };
};

/// x [T, H, d], the rows of positions first .. first + T
at::Tensor rotated(const at::Tensor& x, const AttentionCall& call, int64_t first) {
  const auto halves = x.chunk(2, -1);
  const auto c = call.cosines.narrow(0, first, x.size(0)).unsqueeze(1).to(x.options());
  const auto s = call.sines.narrow(0, first, x.size(0)).unsqueeze(1).to(x.options());
  return at::cat({halves[0] * c - halves[1] * s, halves[1] * c + halves[0] * s}, -1);
}

at::Tensor plain_attention(const at::Tensor& qkv, const AttentionCall& call) {
  std::vector<at::Tensor> results;
  const int64_t d = call.head_dim;
  for (int64_t b = 0; b < call.sequences(); ++b) {
    const int64_t first = call.offsets[size_t(b)], rows = call.offsets[size_t(b) + 1] - first,
                  past = call.past[size_t(b)];
    const auto x = qkv.narrow(0, first, rows).to(at::kFloat).view({rows, call.heads + 2 * call.kv_heads, d});
    const auto q = rotated(x.narrow(1, 0, call.heads), call, past).transpose(0, 1);  // [H, T, d]
    auto k = rotated(x.narrow(1, call.heads, call.kv_heads), call, past).transpose(0, 1);
    auto v = x.narrow(1, call.heads + call.kv_heads, call.kv_heads).transpose(0, 1);
    if (call.extend) {
      const at::NoGradGuard off;
      call.memory[size_t(b)][0].narrow(1, past, rows).copy_(k);
      call.memory[size_t(b)][1].narrow(1, past, rows).copy_(v);
    }
    if (past > 0) {
      k = at::cat({call.memory[size_t(b)][0].narrow(1, 0, past), k}, 1);
      v = at::cat({call.memory[size_t(b)][1].narrow(1, 0, past), v}, 1);
    }
    k = k.repeat_interleave(call.heads / call.kv_heads, 0);  // [H, keys, d]
    v = v.repeat_interleave(call.heads / call.kv_heads, 0);
    auto scores = at::matmul(q, k.transpose(1, 2)) / std::sqrt(double(d));  // [H, T, keys]
    if (call.causal) {
      const auto hidden = at::ones({rows, past + rows}, scores.options().dtype(at::kBool)).triu(past + 1);
      scores = scores.masked_fill(hidden, -INFINITY);
    }
    results.push_back(at::matmul(scores.softmax(-1), v).transpose(0, 1).reshape({rows, call.heads * d}));
  }
  return at::cat(results).to(qkv.scalar_type());
}

}  // namespace

int64_t AttentionCall::longest() const {
  int64_t most = 0;
  for (size_t b = 0; b < past.size(); ++b) most = std::max(most, past[b] + offsets[b + 1] - offsets[b]);
  return most;
}

at::Tensor attention(const at::Tensor& qkv, const AttentionCall& call) {
  return is_fused(qkv) ? Attention::apply(qkv, std::make_shared<AttentionCall>(call)) : plain_attention(qkv, call);
}

std::pair<at::Tensor, at::Tensor> rotary_rows(const std::vector<int64_t>& positions, int64_t head_dim, double base) {
  const int64_t half = head_dim / 2, count = int64_t(positions.size());
  auto cosines = at::empty({count, half}, at::TensorOptions().dtype(at::kFloat)), sines = at::empty_like(cosines);
  float *const c = cosines.mutable_data_ptr<float>(), *const s = sines.mutable_data_ptr<float>();
  std::vector<float> frequency;
  for (int64_t i = 0; i < half; ++i) frequency.push_back(1 / std::pow(float(base), float(2 * i) / float(head_dim)));
  at::parallel_for(0, count, 256, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto p = float(positions[size_t(r)]);
      for (int64_t i = 0; i < half; ++i) {
        c[r * half + i] = std::cos(p * frequency[size_t(i)]);
        s[r * half + i] = std::sin(p * frequency[size_t(i)]);
      }
    }
  });
  return {cosines, sines};
}

std::pair<at::Tensor, at::Tensor> rotary_table(int64_t positions, int64_t head_dim, double base) {
  std::vector<int64_t> all(static_cast<size_t>(positions));
  std::iota(all.begin(), all.end(), 0);
  return rotary_rows(all, head_dim, base);
}

}  // namespace interplay::lm
