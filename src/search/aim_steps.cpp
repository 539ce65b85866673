#include "search/aim_steps.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <ATen/ATen.h>

#include <interplay/core/model.h>

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

}  // namespace interplay
