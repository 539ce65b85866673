#include <interplay/core/model.h>

#include <algorithm>
#include <set>

#include <ATen/ATen.h>

#include <interplay/core/field_embedding.h>
#include <interplay/core/generators.h>
#include <interplay/core/interactions.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/quantised_rows.h>
#include <interplay/nn/table_storage.h>

#include "core/pretrained.h"

namespace interplay {

Model::~Model() = default;

Registry<Model, const Schema&>& models() {
  static auto* const registry = new Registry<Model, const Schema&>("model");
  return *registry;
}

void check_reads_vectors(const torch::nn::Module& model, const Schema& schema, const Config& config) {
  const auto is_given = [](const Field& f) { return f.pretrained.size() > 0; };
  const bool given = std::any_of(schema.fields().begin(), schema.fields().end(), is_given);
  const auto augmenters = augmenter_names(schema);
  if (!given && augmenters.empty()) return;
  const auto name = name_in(config);
  bool used = false, chooses = false;
  std::set<std::string> children;
  for (const auto& m : model.modules()) {
    chooses = chooses || dynamic_cast<const HasInteractions*>(m.get());  // and may have left some out
    const auto* const fields = dynamic_cast<const FieldEmbeddingImpl*>(m.get());
    used = used || (fields && fields->uses_vectors());
    if (!fields) continue;
    for (const auto& child : fields->named_children()) children.insert(child.key());
  }
  INTERPLAY_CHECK(
      !given || used || chooses,
      "fields.pretrained: model '{}' embeds no fields, so that vectors have no part in it; leave it out, or "
      "take another model, as deepfm",
      name);
  for (const auto& augmenter : augmenters) {
    INTERPLAY_CHECK(
        chooses || children.contains(augmenter_module(augmenter)),
        "fields.augment: '{}' has no place in model '{}', no part of which embeds all of the fields that it "
        "reads; give each of these an entry of its own, or take another model, as deepfm",
        augmenter, name);
  }
}

std::shared_ptr<Model> make_model(const Config& config, const Schema& schema, uint64_t seed) {
  const KeptGenerators kept;  // who trains in this process goes on drawing what it would have drawn
  at::manual_seed(seed);
  auto model = models().make(schema, config);
  check_reads_vectors(*model, schema, config);
  return model;
}

void Output::take(const std::string& name, Output&& nested) {
  for (auto& term : nested.terms) {
    term.name = name + "." + term.name;
    terms.push_back(std::move(term));
  }
  tokens += nested.tokens;
}

std::shared_ptr<Model> ModelOption::make(const Schema& schema) const { return models().make(schema, config_); }

std::string ModelOption::name() const { return name_in(config_); }

void ModelOption::read_option(const Config& from) { config_ = models().resolve(from); }

Config ModelOption::write_option() const { return config_.is_null() ? config_ : models().resolve(config_); }

int64_t parameter_count(const torch::nn::Module& model) {
  int64_t count = 0;
  std::set<const void*> counted;  // a module registered under two names is one
  for (const auto& p : model.parameters()) {
    if (p.requires_grad() && counted.insert(p.unsafeGetTensorImpl()).second) count += p.numel();
  }
  for (const auto& t : nn::tables_of(model)) count += t.table->rows() * t.table->width();
  return count;
}

std::map<std::string, at::Tensor> weights_of(const torch::nn::Module& model) {
  std::map<std::string, at::Tensor> weights;
  for (const auto& p : model.named_parameters()) weights[p.key()] = p.value().detach();
  for (const auto& b : model.named_buffers()) weights[b.key()] = b.value();
  for (const auto& t : nn::tables_of(model)) weights[t.name + ".weight"] = t.table->weight();
  return weights;
}

namespace {

/// All or nothing: throws Error(data) unless there is one of each, alike in shape and kind.
void check_weights(const std::map<std::string, at::Tensor>& own, const std::map<std::string, at::Tensor>& weights,
                   const std::string& from) {
  for (const auto& [name, given] : weights) {
    INTERPLAY_CHECK_DATA(own.contains(name), "{}: entry '{}' is unknown to this model; the file belongs to another",
                         from, name);
  }
  for (const auto& [name, weight] : own) {
    const auto it = weights.find(name);
    INTERPLAY_CHECK_DATA(it != weights.end(), "{}: entry '{}' is missing; the file belongs to another model", from,
                         name);
    INTERPLAY_CHECK_DATA(it->second.sizes() == weight.sizes(), "{}: entry '{}' has shape [{}], this model needs [{}]",
                         from, name, fmt::join(it->second.sizes(), ", "), fmt::join(weight.sizes(), ", "));
    INTERPLAY_CHECK_DATA(it->second.is_floating_point() == weight.is_floating_point(),
                         "{}: entry '{}' is of type {}, this model needs {}", from, name,
                         toString(it->second.scalar_type()), toString(weight.scalar_type()));
  }
}

}  // namespace

void load_weights(torch::nn::Module& model, const std::map<std::string, at::Tensor>& saved, const std::string& from) {
  const at::NoGradGuard no_grad;
  const auto weights = nn::dequantised(saved, from);
  auto own = weights_of(model);
  check_weights(own, weights, from);
  for (auto& [name, weight] : own) weight.copy_(weights.at(name));
}

void map_weights(torch::nn::Module& model, const std::map<std::string, at::Tensor>& saved, const std::string& from) {
  const at::NoGradGuard no_grad;
  const auto weights = nn::dequantised(saved, from);
  auto own = weights_of(model);
  check_weights(own, weights, from);
  for (const auto& [name, table] : nn::tables_of(model)) {
    const auto own_rows = own.find(name + ".weight");  // none: of a table that another module has too
    if (own_rows == own.end() || weights.at(own_rows->first).scalar_type() != at::kFloat) continue;
    table->table().borrow(weights.at(own_rows->first));
    own.erase(own_rows);
  }
  for (auto& [name, weight] : own) weight.copy_(weights.at(name));
}

void move_model(torch::nn::Module& model, at::Device device) {
  model.to(device);
  for (const auto& t : nn::tables_of(model)) t.table->table().to(device);
}

}  // namespace interplay
