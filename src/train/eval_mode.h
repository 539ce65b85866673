#pragma once

#include <interplay/core/model.h>

namespace interplay {

/// Puts a model into eval mode, and back however the scope is left. A model in eval mode is not touched: it is shared
/// between threads.
class EvalMode {
 public:
  explicit EvalMode(Model& model) : model_(model), was_training_(model.is_training()) {
    if (was_training_) model_.eval();
  }
  ~EvalMode() {
    if (was_training_) model_.train();
  }
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  Model& model_;
  bool was_training_;
};

}  // namespace interplay
