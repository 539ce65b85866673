#include <interplay/nn/field_vectors.h>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

namespace interplay::nn {

at::Tensor FieldVectors::Parts::others_or_empty() const { return others.defined() ? others : at::empty({0}); }

FieldVectors::FieldVectors(at::Tensor vectors) : state_(std::make_shared<State>(State{{}, std::move(vectors)})) {}

FieldVectors::FieldVectors(Parts parts) : state_(std::make_shared<State>(State{std::move(parts), {}})) {
  INTERPLAY_ASSERT(state_->parts.ids.defined() || state_->parts.others.defined());
  if (!state_->parts.ids.defined()) state_->vectors = state_->parts.others;
}

const at::Tensor& FieldVectors::tensor() const {
  if (!state_->vectors.defined()) {
    const auto rows = gather_fields(state_->parts.ids, state_->parts.tables, state_->parts.width);  // [B, F1, K]
    state_->vectors = state_->parts.others.defined() ? at::cat({rows, state_->parts.others}, 1) : rows;
  }
  return state_->vectors;
}

int64_t FieldVectors::batch() const { return gathered() ? state_->vectors.size(0) : state_->parts.ids.size(0); }

int64_t FieldVectors::fields() const {
  if (gathered()) return state_->vectors.size(1);
  return int64_t(state_->parts.tables.size()) + (state_->parts.others.defined() ? state_->parts.others.size(1) : 0);
}

int64_t FieldVectors::width() const { return gathered() ? state_->vectors.size(2) : state_->parts.vector_width(); }

}  // namespace interplay::nn
