#include <interplay/core/field_embedding.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/nn/attention.h>
#include <interplay/nn/row_linear.h>

#include "core/field_embedding_parts.h"

namespace interplay {
namespace {

bool is_every_column(const std::vector<int64_t>& columns, int64_t size) {
  return int64_t(columns.size()) == size;  // columns are distinct and ascending
}

}  // namespace

at::Tensor FieldEmbeddingImpl::augmented(const Features& x, size_t which) {
  const auto& a = parts_->augments[which];
  auto v = a.made->augment(x);
  INTERPLAY_CHECK(v.dim() == 3 && v.size(0) == x.rows && v.size(1) == a.made->count() && v.size(2) == a.made->width(),
                  "fields.augment: '{}' gave a tensor [{}] for {} rows; expected [{}, {}, {}], as its count() and "
                  "width() say",
                  a.name, fmt::join(v.sizes(), ", "), x.rows, x.rows, a.made->count(), a.made->width());
  if (int64_t(a.places.size()) < v.size(1))
    v = v.index_select(1, at::tensor(a.places, at::TensorOptions().dtype(at::kLong).device(v.device())));
  return a.projection ? nn::row_linear(v, a.projection) : v;
}

at::Tensor FieldEmbeddingImpl::read(const Field& field, const at::Tensor& ids) {
  const auto frozen = parts_->frozen.find(field.table);
  if (frozen != parts_->frozen.end()) return frozen->second(ids);
  return nn::gather_fields(ids.unsqueeze(1), {table(field)}, width_).squeeze(1);
}

at::Tensor FieldEmbeddingImpl::rows(const std::string& name, const at::Tensor& ids) {
  const Field& f = schema_.field(name);
  INTERPLAY_CHECK(f.kind == FieldKind::categorical || f.kind == FieldKind::sequence,
                  "field '{}' is {}; expected one that has a table, a categorical field or a sequence", name,
                  to_string(f.kind));
  const auto flat = ids.to(at::kInt).reshape({-1});
  if (flat.numel() > 0) {
    const auto low = flat.min().item<int64_t>(), high = flat.max().item<int64_t>();
    INTERPLAY_CHECK(low >= 0 && high < f.rows, "field '{}': id {} of a table of {} rows", name, low < 0 ? low : high,
                    f.rows);
  }
  auto shape = ids.sizes().vec();
  shape.push_back(width_);
  return read(f, flat).view(shape);
}

at::Tensor FieldEmbeddingImpl::numeric(const Features& x) {
  auto v = numeric_weight_;
  auto values = x.dense;
  if (!is_every_column(numeric_, v.size(0))) {
    const auto columns = at::tensor(numeric_, at::TensorOptions().dtype(at::kLong).device(v.device()));
    v = v.index_select(0, columns);
    values = values.index_select(1, columns);
  }
  return values.unsqueeze(2) * v;  // [B, D, K]
}

nn::FieldVectors FieldEmbeddingImpl::forward(const Features& x) {
  if (!tap_) return read_all(x);
  const at::Tensor e = [&] {
    const at::NoGradGuard no_grad;
    return read_all(x).tensor();
  }();
  std::vector<at::Tensor> tapped;
  for (int64_t f = 0; f < count(); ++f) tapped.push_back(tap_({names_[size_t(f)], e.select(1, f), {}, {}}));
  return nn::FieldVectors(at::stack(tapped, 1));
}

nn::FieldVectors FieldEmbeddingImpl::read_all(const Features& x) {
  nn::FieldVectors::Parts parts;
  if (!categorical_.empty()) {
    parts.ids = x.ids;
    if (!is_every_column(categorical_, x.ids.size(1))) {
      const auto columns = at::tensor(categorical_, at::TensorOptions().dtype(at::kLong).device(x.ids.device()));
      parts.ids = x.ids.index_select(1, columns);
    }
    parts.tables = categorical_tables_;
    parts.width = width_;
  }
  std::vector<at::Tensor> others;
  for (const auto& f : frozen_) others.push_back(read_field(x, f).unsqueeze(1));
  if (!numeric_.empty()) others.push_back(numeric(x));
  for (const auto& f : sequences_) others.push_back(read_field(x, f).unsqueeze(1));
  for (const auto& f : vectors_) others.push_back(read_field(x, f).unsqueeze(1));
  for (auto& c : parts_->concats)
    others.push_back(nn::row_linear(c.vectors->field(x, c.field), c.projection).unsqueeze(1));
  for (size_t i = 0; i < parts_->augments.size(); ++i) others.push_back(augmented(x, i));
  if (!others.empty()) parts.others = others.size() == 1 ? others.front() : at::cat(others, 1);
  INTERPLAY_CHECK(parts.ids.defined() || parts.others.defined(),
                  "the model has no field to read; check fields.keep and fields.drop");
  return nn::FieldVectors(std::move(parts));
}

at::Tensor FieldEmbeddingImpl::field(const Features& x, const std::string& name) {
  const Field& f = schema_.field(name);
  if (!tap_) return read_field(x, f);
  const at::Tensor vectors = [&] {
    const at::NoGradGuard no_grad;
    return read_field(x, f);
  }();
  return tap_({f.name, vectors, {}, {}});
}

at::Tensor FieldEmbeddingImpl::read_field(const Features& x, const Field& f) {
  switch (f.kind) {
    case FieldKind::categorical: return read(f, x.ids.select(1, f.column));
    case FieldKind::numeric: return x.dense.select(1, f.column).unsqueeze(1) * numeric_weight_[f.column];
    case FieldKind::sequence: return nn::pool(read_sequence(x, f), f.pooling);
    case FieldKind::vector: return nn::row_linear(x.vectors[size_t(f.column)], parts_->projections.at(f.name));
    case FieldKind::text: break;
  }
  throw Error(fmt::format("field '{}' of kind {} has no vector", f.name, to_string(f.kind)));
}

nn::SequenceVectors FieldEmbeddingImpl::sequence(const Features& x, const std::string& name, int64_t pad_to) {
  const Field& f = schema_.field(name);
  INTERPLAY_CHECK(f.kind == FieldKind::sequence, "field '{}' is {}, not a sequence", name, to_string(f.kind));
  if (!tap_) return read_sequence(x, f, pad_to);
  nn::SequenceVectors entries = [&] {
    const at::NoGradGuard no_grad;
    return read_sequence(x, f, pad_to);
  }();
  entries.vectors = tap_({f.name, entries.vectors, entries.row, entries.valid});
  return entries;
}

nn::SequenceVectors FieldEmbeddingImpl::read_sequence(const Features& x, const Field& f, int64_t pad_to) {
  const Sequence& s = x.sequences[size_t(f.column)];
  const auto lengths = s.offsets.diff();  // [B]
  const int64_t batch = lengths.size(0);
  const auto rows = at::arange(batch, s.offsets.options());
  if (pad_to <= 0) {
    return {read(f, s.ids), rows.repeat_interleave(lengths, 0, s.ids.size(0)), s.offsets, {}, s.weights};
  }
  const auto place = at::arange(pad_to, s.offsets.options());    // [L]
  const auto valid = place.unsqueeze(0) < lengths.unsqueeze(1);  // [B, L]
  const auto first = s.offsets.narrow(0, 1, batch) - lengths.clamp_max(pad_to);
  const auto from = (first.unsqueeze(1) + place).masked_select(valid);
  auto ids = at::zeros({batch, pad_to}, s.ids.options());
  ids.masked_scatter_(valid, s.ids.index_select(0, from));
  at::Tensor weights;
  if (s.weights.defined())
    weights = at::zeros({batch, pad_to}, s.weights.options())
                  .masked_scatter(valid, s.weights.index_select(0, from))
                  .flatten();
  return {read(f, ids.flatten()), rows.repeat_interleave(pad_to), at::arange(batch + 1, s.offsets.options()) * pad_to,
          valid.flatten(), weights};
}

nn::SequenceVectors FieldEmbeddingImpl::sequence(const Features& x, const History& history, int64_t pad_to) {
  auto entries = sequence(x, history.sequences.front(), pad_to);
  if (history.sequences.size() == 1) return entries;
  std::vector<at::Tensor> columns{entries.vectors};
  for (size_t i = 1; i < history.sequences.size(); ++i)
    columns.push_back(sequence(x, history.sequences[i], pad_to).vectors);
  entries.vectors = at::cat(columns, 1);
  return entries;
}

}  // namespace interplay
