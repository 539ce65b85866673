#pragma once

#include <memory>
#include <string>

#include <interplay/base/registry.h>
#include <interplay/nn/embedding.h>

namespace interplay {

/// What every parameter group's optimizer has, whatever its rule: `optimizer: {embedding: {name: adam, lr: 1e-3,
/// ...}}`.
struct INTERPLAY_API GroupOptions {
  double lr = 1e-3;
  double l1 = 0, l2 = 0;
  std::string mode = "lazy";
  Config schedule = Config::parse("~");
  void visit(auto&& field) {
    field("lr", lr, "learning rate", Range{0, 1e9});
    field("l1", l1, "adds l1 * sign(w) to the gradient", Range{0, 1e9});
    field("l2", l2, "adds l2 * w to the gradient: the gradient of (l2/2) |w|^2", Range{0, 1e9});
    field("mode", mode, "embedding rows: lazy = the rows a step touched; dense = every row, every step",
          OneOf{{"lazy", "dense"}});
    field("schedule", schedule, "of this group's learning rate; nothing: train.schedule");
  }
};

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
/// A new one is a file in src/optim with an option struct, three functions and INTERPLAY_REGISTER(update_rules(), ...).
class INTERPLAY_API UpdateRule {
 public:
  virtual ~UpdateRule();
  /// Floats of state that a row of K weights needs.
  virtual int64_t state_width(int64_t width) const = 0;
  /// Fills the state of rows that start from weights w: f32 [R, K] -> f32 [R, S], zeroed before.
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
  virtual std::unique_ptr<Rest> rest(double l2, double l1) const = 0;
  /// The reference twin of update(), for any device: w f32 [R, K], g [R, K], s [R, S]; w and s are written in place.
  virtual void update(at::Tensor w, const at::Tensor& g, at::Tensor s, const StepInfo& step) const = 0;
};

INTERPLAY_API Registry<UpdateRule>& update_rules();

}  // namespace interplay
