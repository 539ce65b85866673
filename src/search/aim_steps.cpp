#include "search/aim_steps.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <span>

#include <ATen/ATen.h>

#include <interplay/base/log.h>
#include <interplay/core/model.h>

#include "search/choice.h"

namespace interplay {

std::vector<Interaction> grow(const std::vector<Interaction>& found, size_t most,
                              const std::vector<std::string>& fields, bool by_sign) {
  std::vector<std::string> functions;
  std::map<std::string, std::vector<const Interaction*>> strongest;
  for (const auto& i : found) {
    if (std::find(functions.begin(), functions.end(), i.function) == functions.end()) functions.push_back(i.function);
    if (i.kept) strongest[i.function].push_back(&i);
  }
  std::map<std::string, size_t> place;
  for (size_t f = 0; f < fields.size(); ++f) place[fields[f]] = f;
  std::vector<Interaction> out;
  for (const auto& function : functions) {
    auto& list = strongest[function];
    const auto strength = [&](const Interaction* i) { return by_sign ? i->gate : std::abs(i->gate); };
    std::stable_sort(list.begin(), list.end(), [&](auto* a, auto* b) { return strength(a) > strength(b); });
    list.resize(std::min(list.size(), most));
    std::set<std::vector<size_t>> sets;
    for (const Interaction* i : list) {
      std::set<size_t> own;
      for (const auto& f : i->fields) own.insert(place.at(f));
      for (size_t f = 0; f < fields.size(); ++f) {
        if (own.contains(f)) continue;
        auto more = own;
        more.insert(f);
        sets.insert({more.begin(), more.end()});
      }
    }
    for (const auto& set : sets) {
      Interaction next{{}, function};
      for (const size_t f : set) next.fields.push_back(fields[f]);
      out.push_back(std::move(next));
    }
  }
  return out;
}

FieldWidths widths_of(const DimensionGates& gates, std::vector<Interaction>& interactions) {
  const auto open = gates.gate.ne(0).cpu();       // [F, K]
  auto needed = at::zeros_like(open, at::kBool);  // [F, K]
  std::map<std::string, int64_t> place;
  for (size_t f = 0; f < gates.fields.size(); ++f) place[gates.fields[f]] = int64_t(f);
  const auto is_of = [&](const Interaction& i) {
    return i.kept && int64_t(i.fields.size()) == gates.order && i.function == gates.function;
  };
  for (const auto& i : interactions) {
    if (!is_of(i)) continue;
    auto common = at::ones({open.size(1)}, at::kBool);
    for (const auto& f : i.fields) common.logical_and_(open[place.at(f)]);
    for (const auto& f : i.fields) {
      const int64_t at = place.at(f);
      needed[at].logical_or_(gates.function == "outer" ? open[at] : common);
    }
  }
  const auto counts = needed.sum(1);
  FieldWidths out{gates.order, gates.function, {}};
  for (const auto& [field, at] : place) out.widths[field] = counts[at].item<int64_t>();
  for (auto& i : interactions) {
    if (!is_of(i)) continue;
    i.kept = std::all_of(i.fields.begin(), i.fields.end(), [&](const auto& f) { return out.widths.at(f) > 0; });
  }
  return out;
}

void continue_from(torch::nn::Module& to, const torch::nn::Module& from) {
  const at::NoGradGuard no_grad;
  // Module -> its interactions. A model's blocks are modules of their own, so that a name begins with one of these.
  const auto blocks_of = [](const torch::nn::Module& model) {
    std::map<std::string, std::vector<Interaction>> out;
    for (const auto& m : model.named_children()) {
      if (const auto* const has = dynamic_cast<const HasInteractions*>(m.value().get())) out[m.key()] = has->list();
    }
    return out;
  };
  const auto old_blocks = blocks_of(from), blocks = blocks_of(to);
  const auto old = weights_of(from);
  for (auto& [name, weight] : weights_of(to)) {
    const auto it = old.find(name);
    if (it == old.end()) continue;
    if (it->second.sizes() == weight.sizes()) {
      weight.copy_(it->second);
      continue;
    }
    const std::string block = name.substr(0, name.find('.'));
    if (!blocks.contains(block) || !old_blocks.contains(block)) continue;
    const auto &own = blocks.at(block), &given = old_blocks.at(block);
    if (weight.dim() != it->second.dim() || weight.size(0) != int64_t(own.size()) ||
        it->second.size(0) != int64_t(given.size()))
      continue;
    for (size_t i = 0; i < own.size(); ++i) {
      const auto same = [&](const Interaction& g) { return g.fields == own[i].fields; };
      const auto at = std::find_if(given.begin(), given.end(), same);
      if (at != given.end()) weight[int64_t(i)].copy_(it->second[at - given.begin()]);
    }
  }
}

std::vector<Interaction> of_order(int64_t order, const std::vector<Interaction>& interactions) {
  std::vector<Interaction> out;
  for (const auto& i : interactions) {
    if (int64_t(i.fields.size()) == order) out.push_back(i);
  }
  return out;
}

std::vector<std::string> fields_of(const std::vector<Interaction>& pairs) {
  std::vector<std::string> out;
  for (const auto& i : pairs) {
    for (const auto& f : i.fields) {
      if (std::find(out.begin(), out.end(), f) == out.end()) out.push_back(f);
    }
  }
  return out;
}

bool is_read(const DimensionGates& g, const std::string& field, const std::vector<Interaction>& interactions) {
  return std::any_of(interactions.begin(), interactions.end(), [&](const Interaction& i) {
    return i.kept && int64_t(i.fields.size()) == g.order && i.function == g.function &&
           std::find(i.fields.begin(), i.fields.end(), field) != i.fields.end();
  });
}

std::string table_name(const DimensionGates& g, const std::string& field) {
  return fmt::format("{} (order {}, {})", field, g.order, g.function);
}

std::vector<std::string> names_of(const std::vector<DimensionGates>& gates) {
  std::vector<std::string> names;
  for (const auto& g : gates) {
    for (const auto& field : g.fields) {
      for (int64_t k = 0; k < g.gate.size(1); ++k) names.push_back(fmt::format("{} #{}", table_name(g, field), k));
    }
  }
  return names;
}

void leave_chosen(std::vector<DimensionGates>& gates, const KeptCurve& curve) {
  const std::set<std::string> chosen(curve.ranking.begin(), curve.ranking.begin() + curve.chosen);
  const auto names = names_of(gates);
  auto name = names.begin();
  for (auto& g : gates) {
    for (auto& gate : std::span(g.gate.mutable_data_ptr<float>(), size_t(g.gate.numel()))) {
      if (!chosen.contains(*name++)) gate = 0;
    }
  }
  log::info("kept {} of {} numbers of embeddings {}", curve.chosen, curve.ranking.size(), curve_text(curve));
}

}  // namespace interplay
