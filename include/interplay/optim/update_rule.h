#pragma once

#include <memory>

#include <ATen/core/Tensor.h>

#include <interplay/base/registry.h>

namespace interplay {

/// One step as a rule sees it.
struct StepInfo {
  int64_t step = 1;   ///< from 1
  double lr = 0;      ///< after schedules
  bool lazy = false;  ///< rows of a table that only some steps touch
};

/// An update rule: how weights move, given a gradient and what the rule remembers. The same rule serves embedding rows
/// and dense tensors (a dense tensor is a table of size(0) rows, or of one row if it is a vector), on the CPU row by
/// row and elsewhere as tensor operations.
///
/// A new one has a struct of options, INTERPLAY_REGISTER(update_rules(), "name", Rule, "what it is") and two functions,
/// state_width() and update(Rows); or, derived from RowRule (optim/row_rule.h), three: state_width(), constants() and
/// row(), of which the loops over rows are made. Everything else has a default.
///
/// Gradients are finite and hold L1, L2 and clipping already. Errors: none; an option that cannot be right is refused
/// by its declaration or by Options::check(). Thread safety: a rule has no state of its own; update() runs on many
/// threads at once, each with other rows.
class INTERPLAY_API UpdateRule {
 public:
  virtual ~UpdateRule();
  /// Floats of state that a row of K weights needs.
  virtual int64_t state_width(int64_t width) const = 0;
  /// Fills the state of rows that start from weights w: f32 [R, K] -> f32 [R, S], zeroed before. By default it stays
  /// zero.
  virtual void start(const at::Tensor& w, at::Tensor state) const;
  /// Moves `count` rows: w + r * w_stride [K], g + r * K, s + r * s_stride [S].
  struct Rows {
    float* w;
    const float* g;
    float* s;
    int64_t count, width, w_stride, s_stride;
    const int32_t* index = nullptr;  ///< where given, row r lives at w + index[r] * w_stride, s likewise; g stays r
  };
  virtual void update(const Rows& rows, const StepInfo& step) const = 0;
  /// The same in tensors, for other devices than the CPU, and the twin that tests hold update(Rows) against: w f32
  /// [R, K], g [R, K], s [R, S]; w and s are written in place. By default the rows come to the CPU and go back.
  virtual void update(at::Tensor w, const at::Tensor& g, at::Tensor s, const StepInfo& step) const;

  /// Steps that rows without a gradient have taken by the penalty l2 w + l1 sign(w) alone, kept until somebody reads
  /// those rows: moving them then gives what moving them at once would have given. One thread adds, many may move.
  class INTERPLAY_API Rest {
   public:
    virtual ~Rest();
    virtual void add(const StepInfo& step) = 0;
    virtual void clear() = 0;
    virtual int64_t steps() const = 0;  ///< kept
    /// Rows as in update() without gradients; of the kept steps, row r has taken the first `taken[r]`.
    virtual void move(const Rows& rows, const int32_t* taken) const = 0;
  };
  /// For `mode: dense`, where every row moves at every step. nullptr, the default: rows are not kept waiting, and each
  /// step costs a pass over its tables. A RowRule has one.
  virtual std::unique_ptr<Rest> rest(double l2, double l1) const;
};

INTERPLAY_API Registry<UpdateRule>& update_rules();

}  // namespace interplay
