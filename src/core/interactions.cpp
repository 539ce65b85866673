#include <interplay/core/interactions.h>

#include <algorithm>
#include <map>
#include <set>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/nn/fm.h>

namespace interplay {
namespace {

using FieldSet = std::vector<int64_t>;  // ascending

FieldSet fields_of(const std::vector<std::string>& set, const std::vector<std::string>& names) {
  const auto place = fmt::format("model.interactions: [{}]", fmt::join(set, ", "));
  INTERPLAY_CHECK(set.size() >= 2 && set.size() <= 4, "{} has {} field{}; expected 2 to 4", place, set.size(),
                  set.size() == 1 ? "" : "s");
  FieldSet out;
  for (const auto& name : set) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) {
      const std::string close = nearest(name, names);
      throw Error(fmt::format("{}: there is no field '{}'{} (fields: {})", place, name,
                              close.empty() ? "" : fmt::format("; did you mean '{}'?", close), fmt::join(names, ", ")));
    }
    out.push_back(at - names.begin());
  }
  std::sort(out.begin(), out.end());
  INTERPLAY_CHECK(std::adjacent_find(out.begin(), out.end()) == out.end(),
                  "{} names a field twice; the fields of a set have to differ", place);
  return out;
}

std::map<int64_t, at::Tensor> all_up_to(int64_t order, int64_t fields) {
  std::map<int64_t, at::Tensor> out;
  for (int64_t o = 2; o <= std::min(order, fields); ++o) out[o] = nn::all_sets(fields, o);
  return out;
}

}  // namespace

HasInteractions::~HasInteractions() = default;

namespace {
std::set<std::string>& searchable() {
  static auto* const names = new std::set<std::string>;
  return *names;
}
}  // namespace

namespace detail {
void add_searchable_model(const char* name) noexcept { searchable().insert(name); }
}  // namespace detail

std::vector<std::string> searchable_models() { return {searchable().begin(), searchable().end()}; }

std::map<int64_t, at::Tensor> field_sets(const std::vector<std::vector<std::string>>& sets,
                                         const std::vector<std::string>& names) {
  std::map<size_t, std::set<FieldSet>> by_order;
  for (const auto& set : sets) {
    const auto fields = fields_of(set, names);
    INTERPLAY_CHECK(by_order[fields.size()].insert(fields).second,
                    "model.interactions: [{}] is listed twice; remove one of them", fmt::join(set, ", "));
  }
  std::map<int64_t, at::Tensor> out;
  for (const auto& [order, list] : by_order) {
    FieldSet flat;
    for (const auto& set : list) flat.insert(flat.end(), set.begin(), set.end());
    out[int64_t(order)] = at::tensor(flat, at::kLong).view({int64_t(list.size()), int64_t(order)});
  }
  return out;
}

FieldInteractionsImpl::FieldInteractionsImpl(const Schema& schema, const FieldEmbedding& fields,
                                             const InteractionOptions& options, double init_std)
    : names_(fields->names()), has_gates_(options.gates) {
  const int64_t count = fields->count();
  const auto sets = options.interactions ? field_sets(*options.interactions, names_) : all_up_to(options.order, count);
  for (const auto& [order, list] : sets) {
    Block block{list, order == 2 && list.size(0) == count * (count - 1) / 2};
    if (options.gates) {
      const nn::GateOptions gates{options.gate_norm, options.gate_norm_eps, options.gate_norm_momentum,
                                  options.gate_start, options.gate_spread};
      block.gated = register_module(fmt::format("order{}", order), nn::GatedProducts(list, gates));
    }
    blocks_.push_back(std::move(block));
  }
  if (options.third_order == "separate" && !blocks_.empty() && blocks_.back().order() > 2)
    high_order_ = register_module("fields", FieldEmbedding(schema, fields->width(), init_std));
  if (!options.gates || !options.gate_centre || blocks_.empty()) return;
  const auto centre = [&] { return nn::Centre(count, fields->width(), options.gate_norm_momentum); };
  centre_ = register_module("centre", centre());
  if (high_order_) high_centre_ = register_module("high_centre", centre());
}

std::vector<nn::FieldVectors> FieldInteractionsImpl::vectors(const Features& x, const nn::FieldVectors& e) {
  std::vector<nn::FieldVectors> out;
  const auto is_high = [&](const Block& block) { return high_order_ && block.order() > 2; };
  for (const auto& block : blocks_) {
    const bool high = is_high(block);
    if (centre_ && !out.empty() && high == is_high(blocks_[out.size() - 1])) {
      out.push_back(out.back());
      continue;
    }
    const auto v = high ? high_order_(x) : e;
    out.push_back(!centre_ ? v : (high ? high_centre_ : centre_)(v));
  }
  return out;
}

at::Tensor FieldInteractionsImpl::sum(const Features& x, const nn::FieldVectors& e) {
  at::Tensor total;
  const auto of_block = vectors(x, e);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    Block& block = blocks_[i];
    const auto& v = of_block[i];
    const auto part = block.gated           ? block.gated->sum(v)
                      : block.is_every_pair ? nn::fm(v)
                                            : nn::set_products(v, block.sets).sum(1);
    total = total.defined() ? total + part : part;
  }
  return total.defined() ? total : at::zeros({e.batch()}, e.tensor().options());
}

at::Tensor FieldInteractionsImpl::each(const Features& x, const nn::FieldVectors& e) {
  std::vector<at::Tensor> parts;
  const auto of_block = vectors(x, e);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    Block& block = blocks_[i];
    parts.push_back(block.gated ? block.gated(of_block[i]) : nn::set_products(of_block[i], block.sets));
  }
  if (parts.size() == 1) return parts.front();
  return parts.empty() ? at::zeros({e.batch(), 0}, e.tensor().options()) : at::cat(parts, 1);
}

int64_t FieldInteractionsImpl::count() const {
  int64_t sum = 0;
  for (const auto& block : blocks_) sum += block.sets.size(0);
  return sum;
}

std::vector<Interaction> FieldInteractionsImpl::list() const {
  std::vector<Interaction> out;
  for (const auto& block : blocks_) {
    at::Tensor gates;
    if (block.gated) gates = block.gated->gate.detach().cpu();
    const auto fields = block.sets.accessor<int64_t, 2>();
    for (int64_t p = 0; p < fields.size(0); ++p) {
      Interaction i;
      for (int64_t m = 0; m < fields.size(1); ++m) i.fields.push_back(names_[size_t(fields[p][m])]);
      if (gates.defined()) i.gate = gates.const_data_ptr<float>()[p];
      i.kept = i.gate != 0;
      out.push_back(std::move(i));
    }
  }
  return out;
}

std::vector<Interaction> interactions_of(const torch::nn::Module& module) {
  std::vector<Interaction> out;
  for (const auto& m : module.modules()) {
    if (const auto* const found = dynamic_cast<const HasInteractions*>(m.get())) {
      for (auto& i : found->list()) out.push_back(std::move(i));
    }
  }
  return out;
}

std::vector<DimensionGates> dimension_gates_of(const torch::nn::Module& module) {
  std::vector<DimensionGates> out;
  for (const auto& m : module.modules()) {
    if (const auto* const found = dynamic_cast<const HasInteractions*>(m.get())) {
      for (auto& g : found->dimension_gates()) out.push_back(std::move(g));
    }
  }
  return out;
}

}  // namespace interplay
