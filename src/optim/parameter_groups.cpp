#include <interplay/optim/parameter_groups.h>

#include <algorithm>
#include <cmath>
#include <set>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "nn/tasks.h"

namespace interplay {
namespace {

struct Group {
  std::string name;
  GroupOptions options;
  std::shared_ptr<Optimizer> rule;
};

struct DenseParameter {
  std::string name;
  at::Tensor weight;  // a leaf that requires grad
  at::Tensor state;   // [R, S]
  const Group* group;
  at::Tensor as_rows(const at::Tensor& t) const { return t.dim() >= 2 ? t.flatten(1) : t.reshape({1, -1}); }
};

struct TableParameter {
  std::string name;
  std::shared_ptr<nn::EmbeddingImpl> table;
  const Group* group;
  nn::RowGradients gradients;  // of the present step
};

const std::string kDense = "dense", kEmbedding = "embedding", kLinear = "linear";
const std::vector<std::string> kGroupKeys{"lr", "l1", "l2", "mode"};

Config rule_config(const Config& group) {
  Config rest = group;
  for (const auto& key : kGroupKeys) rest.erase(key);
  return rest;
}

Config group_config(const Config& group) {
  Config out = group;  // what stays knows where it was written
  for (const auto& key : group.keys()) {
    if (std::find(kGroupKeys.begin(), kGroupKeys.end(), key) == kGroupKeys.end()) out.erase(key);
  }
  return out;
}

/// A key is read by the group or by its rule: what neither knows is told with the names of both.
void check_keys(const Config& group, const std::string& name) {
  std::vector<std::string> known = kGroupKeys;
  for (const auto& option : optimizers().find(group).options()) known.push_back(option.name);
  for (const auto& key : group.keys()) {
    if (key != "name" && std::find(known.begin(), known.end(), key) == known.end())
      detail::unknown_key(group, key, known, fmt::format("optimizer group '{}'", name));
  }
}

/// Parameter or table ("fields.item_id.weight") -> group, by the innermost module that names one; a table that none
/// names is in `embedding`.
void group_names(const torch::nn::Module& module, const std::string& prefix, const std::string& inherited,
                 std::map<std::string, std::string>& names) {
  const auto* const grouped = dynamic_cast<const nn::ParameterGroup*>(&module);
  const std::string group = grouped ? grouped->parameter_group() : inherited;
  for (const auto& p : module.named_parameters(false)) names[prefix + p.key()] = group;
  if (dynamic_cast<const nn::EmbeddingImpl*>(&module)) names[prefix + "weight"] = group == kDense ? kEmbedding : group;
  for (const auto& child : module.named_children())
    group_names(*child.value(), prefix + child.key() + ".", group, names);
}

/// g += l2 w + l1 sign(w), for one stretch of weights.
void add_penalty(const float* w, float* g, int64_t n, const GroupOptions& o) {
  const auto l2 = float(o.l2), l1 = float(o.l1);
  if (l2 != 0) {
    for (int64_t k = 0; k < n; ++k) g[k] += l2 * w[k];
  }
  if (l1 != 0) {
    for (int64_t k = 0; k < n; ++k) g[k] += l1 * float((w[k] > 0) - (w[k] < 0));
  }
}

at::Tensor penalty_gradient(const at::Tensor& w, const GroupOptions& o) { return w * o.l2 + w.sign() * o.l1; }

bool has_penalty(const GroupOptions& o) { return o.l1 != 0 || o.l2 != 0; }

constexpr int64_t kBlock = 256;         // rows whose gradients are built at a time
constexpr int64_t kBlocksPerTask = 16;  // in the pass over a whole table

}  // namespace

struct ParameterGroups::State {
  std::map<std::string, Group> groups;
  std::vector<DenseParameter> dense;
  std::vector<TableParameter> tables;
  int64_t steps = 0;

  const Group& group(const std::string& name) const {
    const auto it = groups.find(name);
    if (it == groups.end()) {
      std::vector<std::string> names;
      for (const auto& [known, group] : groups) names.push_back(known);
      throw Error(fmt::format("this model has no parameter group '{}' (groups: {})", name, fmt::join(names, ", ")));
    }
    return it->second;
  }

  /// A stretch of work on one table.
  struct Stretch {
    TableParameter* table;
    int64_t first, count;
  };
  static void add_stretches(TableParameter& t, int64_t count, int64_t step, std::vector<Stretch>& out) {
    for (int64_t first = 0; first < count; first += step) out.push_back({&t, first, std::min(step, count - first)});
  }
  static int64_t blocks_of(const TableParameter& t) {  // of all rows but the padding row
    return (t.table->table().rows() - 1 + kBlock - 1) / kBlock;
  }

  /// Calls visit(first row, rows, gradients [rows, K]) for some blocks of a whole table, gradients of absent rows being
  /// the penalty's.
  template <class Visit>
  static void every_row(const TableParameter& t, int64_t begin, int64_t end, const Visit& visit) {
    auto& table = t.table->table();
    const int64_t width = table.width(), stride = table.stride();
    const float* const w = table.weight().const_data_ptr<float>();
    const int64_t* const touched = t.gradients.rows.const_data_ptr<int64_t>();
    const int64_t count = t.gradients.rows.size(0);
    const float* const grad = t.gradients.grad.const_data_ptr<float>();
    thread_local std::vector<float> g;
    g.resize(size_t(kBlock * width));
    int64_t next = std::lower_bound(touched, touched + count, 1 + begin * kBlock) - touched;
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = 1 + block * kBlock, rows = std::min(kBlock, table.rows() - first);
      std::fill(g.begin(), g.begin() + rows * width, 0.f);
      for (; next < count && touched[next] < first + rows; ++next) {
        std::copy_n(grad + next * width, width, g.data() + (touched[next] - first) * width);
      }
      for (int64_t r = 0; r < rows; ++r)
        add_penalty(w + (first + r) * stride, g.data() + r * width, width, t.group->options);
      visit(first, rows, g.data());
    }
  }

  static void take_gradients(TableParameter& t) {
    auto& table = t.table->table();
    t.gradients = table.take();
    if (t.group->options.mode != "lazy" || !has_penalty(t.group->options)) return;
    if (!table.device().is_cpu()) {
      t.gradients.grad.add_(penalty_gradient(table.weight().index_select(0, t.gradients.rows), t.group->options));
      return;
    }
    const float* const w = table.weight().const_data_ptr<float>();
    const int64_t* const rows = t.gradients.rows.const_data_ptr<int64_t>();
    float* const g = t.gradients.grad.mutable_data_ptr<float>();
    for (int64_t r = 0; r < t.gradients.rows.size(0); ++r)
      add_penalty(w + rows[r] * table.stride(), g + r * table.width(), table.width(), t.group->options);
  }

  double table_norm2(TableParameter& t) {
    auto& table = t.table->table();
    if (!table.device().is_cpu()) return full_gradient(t).square().sum().item<double>();
    if (t.group->options.mode == "dense" && has_penalty(t.group->options)) {
      std::vector<double> partial(size_t(table.rows() / kBlock + 2), 0.0);  // by place, so the sum has one order
      at::parallel_for(0, blocks_of(t), kBlocksPerTask, [&](int64_t begin, int64_t end) {
        every_row(t, begin, end, [&](int64_t first, int64_t rows, const float* g) {
          double sum = 0;
          for (int64_t k = 0; k < rows * table.width(); ++k) sum += double(g[k]) * g[k];
          partial[size_t(first / kBlock)] += sum;
        });
      });
      double sum = 0;
      for (const double p : partial) sum += p;
      return sum;
    }
    return t.gradients.grad.square().sum(at::kDouble).item<double>();
  }

  at::Tensor full_gradient(TableParameter& t) {  // [V, K], on any device
    auto& table = t.table->table();
    auto g = penalty_gradient(table.weight(), t.group->options);
    g[0].zero_();
    return g.index_add_(0, t.gradients.rows, t.gradients.grad);
  }

  /// On another device than the CPU, by the plain twins.
  void move_anywhere(TableParameter& t, const StepInfo& info, float scale) {
    auto& table = t.table->table();
    if (t.group->options.mode == "lazy") {
      auto w = table.weight().index_select(0, t.gradients.rows), s = table.state().index_select(0, t.gradients.rows);
      t.group->rule->update(w, t.gradients.grad * scale, s, info);
      table.weight().index_copy_(0, t.gradients.rows, w);
      table.state().index_copy_(0, t.gradients.rows, s);
    } else {
      t.group->rule->update(table.weight().slice(0, 1), full_gradient(t).slice(0, 1) * scale, table.state().slice(0, 1),
                            info);
    }
  }

  /// Touched rows first .. first + count of a lazy table: sums their gradients, unless take() has, and moves them.
  static void move_touched(const Stretch& at, const StepInfo& info, float scale) {
    TableParameter& t = *at.table;
    auto& table = t.table->table();
    const int64_t width = table.width(), stride = table.stride();
    float* const w = table.weight().mutable_data_ptr<float>();
    const GroupOptions& options = t.group->options;
    thread_local std::vector<float> sums;
    thread_local std::vector<int64_t> rows;
    float* g;
    if (t.gradients.rows.defined()) {
      g = t.gradients.grad.mutable_data_ptr<float>() + at.first * width;
      const int64_t* const from = t.gradients.rows.const_data_ptr<int64_t>() + at.first;
      rows.assign(from, from + at.count);
      for (int64_t k = 0; scale != 1 && k < at.count * width; ++k) g[k] *= scale;
    } else {
      sums.resize(size_t(at.count * width));
      g = sums.data();
      const auto from = table.touched_rows().begin() + at.first;
      rows.assign(from, from + at.count);
      for (const int64_t r : rows) {  // on their way while the gradients are summed
        const char* const row = reinterpret_cast<const char*>(w + r * stride);
        for (int64_t byte = 0; byte < stride * int64_t(sizeof(float)); byte += 64) __builtin_prefetch(row + byte, 1, 2);
      }
      table.sum_gradients(at.first, at.count, g);
      for (int64_t r = 0; has_penalty(options) && r < at.count; ++r)
        add_penalty(w + rows[size_t(r)] * stride, g + r * width, width, options);
    }
    t.group->rule->update({w, g, w + width, at.count, width, stride, stride, rows.data()}, info);
  }

  static void move_all_rows(const Stretch& blocks, const StepInfo& info, float scale) {
    TableParameter& t = *blocks.table;
    auto& table = t.table->table();
    const int64_t width = table.width(), stride = table.stride();
    float* const w = table.weight().mutable_data_ptr<float>();
    every_row(t, blocks.first, blocks.first + blocks.count, [&](int64_t first, int64_t rows, float* g) {
      for (int64_t k = 0; scale != 1 && k < rows * width; ++k) g[k] *= scale;
      float* const row = w + first * stride;
      t.group->rule->update({row, g, row + width, rows, width, stride, stride}, info);
    });
  }

  void move_dense(DenseParameter& p, const StepInfo& info, float scale) {
    auto w = p.as_rows(p.weight), g = p.as_rows(p.weight.grad());
    if (scale != 1) g = g * scale;
    if (!w.device().is_cpu()) return p.group->rule->update(w, g, p.state, info);
    g = g.contiguous();
    p.weight.unsafeGetTensorImpl()->bump_version();  // for who keeps copies of weights
    float* const weights = w.mutable_data_ptr<float>();
    const float* const gradients = g.const_data_ptr<float>();
    float* const state = p.state.mutable_data_ptr<float>();
    const int64_t width = w.size(1), state_width = p.state.size(1);
    at::parallel_for(0, w.size(0), std::max<int64_t>(1, 16384 / width), [&](int64_t begin, int64_t end) {
      p.group->rule->update({weights + begin * width, gradients + begin * width, state + begin * state_width,
                             end - begin, width, width, state_width},
                            info);
    });
  }
};

ParameterGroups::ParameterGroups(const torch::nn::Module& module, const Config& config)
    : state_(std::make_unique<State>()) {
  const Config resolved = resolve(config);
  std::map<std::string, std::string> names;
  group_names(module, "", kDense, names);
  std::set<std::string> present{kDense, kEmbedding};
  for (const auto& [parameter, group] : names) present.insert(group);
  for (const auto& name : resolved.keys()) {
    if (!present.contains(name)) {
      config[name].fail(
          fmt::format("this model has no parameter group '{}' (groups: {})", name, fmt::join(present, ", ")));
    }
  }
  for (const auto& name : present) {
    const auto& otherwise = name == kLinear ? kEmbedding : kDense;  // a first-order weight is a row of width one
    const Config own = resolved[resolved.has(name) ? name : otherwise];
    Group group{name, {}, nullptr};
    read_options(group.options, group_config(own));
    group.rule = optimizers().make(rule_config(own));
    state_->groups.emplace(name, std::move(group));
  }
  const at::NoGradGuard no_grad;
  for (const auto& p : module.named_parameters()) {
    if (!p.value().requires_grad() || p.value().numel() == 0) continue;
    DenseParameter parameter{p.key(), p.value(), {}, &state_->group(names.at(p.key()))};
    const auto rows = parameter.as_rows(p.value());
    parameter.state = at::zeros({rows.size(0), parameter.group->rule->state_width(rows.size(1))}, rows.options());
    parameter.group->rule->start(rows, parameter.state);
    state_->dense.push_back(std::move(parameter));
  }
  for (const auto& t : nn::tables_of(module)) {
    TableParameter parameter{t.name + ".weight", t.table, &state_->group(names.at(t.name + ".weight")), {}};
    auto& table = t.table->table();
    table.reserve_state(parameter.group->rule->state_width(table.width()));
    parameter.group->rule->start(table.weight(), table.state());
    state_->tables.push_back(std::move(parameter));
  }
}

ParameterGroups::~ParameterGroups() = default;

Config ParameterGroups::resolve(const Config& config) {
  Config given = config;
  if (!given.has("dense")) given.set("dense", Config::parse("{name: adam}"));
  if (!given.has("embedding")) {  // as dense, unless said otherwise
    given.set("embedding", given["dense"]);
  }
  Config out;
  for (const auto& name : given.keys()) {
    Config group = given[name];
    if (group.is_scalar()) {
      Config named;
      named.set("name", group);
      group = named;
    }
    if (!group.has("name")) group.set("name", Config::scalar("adam", true));
    check_keys(group, name);
    GroupOptions options;
    read_options(options, group_config(group));
    Config resolved;
    const Config rule = optimizers().resolve(rule_config(group));
    resolved.set("name", rule["name"]);
    const Config common = write_options(options);
    for (const auto& key : common.keys()) resolved.set(key, common[key]);
    for (const auto& key : rule.keys()) resolved.set(key, rule[key]);
    out.set(name, resolved);
  }
  return out;
}

double ParameterGroups::step(const Step& step) {
  const at::NoGradGuard no_grad;
  State& s = *state_;
  for (const auto& name : step.only) s.group(name);
  const auto moves = [&](const Group* group) {
    return step.only.empty() || std::find(step.only.begin(), step.only.end(), group->name) != step.only.end();
  };
  std::vector<TableParameter*> tables;
  for (auto& t : s.tables) {
    if (!moves(t.group)) {
      t.table->table().clear();
    } else if (t.table->table().touched() || t.group->options.mode == "dense") {
      tables.push_back(&t);
    }
  }
  std::vector<nn::TableStorage*> storages;
  for (auto* t : tables) {
    if (t->table->table().device().is_cpu()) storages.push_back(&t->table->table());
  }
  nn::TableStorage::sort(storages);
  // Only a norm, a pass over whole tables and other devices need the summed gradients written out.
  const auto is_fused = [&](const TableParameter& t) {
    return step.clip_norm == 0 && t.group->options.mode == "lazy" && t.table->table().device().is_cpu();
  };
  run_tasks(int64_t(tables.size()), [&](int64_t i) {
    if (!is_fused(*tables[size_t(i)])) s.take_gradients(*tables[size_t(i)]);
  });
  std::vector<DenseParameter*> dense;
  for (auto& p : s.dense) {
    if (!moves(p.group)) {
      p.weight.mutable_grad().reset();
      continue;
    }
    if (!p.weight.grad().defined()) {  // unused in this step: only a penalty moves it
      if (!has_penalty(p.group->options)) continue;
      p.weight.mutable_grad() = at::zeros_like(p.weight);
    }
    if (has_penalty(p.group->options)) p.weight.mutable_grad().add_(penalty_gradient(p.weight, p.group->options));
    dense.push_back(&p);
  }

  double norm = 0, scale = 1;
  if (step.clip_norm > 0) {
    double sum = 0;
    for (auto* t : tables) sum += s.table_norm2(*t);
    for (auto* p : dense) sum += p->weight.grad().square().sum(at::kDouble).item<double>();
    norm = std::sqrt(sum);
    scale = std::min(1.0, step.clip_norm / (norm + 1e-6));  // as torch.nn.utils.clip_grad_norm_
  }

  ++s.steps;
  const auto info = [&](const Group* group, bool rows) {
    return StepInfo{s.steps, group->options.lr * step.lr_factor, rows && group->options.mode == "lazy"};
  };
  std::vector<State::Stretch> touched, whole;
  for (auto* t : tables) {
    if (!t->table->table().device().is_cpu()) {
      s.move_anywhere(*t, info(t->group, true), float(scale));
    } else if (t->group->options.mode == "dense") {
      State::add_stretches(*t, State::blocks_of(*t), kBlocksPerTask, whole);
    } else {
      const bool taken = t->gradients.rows.defined();
      State::add_stretches(*t, taken ? t->gradients.rows.size(0) : int64_t(t->table->table().touched_rows().size()),
                           kBlock, touched);
    }
  }
  run_tasks(int64_t(touched.size()), [&](int64_t i) {
    const auto& at = touched[size_t(i)];
    s.move_touched(at, info(at.table->group, true), float(scale));
  });
  run_tasks(int64_t(whole.size()), [&](int64_t i) {
    const auto& blocks = whole[size_t(i)];
    s.move_all_rows(blocks, info(blocks.table->group, true), float(scale));
  });
  for (auto* t : tables) {
    t->table->table().clear();
    t->gradients = {};
  }
  for (auto* p : dense) {
    s.move_dense(*p, info(p->group, false), float(scale));
    p->weight.mutable_grad().reset();
  }
  return norm;
}

void ParameterGroups::clear_gradients() {
  for (auto& t : state_->tables) t.table->table().clear();
  for (auto& p : state_->dense) p.weight.mutable_grad().reset();
}

int64_t ParameterGroups::steps() const { return state_->steps; }
void ParameterGroups::restore(int64_t steps) { state_->steps = steps; }
double ParameterGroups::lr(const std::string& group) const { return state_->group(group).options.lr; }

std::vector<std::string> ParameterGroups::groups() const {
  std::vector<std::string> names;
  for (const auto& [name, group] : state_->groups) names.push_back(name);
  return names;
}

double ParameterGroups::penalty() const {
  const at::NoGradGuard no_grad;
  double sum = 0;
  const auto add = [&](const at::Tensor& w, const GroupOptions& o) {
    if (o.l2 != 0) sum += 0.5 * o.l2 * w.square().sum(at::kDouble).item<double>();
    if (o.l1 != 0) sum += o.l1 * w.abs().sum(at::kDouble).item<double>();
  };
  for (const auto& p : state_->dense) add(p.weight, p.group->options);
  for (const auto& t : state_->tables) {
    if (t.group->options.mode == "dense") add(t.table->table().weight(), t.group->options);
  }
  return sum;
}

std::map<std::string, at::Tensor> ParameterGroups::state() const {
  std::map<std::string, at::Tensor> out;
  for (const auto& p : state_->dense) {
    if (p.state.numel() > 0) out[p.name] = p.state;
  }
  for (const auto& t : state_->tables) {
    if (const auto s = t.table->table().state(); s.numel() > 0) out[t.name] = s;
  }
  return out;
}

}  // namespace interplay
