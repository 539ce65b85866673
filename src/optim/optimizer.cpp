#include <interplay/optim/optimizer.h>

#include <set>

#include <interplay/base/stages.h>
#include <interplay/nn/table_storage.h>

#include "optim/groups.h"
#include "optim/step.h"

namespace interplay {

struct Optimizer::State : OptimizerParts {};

namespace {

/// Rules move weights through a pointer, row after row.
void check_movable(const std::string& name, const at::Tensor& weight) {
  INTERPLAY_CHECK(weight.scalar_type() == at::kFloat,
                  "parameter '{}' is of type {}; only parameters of type Float (f32) are trained: register it as such, "
                  "or without requires_grad",
                  name, toString(weight.scalar_type()));
  INTERPLAY_CHECK(weight.is_contiguous(),
                  "parameter '{}' is not contiguous (shape [{}], strides [{}]), as a transpose or a slice is not; "
                  "register weight.contiguous()",
                  name, fmt::join(weight.sizes(), ", "), fmt::join(weight.strides(), ", "));
}

std::map<std::string, Group> make_groups(const Config& config, const std::map<std::string, std::string>& names) {
  const Config resolved = Optimizer::resolve(config);
  std::set<std::string> present{kDense, kEmbedding};
  for (const auto& [parameter, group] : names) present.insert(group);
  for (const auto& name : resolved.keys()) {
    if (!present.contains(name)) {
      config[name].fail(
          fmt::format("this model has no parameter group '{}' (groups: {})", name, fmt::join(present, ", ")));
    }
  }
  std::map<std::string, Group> groups;
  for (const auto& name : present) {
    const auto& otherwise = name == kLinear ? kEmbedding : kDense;  // a first-order weight is a row of width one
    const Config own = resolved[resolved.has(name) ? name : otherwise];
    Group group{name, {}, nullptr, nullptr};
    read_options(group.options, group_config(own));
    group.rule = update_rules().make(rule_config(own));
    groups.emplace(name, std::move(group));
  }
  return groups;
}

void add_dense(OptimizerParts& parts, const torch::nn::Module& module,
               const std::map<std::string, std::string>& groups) {
  std::set<const void*> seen;  // a module may stand in two places: its parameters are still one
  for (const auto& p : module.named_parameters()) {
    if (!p.value().requires_grad() || p.value().numel() == 0) continue;
    if (!seen.insert(p.value().unsafeGetTensorImpl()).second) continue;
    check_movable(p.key(), p.value());
    DenseParameter parameter{p.key(), p.value(), {}, &parts.group(groups.at(p.key()))};
    const auto rows = parameter.as_rows(p.value());
    parameter.state = at::zeros({rows.size(0), parameter.group->rule->state_width(rows.size(1))}, rows.options());
    parameter.group->rule->start(rows, parameter.state);
    parts.dense.push_back(std::move(parameter));
  }
}

/// The tables' places in memory: those of one field ("fields.item_id", "linear.weights.item_id") share their rows,
/// since the same ids read them. But a row that fills cache lines exactly stays alone: beside another it would lie
/// across one line more.
std::vector<std::vector<nn::TableStorage::Place>> places_of(const std::vector<TableParameter>& tables) {
  constexpr int64_t kLine = 16;  // floats
  std::vector<std::vector<nn::TableStorage::Place>> joint;
  std::map<std::pair<std::string, int64_t>, size_t> known;
  for (const auto& t : tables) {
    auto& storage = t.storage();
    const std::string module = t.module_name();
    const std::string field = module.substr(module.rfind('.') + 1);
    const int64_t state_width = t.group->rule->state_width(storage.width());
    if ((storage.width() + state_width) % kLine == 0) {
      joint.push_back({{&storage, state_width}});
      continue;
    }
    const auto [it, fresh] = known.try_emplace({field, storage.rows()}, joint.size());
    if (fresh) joint.emplace_back();
    joint[it->second].push_back({&storage, state_width});
  }
  return joint;
}

void add_tables(OptimizerParts& parts, const torch::nn::Module& module,
                const std::map<std::string, std::string>& groups) {
  for (const auto& t : nn::tables_of(module))
    parts.tables.push_back({t.name + ".weight", t.table, &parts.group(groups.at(t.name + ".weight"))});
  nn::TableStorage::arrange(places_of(parts.tables));
  for (auto& t : parts.tables) t.group->rule->start(t.storage().weight(), t.storage().state());
}

/// Groups whose rows all move at every step, but may do it later.
void let_rest(OptimizerParts& parts) {
  for (auto& [name, group] : parts.groups) {
    if (group.is_lazy()) continue;
    std::vector<nn::TableStorage*> tables;
    for (auto& t : parts.tables) {
      if (t.group == &group) tables.push_back(&t.storage());
    }
    auto rest = group.rule->rest(group.options.l2, group.options.l1);
    if (tables.empty() || !rest) continue;
    group.resting = std::make_shared<RestingRows>(tables, std::move(rest));
    for (auto* t : tables) t->set_stale(group.resting);
  }
}

}  // namespace

Optimizer::Optimizer(const torch::nn::Module& module, const Config& config) : state_(std::make_unique<State>()) {
  const auto names = group_names(module);
  state_->groups = make_groups(config, names);
  const at::NoGradGuard no_grad;
  add_dense(*state_, module, names);
  add_tables(*state_, module, names);
  let_rest(*state_);
}

Optimizer::~Optimizer() {
  for (auto& [name, group] : state_->groups) {
    if (group.resting) group.resting->refresh_all();
  }
  for (auto& t : state_->tables) {  // those of a younger Optimizer stay its own
    if (t.group->resting && t.storage().stale() == t.group->resting.get()) t.storage().set_stale(nullptr);
  }
}

double Optimizer::step(const Step& given) {
  const at::NoGradGuard no_grad;
  const StageScope stage(Stage::row_update);
  struct Cleared {
    OptimizerParts& parts;
    ~Cleared() { parts.clear_gradients(); }
  } const cleared{*state_};
  StepState step(*state_, given);
  collect(step);
  sort(step);
  exchange(step);
  norm(step);
  if (!given.same_number) ++state_->steps;
  move(step);
  step.bad.check(state_->steps);
  return step.norm;
}

void Optimizer::clear_gradients() { state_->clear_gradients(); }
void Optimizer::set_exchange(std::shared_ptr<Exchange> exchange) { state_->exchange = std::move(exchange); }
int64_t Optimizer::steps() const { return state_->steps; }
void Optimizer::restore(int64_t steps) { state_->steps = steps; }
double Optimizer::lr(const std::string& group) const { return state_->group(group).options.lr; }
Config Optimizer::schedule(const std::string& group) const { return state_->group(group).options.schedule; }

std::vector<std::string> Optimizer::groups() const {
  std::vector<std::string> names;
  for (const auto& [name, group] : state_->groups) names.push_back(name);
  return names;
}

double Optimizer::penalty() const {
  const at::NoGradGuard no_grad;
  double sum = 0;
  const auto add = [&](const at::Tensor& w, const GroupOptions& o) {
    if (o.l2 != 0) sum += 0.5 * o.l2 * w.square().sum(at::kDouble).item<double>();
    if (o.l1 != 0) sum += o.l1 * w.abs().sum(at::kDouble).item<double>();
  };
  for (const auto& p : state_->dense) add(p.weight, p.group->options);
  for (const auto& t : state_->tables) {
    if (!t.group->is_lazy()) add(t.storage().weight(), t.group->options);
  }
  return sum;
}

std::map<std::string, at::Tensor> Optimizer::state() const {
  std::map<std::string, at::Tensor> out;
  for (const auto& p : state_->dense) {
    if (p.state.numel() > 0) out[p.name] = p.state;
  }
  for (const auto& t : state_->tables) {
    if (const auto s = t.storage().state(); s.numel() > 0) out[t.name] = s;
  }
  return out;
}

}  // namespace interplay
