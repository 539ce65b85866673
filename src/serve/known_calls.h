#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <interplay/data/features.h>

#include "serve/forward_graph.h"

namespace interplay {

/// Thrown where a call has no step: says what it was.
struct Unknown {
  std::string what;
};

/// Makes nodes of a graph of a model's calls, one after the other: what each of its tensors is made of, of which
/// fields, is known from the inputs on. What holds for the rows of the probe has to hold for any rows, so that whatever
/// might depend on them (another row's numbers, a sequence, a choice by value) is Unknown.
class KnownCalls {
 public:
  KnownCalls(ForwardGraph& graph, const Features& probe);  ///< both outlive it
  ~KnownCalls();

  /// A call, what it was given and what it gave. Throws Unknown.
  void take(const at::RecordFunction& call, const std::vector<c10::IValue>& in, const std::vector<c10::IValue>& out);
  at::Tensor before(const at::Tensor& tensor);  ///< one that a call is about to overwrite, as it was
  int node_of(const at::Tensor& output) const;  ///< throws Unknown where it does not come from the inputs

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
