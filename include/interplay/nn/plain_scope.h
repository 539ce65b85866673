#pragma once

#include <interplay/base/api.h>

namespace interplay::nn {

/// While in scope, the layers of this thread run as their plain ATen twins, so that whoever watches LibTorch's
/// dispatcher sees all that they compute (serve/forward_graph.h).
class INTERPLAY_API PlainScope {
 public:
  PlainScope();
  ~PlainScope();
  PlainScope(const PlainScope&) = delete;
  PlainScope& operator=(const PlainScope&) = delete;
  static bool active();

 private:
  bool before_;
};

}  // namespace interplay::nn
