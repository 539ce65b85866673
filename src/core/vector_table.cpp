#include <interplay/core/vector_table.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/data/vector_book.h>

namespace interplay {

VectorTableImpl::VectorTableImpl(const Schema& schema, const std::string& field, const VectorSource& source)
    : table_(schema.field(field).table) {
  INTERPLAY_CHECK(schema.vectors,
                  "{}: nothing tells which key a row of table '{}' is of; load the schema from prepared data or a run",
                  source.from, table_);
  const auto rows = schema.vectors->of(schema.field(field), source);
  vectors_ = register_buffer("vectors", at::zeros({rows->rows, rows->width}));
  has_ = register_buffer("has", at::zeros({rows->rows}, at::kBool));
  if (rows->values.empty()) return;  // a run's: they come with its weights
  std::copy(rows->values.begin(), rows->values.end(), vectors_.mutable_data_ptr<float>());
  std::transform(rows->has.begin(), rows->has.end(), has_.mutable_data_ptr<bool>(), [](uint8_t h) { return h != 0; });
}

at::Tensor VectorTableImpl::forward(const at::Tensor& ids) {
  auto shape = ids.sizes().vec();
  shape.push_back(width());
  return vectors_.index_select(0, ids.flatten()).view(shape);
}

at::Tensor VectorTableImpl::field(const Features& x, const Field& field) {
  if (field.kind == FieldKind::sequence) return nn::pool(sequence(x, field), field.pooling);
  INTERPLAY_CHECK(field.table == table_, "field '{}' reads no row of table '{}'", field.name, table_);
  return forward(x.ids.select(1, field.column));
}

nn::SequenceVectors VectorTableImpl::sequence(const Features& x, const Field& field) {
  INTERPLAY_CHECK(field.kind == FieldKind::sequence && field.table == table_,
                  "field '{}' is no sequence of rows of table '{}'", field.name, table_);
  const Sequence& s = x.sequences[size_t(field.column)];
  const auto rows = at::arange(s.offsets.size(0) - 1, s.offsets.options());
  return {forward(s.ids), rows.repeat_interleave(s.offsets.diff(), 0, s.ids.size(0)), s.offsets, {}, s.weights};
}

}  // namespace interplay
