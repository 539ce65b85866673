// The homes of the interfaces that a model may have beside Model: one vtable each.
#include <ATen/ATen.h>

#include <interplay/core/represents.h>
#include <interplay/core/retriever.h>
#include <interplay/core/sees_rows.h>

namespace interplay {

Represents::~Represents() = default;
Retriever::~Retriever() = default;
SeesRows::~SeesRows() = default;

at::Tensor with_rest(const at::Tensor& hidden, const at::Tensor& rest) {
  return at::cat({hidden, rest.unsqueeze(1)}, 1);
}

HiddenAndRest without_rest(const at::Tensor& joined) {
  const int64_t width = joined.size(1) - 1;
  return {joined.narrow(1, 0, width), joined.select(1, width)};
}

}  // namespace interplay
