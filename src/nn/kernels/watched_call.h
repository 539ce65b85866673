#pragma once

#include <type_traits>

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <interplay/nn/plain_scope.h>

namespace interplay::nn {

/// Calls an operator of ours by LibTorch's dispatcher, so that who watches it (PlainScope) is told of one call, in
/// place of all that it is made of: a search for places, say, depends on how many rows there are. Arguments are
/// tensors, int64_t or double.
template <class... Arguments>
at::Tensor watched_call(const char* name, const Arguments&... arguments) {
  using Signature =
      at::Tensor(std::conditional_t<std::is_same_v<Arguments, at::Tensor>, const at::Tensor&, Arguments>...);
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>().call(arguments...);
}

}  // namespace interplay::nn
