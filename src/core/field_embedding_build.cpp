#include <algorithm>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>
#include <interplay/core/generators.h>

#include "core/field_embedding_parts.h"
#include "core/pretrained.h"

namespace interplay {
namespace {

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

}  // namespace

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
    if (!here(*f) || (f->given && !parts_->frozen.contains(f->table))) return false;
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

nn::Embedding FieldEmbeddingImpl::table(const Field& field) {
  const auto known = parts_->tables.find(field.table);
  if (known != parts_->tables.end()) return known->second;
  const auto own = widths_.find(field.table);
  const nn::Embedding made(field.rows, own == widths_.end() ? width_ : own->second, init_std_);
  return parts_->tables.emplace(field.table, register_module(module_name(field.table), made)).first->second;
}

bool FieldEmbeddingImpl::uses_vectors() const {
  const auto starts = [](const Field& f) { return has_mode(f, "init"); };
  return !parts_->frozen.empty() || !parts_->concats.empty() || !parts_->augments.empty() ||
         std::any_of(schema_.fields().begin(), schema_.fields().end(), starts);
}

void FieldEmbeddingImpl::shift_start(double mean) {
  if (mean == 0) return;
  const at::NoGradGuard no_grad;
  for (const auto& t : nn::tables_of(*this)) t.table->weight().slice(0, 1).add_(mean);
  if (numeric_weight_.defined()) numeric_weight_.add_(mean);
}

std::vector<std::string> vector_names(const Schema& schema) {
  std::vector<std::string> out;
  const auto is_frozen = [&](const Field& field) {
    return std::any_of(schema.fields().begin(), schema.fields().end(),
                       [&](const Field& f) { return f.table == field.table && has_mode(f, "frozen"); });
  };
  for (const bool frozen : {false, true}) {
    for (const Field* f : schema.of(FieldKind::categorical))
      if (is_frozen(*f) == frozen && (frozen || !f->given)) out.push_back(f->name);
  }
  for (const auto kind : {FieldKind::numeric, FieldKind::sequence, FieldKind::vector}) {
    for (const Field* f : schema.of(kind))
      if (!f->given || is_frozen(*f)) out.push_back(f->name);
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
