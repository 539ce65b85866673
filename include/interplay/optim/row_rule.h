#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <interplay/base/simd.h>
#include <interplay/optim/update_rule.h>

namespace interplay {

/// What rules add to a root before they divide by it: in f32 still more than nothing.
constexpr double kLeastEps = 1e-30;
/// The largest memory of a mean that forgets at all: 1 would divide by 1 - 1.
constexpr double kBelowOne = 0x1.fffffffffffffp-1;

/// A rule written for one row, from which it makes the loops over rows: compiled for each kind of processor, and for
/// usual widths without an inner loop; and what rows that nobody reads take later (UpdateRule::Rest). A rule has
///
///     class Sign final : public interplay::RowRule<Sign> {
///      public:
///       struct Options { void visit(auto&& field) {} };
///       explicit Sign(const Options&) {}
///       int64_t state_width(int64_t width) const override { return 0; }       // floats that it remembers of K weights
///       struct Constants { float lr; };
///       Constants constants(const interplay::StepInfo& step) const { return {float(step.lr)}; }   // once a step
///       INTERPLAY_INLINE void row(float* w, const float* g, float* s, int64_t width, const Constants& c) const {
///         for (int64_t k = 0; k < width; ++k) w[k] -= c.lr * float((g[k] > 0) - (g[k] < 0));      // once a row
///       }
///     };
///
/// where w, g are f32 [K] and s is f32 [S], none overlapping another. What row() calls has to be INTERPLAY_INLINE too.
/// A rule that moves each number by itself, with at most two of state, may say so by `static constexpr bool
/// kElementwise = true`: tables of width one are then moved sixteen rows at a time.
template <class Rule>
class RowRule : public UpdateRule {
 public:
  void update(const Rows& rows, const StepInfo& step) const final {
    const auto& rule = static_cast<const Rule&>(*this);
    run(rule, rows, rule.constants(step));
  }
  using UpdateRule::update;
  std::unique_ptr<Rest> rest(double l2, double l1) const final {
    return std::make_unique<RestOf>(static_cast<const Rule&>(*this), float(l2), float(l1));
  }

 private:
  class RestOf final : public Rest {
   public:
    RestOf(const Rule& rule, float l2, float l1) : rule_(rule), l2_(l2), l1_(l1) {}
    void add(const StepInfo& step) override { kept_.push_back(rule_.constants(step)); }
    void clear() override { kept_.clear(); }
    int64_t steps() const override { return int64_t(kept_.size()); }
    void move(const Rows& rows, const int32_t* taken) const override { run_rest(*this, rows, taken); }

    const Rule& rule_;
    const float l2_, l1_;
    std::vector<decltype(std::declval<const Rule&>().constants(std::declval<const StepInfo&>()))> kept_;
  };
  INTERPLAY_CLONES static void run_rest(const RestOf& rest, const Rows& rows, const int32_t* taken) {
    switch (rows.width) {
      case 1: return rest_scalars(rest, rows, taken);
      case 8: return rest_loop<8>(rest, rows, taken);
      case 16: return rest_loop<16>(rest, rows, taken);
      case 32: return rest_loop<32>(rest, rows, taken);
      default: return rest_loop<0>(rest, rows, taken);
    }
  }
  /// Rows of one number: where a rule moves each number by itself, sixteen rows are one row of sixteen numbers. A row
  /// that has taken a step already keeps what it has, so that its numbers never depend on the rows beside it.
  INTERPLAY_INLINE static void rest_scalars(const RestOf& rest, const Rows& rows, const int32_t* taken) {
    if constexpr (!requires { Rule::kElementwise; }) {
      rest_loop<1>(rest, rows, taken);
    } else {
      constexpr int64_t kLanes = simd::kLanes, kMostState = 2;
      const int64_t state = rest.rule_.state_width(1), steps = rest.steps();
      const auto order = by_steps(taken, rows.count, steps);
      for (int64_t first = 0; first < rows.count; first += kLanes) {
        const int64_t count = std::min(kLanes, rows.count - first);
        float w[kLanes] = {}, s[kMostState * kLanes] = {}, g[kLanes];
        const auto each = [&](const auto& visit) INTERPLAY_INLINE_LAMBDA {
          for (int64_t r = 0; r < count; ++r) {
            const int64_t i = order[size_t(first + r)], place = rows.index ? rows.index[i] : i;
            visit(r, rows.w + place * rows.w_stride, rows.s + place * rows.s_stride);
          }
        };
        each([&](int64_t r, const float* row, const float* own) INTERPLAY_INLINE_LAMBDA {
          w[r] = *row;
          for (int64_t k = 0; k < state; ++k) s[k * kLanes + r] = own[k];
        });
        const int32_t most = taken[order[size_t(first + count - 1)]];
        for (int64_t step = taken[order[size_t(first)]]; step < steps; ++step) {
          float w_before[kLanes] = {}, s_before[kMostState * kLanes] = {};
          const bool some_wait = step < most;
          if (some_wait) std::copy_n(w, kLanes, w_before), std::copy_n(s, kMostState * kLanes, s_before);
          for (int64_t r = 0; r < kLanes; ++r) g[r] = penalty(rest, w[r]);
          rest.rule_.row(w, g, s, kLanes, rest.kept_[size_t(step)]);
          for (int64_t r = 0; some_wait && r < count; ++r) {
            if (taken[order[size_t(first + r)]] <= step) continue;
            w[r] = w_before[r];
            for (int64_t k = 0; k < state; ++k) s[k * kLanes + r] = s_before[k * kLanes + r];
          }
        }
        each([&](int64_t r, float* row, float* own) INTERPLAY_INLINE_LAMBDA {
          *row = w[r];
          for (int64_t k = 0; k < state; ++k) own[k] = s[k * kLanes + r];
        });
      }
    }
  }
  INTERPLAY_INLINE static float penalty(const RestOf& rest, float w) {
    const float l2 = rest.l2_ * w;
    return rest.l1_ == 0 ? l2 : l2 + rest.l1_ * float((w > 0) - (w < 0));
  }
  /// Some rows at a time, all of them step by step: a row's steps wait for each other, rows do not. Those that have
  /// waited as long stand together, so that they begin together.
  template <int64_t kWidth>
  INTERPLAY_INLINE static void rest_loop(const RestOf& rest, const Rows& rows, const int32_t* taken) {
    constexpr int64_t kTogether = 8;
    const int64_t width = kWidth > 0 ? kWidth : rows.width, steps = rest.steps();
    float fixed[kWidth > 0 ? kWidth : 1];
    std::vector<float> any(kWidth > 0 ? 0 : size_t(width));
    float* const g = kWidth > 0 ? fixed : any.data();
    const auto order = by_steps(taken, rows.count, steps);
    for (int64_t first = 0; first < rows.count; first += kTogether) {
      const int64_t count = std::min(kTogether, rows.count - first);
      float *w[kTogether], *s[kTogether];
      int64_t begin[kTogether + 1];
      for (int64_t r = 0; r < count; ++r) {
        const int64_t i = order[size_t(first + r)], place = rows.index ? rows.index[i] : i;
        w[r] = rows.w + place * rows.w_stride, s[r] = rows.s + place * rows.s_stride;
        begin[r] = taken[i];
      }
      begin[count] = steps;
      for (int64_t active = 1; active <= count; ++active) {
        for (int64_t step = begin[active - 1]; step < begin[active]; ++step) {
          const auto& constants = rest.kept_[size_t(step)];
          for (int64_t r = 0; r < active; ++r) {
            for (int64_t k = 0; k < width; ++k) g[k] = penalty(rest, w[r][k]);
            rest.rule_.row(w[r], g, s[r], width, constants);
          }
        }
      }
    }
  }
  /// The places of `taken`, those with the fewest steps first. Good until the thread's next call.
  static std::span<const int32_t> by_steps(const int32_t* taken, int64_t count, int64_t steps) {
    thread_local std::vector<int32_t> next, order;
    next.assign(size_t(steps) + 1, 0);
    for (int64_t i = 0; i < count; ++i) ++next[size_t(taken[i])];
    std::exclusive_scan(next.begin(), next.end(), next.begin(), 0);
    order.resize(size_t(count));
    for (int64_t i = 0; i < count; ++i) order[size_t(next[size_t(taken[i])]++)] = int32_t(i);
    return order;
  }

  template <class Constants>
  INTERPLAY_CLONES static void run(const Rule& rule, const Rows& rows, const Constants& constants) {
    switch (rows.width) {  // a width the compiler knows needs no loop
      case 1: return loop<1>(rule, rows, constants);
      case 8: return loop<8>(rule, rows, constants);
      case 16: return loop<16>(rule, rows, constants);
      case 32: return loop<32>(rule, rows, constants);
      default: return loop<0>(rule, rows, constants);
    }
  }
  template <int64_t kWidth, class Constants>
  INTERPLAY_INLINE static void loop(const Rule& rule, const Rows& rows, const Constants& constants) {
    const int64_t width = kWidth > 0 ? kWidth : rows.width;
    for (int64_t r = 0; r < rows.count; ++r) {
      const int64_t place = rows.index ? rows.index[r] : r;
      rule.row(rows.w + place * rows.w_stride, rows.g + r * width, rows.s + place * rows.s_stride, width, constants);
    }
  }
};

}  // namespace interplay
