#include <interplay/core/field_embedding.h>

#include <algorithm>
#include <numeric>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>
#include <interplay/nn/fm.h>

namespace interplay {
namespace {

/// Module names may not hold a dot; a field's name may.
std::string module_name(std::string name) {
  for (size_t at = 0; (at = name.find('.', at)) != std::string::npos; at += 3) name.replace(at, 1, "%2E");
  return name;
}

bool is_every_column(const std::vector<int64_t>& columns, int64_t size) {
  return int64_t(columns.size()) == size;  // columns are distinct and ascending
}

/// Of every table that is narrower than `most`: what the schema says, unless `widths` names the table.
std::map<std::string, int64_t> widths_of(const Schema& schema, std::map<std::string, int64_t> widths, int64_t most) {
  std::vector<std::string> tables;
  for (const auto& t : schema.tables()) tables.push_back(t.name);
  for (const Field& f : schema.fields()) {
    if (f.width > 0) widths.emplace(f.table, f.width);
  }
  for (const auto& [name, width] : widths) {
    INTERPLAY_CHECK(std::find(tables.begin(), tables.end(), name) != tables.end(),
                    "widths: there is no table '{}' (tables: {})", name, fmt::join(tables, ", "));
    INTERPLAY_CHECK(width >= 0 && width <= most, "widths: table '{}' is {} wide; expected 1 to {}, the embedding_dim",
                    name, width, most);
  }
  return widths;
}

}  // namespace

FieldEmbeddingImpl::FieldEmbeddingImpl(const Schema& schema, int64_t width, double init_std,
                                       std::vector<std::string> leave_out, std::string group,
                                       std::map<std::string, int64_t> widths)
    : schema_(schema), width_(width), init_std_(init_std), group_(std::move(group)) {
  INTERPLAY_CHECK(width >= 1, "embedding_dim: {} is too small; expected at least 1", width);
  widths_ = widths_of(schema_, std::move(widths), width);
  for (const auto& name : leave_out) schema_.field(name);  // throws where there is none
  build([](const Field&) { return true; },
        [&](const Field& f) { return std::find(leave_out.begin(), leave_out.end(), f.name) == leave_out.end(); });
}

FieldEmbeddingImpl::FieldEmbeddingImpl(const Schema& schema, const OnlyFields& only, int64_t width, double init_std,
                                       std::string group)
    : schema_(schema), width_(width), init_std_(init_std), group_(std::move(group)) {
  INTERPLAY_CHECK(width >= 1, "embedding_dim: {} is too small; expected at least 1", width);
  widths_ = widths_of(schema_, {}, width);
  for (const auto& name : only.names) schema_.field(name);  // throws where there is none
  const auto here = [&](const Field& f) {
    return std::find(only.names.begin(), only.names.end(), f.name) != only.names.end();
  };
  build(here, here);
}

void FieldEmbeddingImpl::build(const Choice& here, const Choice& wanted) {
  const auto has_table = [&](const Field* f) {
    if (!here(*f)) return false;
    const auto own = widths_.find(f->table);
    if (own == widths_.end() || own->second > 0) return true;
    INTERPLAY_CHECK(!wanted(*f), "widths: table '{}' is 0 wide, but field '{}' reads it; expected 1 to {}", f->table,
                    f->name, width_);
    return false;
  };
  for (const Field* f : schema_.of(FieldKind::categorical)) {
    if (!has_table(f)) continue;
    const auto t = table(*f);
    if (!wanted(*f)) continue;
    names_.push_back(f->name);
    categorical_.push_back(f->column);
    categorical_tables_.push_back(t);
  }
  const auto numeric_fields = schema_.of(FieldKind::numeric);
  if (std::any_of(numeric_fields.begin(), numeric_fields.end(), [&](const Field* f) { return here(*f); })) {
    numeric_weight_ = register_parameter("numeric", at::empty({int64_t(numeric_fields.size()), width_}));
    torch::nn::init::normal_(numeric_weight_, 0, init_std_);
  }
  for (const Field* f : numeric_fields) {
    if (!wanted(*f)) continue;
    names_.push_back(f->name);
    numeric_.push_back(f->column);
  }
  for (const Field* f : schema_.of(FieldKind::sequence)) {
    if (!has_table(f)) continue;
    table(*f);
    if (!wanted(*f)) continue;
    names_.push_back(f->name);
    sequences_.push_back(*f);
  }
  for (const Field* f : schema_.of(FieldKind::vector)) {
    if (!here(*f)) continue;
    register_module(module_name(f->name) + "_projection", nn::xavier_linear(f->dimension, width_, false));
    if (!wanted(*f)) continue;
    names_.push_back(f->name);
    vectors_.push_back(*f);
  }
  INTERPLAY_CHECK(schema_.count(FieldKind::text) == 0,
                  "text fields have no vector of their own; leave them out with fields.drop");
}

void FieldEmbeddingImpl::shift_start(double mean) {
  if (mean == 0) return;
  const at::NoGradGuard no_grad;
  for (const auto& t : nn::tables_of(*this)) t.table->table().weight().slice(0, 1).add_(mean);
  if (numeric_weight_.defined()) numeric_weight_.add_(mean);
}

nn::Embedding FieldEmbeddingImpl::table(const Field& field) {
  const std::string name = module_name(field.table);
  if (const auto* const known = named_children().find(name))
    return nn::Embedding(std::dynamic_pointer_cast<nn::EmbeddingImpl>(*known));
  const auto own = widths_.find(field.table);
  return register_module(name, nn::Embedding(field.rows, own == widths_.end() ? width_ : own->second, init_std_));
}

at::Tensor FieldEmbeddingImpl::read(const Field& field, const at::Tensor& ids) {
  return nn::gather_fields(ids.unsqueeze(1), {table(field)}, width_).squeeze(1);
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
  if (!numeric_.empty()) others.push_back(numeric(x));
  for (const auto& f : sequences_) others.push_back(field(x, f.name).unsqueeze(1));
  for (const auto& f : vectors_) others.push_back(field(x, f.name).unsqueeze(1));
  if (!others.empty()) parts.others = others.size() == 1 ? others.front() : at::cat(others, 1);
  INTERPLAY_CHECK(parts.ids.defined() || parts.others.defined(),
                  "the model has no field to read; check fields.keep and fields.drop");
  return nn::FieldVectors(std::move(parts));
}

at::Tensor FieldEmbeddingImpl::field(const Features& x, const std::string& name) {
  const Field& f = schema_.field(name);
  switch (f.kind) {
    case FieldKind::categorical: return read(f, x.ids.select(1, f.column));
    case FieldKind::numeric: return x.dense.select(1, f.column).unsqueeze(1) * numeric_weight_[f.column];
    case FieldKind::sequence: return nn::pool(sequence(x, name), f.pooling);
    case FieldKind::vector:
      return named_children()[module_name(name) + "_projection"]->as<torch::nn::LinearImpl>()->forward(
          x.vectors[size_t(f.column)]);
    case FieldKind::text: break;
  }
  throw Error(fmt::format("field '{}' of kind {} has no vector", name, to_string(f.kind)));
}

nn::SequenceVectors FieldEmbeddingImpl::sequence(const Features& x, const std::string& name, int64_t pad_to) {
  const Field& f = schema_.field(name);
  INTERPLAY_CHECK(f.kind == FieldKind::sequence, "field '{}' is {}, not a sequence", name, to_string(f.kind));
  const Sequence& s = x.sequences[size_t(f.column)];
  const auto lengths = s.offsets.diff();  // [B]
  const int64_t batch = lengths.size(0);
  const auto rows = at::arange(batch, s.offsets.options());
  if (pad_to <= 0) {
    return {read(f, s.ids), rows.repeat_interleave(lengths, 0, s.ids.size(0)), s.offsets, {}, s.weights};
  }
  const auto place = at::arange(pad_to, s.offsets.options());    // [L]
  const auto valid = place.unsqueeze(0) < lengths.unsqueeze(1);  // [B, L]
  const auto from = (s.offsets.narrow(0, 0, batch).unsqueeze(1) + place).masked_select(valid);
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

std::vector<History> histories_of(const Schema& schema) {
  std::vector<History> out;
  for (const auto* items : schema.of(FieldKind::sequence)) {
    if (items->target.empty() || !items->paired_with.empty()) continue;
    History h{{items->name}, items->target, items->max_length};
    for (const auto* f : schema.of(FieldKind::sequence)) {
      if (f->paired_with == items->name) h.sequences.push_back(f->name);
    }
    out.push_back(std::move(h));
  }
  return out;
}

FieldLinearImpl::FieldLinearImpl(const Schema& schema, bool bias, double init_std)
    : weights_(register_module(
          "weights", FieldEmbedding(schema.with_widths({}), 1, init_std, std::vector<std::string>(), "linear"))) {
  if (bias) bias_ = register_parameter("bias", at::zeros({}));
}

at::Tensor FieldLinearImpl::forward(const Features& x) {
  const auto sum = nn::sum_fields(weights_(x)).squeeze(1);  // [B]
  return bias_.defined() ? sum + bias_ : sum;
}

}  // namespace interplay
