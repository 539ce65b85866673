#include <interplay/optim/update_rule.h>

#include <ATen/ATen.h>

namespace interplay {

UpdateRule::~UpdateRule() = default;
UpdateRule::Rest::~Rest() = default;

void UpdateRule::start(const at::Tensor&, at::Tensor) const {}
std::unique_ptr<UpdateRule::Rest> UpdateRule::rest(double, double) const { return nullptr; }

void UpdateRule::update(at::Tensor w, const at::Tensor& g, at::Tensor s, const StepInfo& step) const {
  const auto here = [](const at::Tensor& t) { return t.to(at::kCPU, at::kFloat).contiguous(); };
  const auto rows = here(w), gradients = here(g), states = here(s);
  update({rows.mutable_data_ptr<float>(), gradients.const_data_ptr<float>(), states.mutable_data_ptr<float>(),
          rows.size(0), rows.size(1), rows.size(1), states.size(1)},
         step);
  if (!rows.is_same(w)) w.copy_(rows);
  if (!states.is_same(s)) s.copy_(states);
}

Registry<UpdateRule>& update_rules() {
  static auto* const registry = new Registry<UpdateRule>("optimizer");
  return *registry;
}

}  // namespace interplay
