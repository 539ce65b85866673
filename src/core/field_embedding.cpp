#include <interplay/core/field_embedding.h>

#include <algorithm>
#include <numeric>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>
#include <interplay/core/augmenter.h>
#include <interplay/core/generators.h>
#include <interplay/core/vector_table.h>
#include <interplay/nn/fm.h>
#include <interplay/nn/row_linear.h>

#include "core/pretrained.h"

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

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Pretrained pretrained_of(const Field& field) {
  Pretrained out;
  read_options(out, field.pretrained);
  return out;
}

bool has_mode(const Field& field, const char* mode) {
  return field.pretrained.size() > 0 && pretrained_of(field).mode == mode;
}

std::string vector_name(const Field& field) { return field.name + ".vector"; }

std::shared_ptr<Augmenter> make_augmenter(const Schema& schema, const Config& config, int64_t width) {
  auto made = augmenters().make(schema, width, config);
  INTERPLAY_CHECK(made->count() >= 1 && made->width() >= 1, "fields.augment: '{}' gives {} vectors of {} numbers",
                  config["name"].as<std::string>(), made->count(), made->width());
  return made;
}

}  // namespace

std::vector<std::string> augmenter_names(const Schema& schema) {
  std::vector<std::string> out;
  if (schema.augment.size() == 0) return out;
  std::map<std::string, int> seen;
  for (const Config& entry : schema.augment.items()) {
    const auto name = name_in(entry);
    const int nth = ++seen[name];
    out.push_back(nth == 1 ? name : fmt::format("{}_{}", name, nth));
  }
  return out;
}

std::string augmenter_module(const std::string& name) { return "augment_" + module_name(name); }

struct FieldEmbeddingImpl::Parts {
  struct Concat {
    Field field;
    VectorTable vectors;
    torch::nn::Linear projection;
  };
  struct Augment {
    std::string name;
    std::shared_ptr<Augmenter> made;
    std::vector<int64_t> places;            // of its vectors, those that are wanted
    torch::nn::Linear projection{nullptr};  // null: it gives vectors of the right width
  };
  std::map<std::string, nn::Embedding> tables;           // by table, those that are learnt
  std::map<std::string, torch::nn::Linear> projections;  // by vector field
  std::map<std::string, VectorTable> frozen;             // by table
  std::vector<Concat> concats;
  std::vector<Augment> augments;
};

FieldEmbeddingImpl::FieldEmbeddingImpl(const Schema& schema, const EmbeddingOptions& options, const FieldChoice& choice)
    : schema_(schema), width_(options.embedding_dim), init_std_(options.init_std), group_(choice.group) {
  INTERPLAY_CHECK(width_ >= 1, "embedding_dim: {} is too small; expected at least 1", width_);
  widths_ = widths_of(schema_, choice.widths, width_);
  if (choice.only) {
    for (const auto& name : *choice.only) schema_.field(name);  // throws where there is none
  }
  for (const auto& name : choice.leave_out) {
    if (!name.starts_with("augment.") && !name.ends_with(".vector")) schema_.field(name);
  }
  const auto here = [&](const Field& f) { return !choice.only || contains(*choice.only, f.name); };
  const auto wanted = [&](const Field& f) { return here(f) && !contains(choice.leave_out, f.name); };
  build(here, wanted, choice.leave_out);
}

void FieldEmbeddingImpl::build(const Choice& here, const Choice& wanted, const std::vector<std::string>& leave_out) {
  build_frozen(here);
  const auto has_table = [&](const Field* f) {
    if (!here(*f)) return false;
    const auto own = widths_.find(f->table);
    if (own == widths_.end() || own->second > 0) return true;
    INTERPLAY_CHECK(!wanted(*f), "widths: table '{}' is 0 wide, but field '{}' reads it; expected 1 to {}", f->table,
                    f->name, width_);
    return false;
  };
  for (const Field* f : schema_.of(FieldKind::categorical)) {
    if (!has_table(f) || parts_->frozen.contains(f->table)) continue;
    const auto t = table(*f);
    if (!wanted(*f)) continue;
    names_.push_back(f->name);
    categorical_.push_back(f->column);
    categorical_tables_.push_back(t);
  }
  for (const Field* f : schema_.of(FieldKind::categorical)) {
    if (!here(*f) || !wanted(*f) || !parts_->frozen.contains(f->table)) continue;
    names_.push_back(f->name);
    frozen_.push_back(*f);
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
    if (!parts_->frozen.contains(f->table)) table(*f);
    if (!wanted(*f)) continue;
    names_.push_back(f->name);
    sequences_.push_back(*f);
  }
  for (const Field* f : schema_.of(FieldKind::vector)) {
    if (!here(*f)) continue;
    parts_->projections.emplace(
        f->name, register_module(module_name(f->name) + "_projection", nn::xavier_linear(f->dimension, width_, false)));
    if (!wanted(*f)) continue;
    names_.push_back(f->name);
    vectors_.push_back(*f);
  }
  INTERPLAY_CHECK(schema_.count(FieldKind::text) == 0,
                  "text fields have no vector of their own; leave them out with fields.drop");
  build_added(here, leave_out);
}

/// Tables that are frozen are made first, those that start from vectors once they are learnt.
void FieldEmbeddingImpl::build_frozen(const Choice& here) {
  parts_ = std::make_shared<Parts>();
  std::map<std::string, const Field*> given;  // by table
  for (const Field& f : schema_.fields()) {
    if (f.pretrained.size() == 0 || has_mode(f, "concat")) continue;
    const auto [other, fresh] = given.emplace(f.table, &f);
    INTERPLAY_CHECK(fresh || f.table.empty(),
                    "fields.pretrained: '{}' and '{}' share the table '{}'; say what its rows are for one of them",
                    other->second->name, f.name, f.table);
    const bool read = std::any_of(schema_.fields().begin(), schema_.fields().end(),
                                  [&](const Field& other) { return other.table == f.table && here(other); });
    const auto own = widths_.find(f.table);
    if (!read || (own != widths_.end() && own->second == 0)) continue;
    const Pretrained p = pretrained_of(f);
    const VectorTable vectors(schema_, f.name, p.source);
    const int64_t rows_width = p.mode == "init" && own != widths_.end() ? own->second : width_;
    INTERPLAY_CHECK(vectors->width() == rows_width,
                    "fields.pretrained.{}: {} has vectors of {} numbers, the rows of this model's table '{}' have {}; "
                    "set model.embedding_dim to {}, or choose mode: concat, which projects them",
                    f.name, p.source.from, vectors->width(), f.table, rows_width, vectors->width());
    if (p.mode == "frozen") {
      parts_->frozen.emplace(f.table, register_module(module_name(f.table) + "_frozen", vectors));
      continue;
    }
    const at::NoGradGuard no_grad;
    auto rows = table(f)->weight();
    const auto has = vectors->has().nonzero().squeeze(1);
    rows.index_copy_(0, has, vectors->vectors().index_select(0, has));
  }
}

/// Fields beside those of the data.
void FieldEmbeddingImpl::build_added(const Choice& here, const std::vector<std::string>& leave_out) {
  for (const Field& f : schema_.fields()) {
    if (!here(f) || !has_mode(f, "concat") || contains(leave_out, vector_name(f))) continue;
    const std::string name = module_name(f.name) + "_vector";
    const auto vectors = register_module(name, VectorTable(schema_, f.name, pretrained_of(f).source));
    parts_->concats.push_back(
        {f, vectors, register_module(name + "_projection", nn::xavier_linear(vectors->width(), width_, false))});
    names_.push_back(vector_name(f));
  }
  const auto names = augmenter_names(schema_);
  for (size_t i = 0; i < names.size(); ++i) {
    Parts::Augment a{names[i], make_augmenter(schema_, schema_.augment.at(i), width_), {}};
    const auto reads = a.made->reads();
    const auto reads_here = [&](const std::string& name) { return here(schema_.field(name)); };
    if (!std::all_of(reads.begin(), reads.end(), reads_here)) continue;
    for (int64_t v = 0; v < a.made->count(); ++v) {
      const std::string name = fmt::format("augment.{}.{}", a.name, v);
      if (contains(leave_out, name)) continue;
      a.places.push_back(v);
      names_.push_back(name);
    }
    if (a.places.empty()) continue;
    const std::string module = augmenter_module(a.name);
    register_module(module, a.made);
    if (a.made->width() != width_)
      a.projection = register_module(module + "_projection", nn::xavier_linear(a.made->width(), width_, false));
    parts_->augments.push_back(std::move(a));
  }
}

bool FieldEmbeddingImpl::uses_vectors() const {
  const auto starts = [](const Field& f) { return has_mode(f, "init"); };
  return !parts_->frozen.empty() || !parts_->concats.empty() || !parts_->augments.empty() ||
         std::any_of(schema_.fields().begin(), schema_.fields().end(), starts);
}

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

std::vector<std::string> vector_names(const Schema& schema) {
  std::vector<std::string> out;
  const auto is_frozen = [&](const Field& field) {
    return std::any_of(schema.fields().begin(), schema.fields().end(),
                       [&](const Field& f) { return f.table == field.table && has_mode(f, "frozen"); });
  };
  for (const bool frozen : {false, true}) {
    for (const Field* f : schema.of(FieldKind::categorical))
      if (is_frozen(*f) == frozen) out.push_back(f->name);
  }
  for (const auto kind : {FieldKind::numeric, FieldKind::sequence, FieldKind::vector}) {
    for (const Field* f : schema.of(kind)) out.push_back(f->name);
  }
  for (const Field& f : schema.fields()) {
    if (has_mode(f, "concat")) out.push_back(vector_name(f));
  }
  const KeptGenerators kept;  // whoever draws weights afterwards draws what it would have drawn
  const auto names = augmenter_names(schema);
  for (size_t i = 0; i < names.size(); ++i) {
    const int64_t count = make_augmenter(schema, schema.augment.at(i), 1)->count();
    for (int64_t v = 0; v < count; ++v) out.push_back(fmt::format("augment.{}.{}", names[i], v));
  }
  return out;
}

void FieldEmbeddingImpl::shift_start(double mean) {
  if (mean == 0) return;
  const at::NoGradGuard no_grad;
  for (const auto& t : nn::tables_of(*this)) t.table->weight().slice(0, 1).add_(mean);
  if (numeric_weight_.defined()) numeric_weight_.add_(mean);
}

nn::Embedding FieldEmbeddingImpl::table(const Field& field) {
  const auto known = parts_->tables.find(field.table);
  if (known != parts_->tables.end()) return known->second;
  const auto own = widths_.find(field.table);
  const nn::Embedding made(field.rows, own == widths_.end() ? width_ : own->second, init_std_);
  return parts_->tables.emplace(field.table, register_module(module_name(field.table), made)).first->second;
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
  for (const auto& f : frozen_) others.push_back(field(x, f.name).unsqueeze(1));
  if (!numeric_.empty()) others.push_back(numeric(x));
  for (const auto& f : sequences_) others.push_back(field(x, f.name).unsqueeze(1));
  for (const auto& f : vectors_) others.push_back(field(x, f.name).unsqueeze(1));
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
  switch (f.kind) {
    case FieldKind::categorical: return read(f, x.ids.select(1, f.column));
    case FieldKind::numeric: return x.dense.select(1, f.column).unsqueeze(1) * numeric_weight_[f.column];
    case FieldKind::sequence: return nn::pool(sequence(x, name), f.pooling);
    case FieldKind::vector: return nn::row_linear(x.vectors[size_t(f.column)], parts_->projections.at(name));
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

}  // namespace interplay
