// AIM (Zhu et al. 2021, "AIM: Automatic Interaction Machine for Click-Through Rate Prediction", arXiv:2111.03318):
// a linear term and interactions of two to four fields under four functions, each behind a gate, with embedding tables
// of their own for each order and function; and an MLP over what the interactions sum up.
#include <interplay/model.h>

#include <algorithm>
#include <set>

#include <interplay/nn/interaction_functions.h>

namespace {

using interplay::Config;
using interplay::Field;
using interplay::FieldKind;
using interplay::OneOf;
using interplay::Range;
using interplay::Schema;

/// A set of fields and what is made of it.
struct Item {
  std::vector<std::string> fields;
  std::string function = "inner";
  void visit(auto&& field) {
    field("fields", fields, "two to four");
    field("function", function, "of their vectors", OneOf{interplay::nn::interaction_functions()});
  }
};

/// Tables of one order and function that are narrower than embedding_dim.
struct NarrowTables {
  int64_t order = 2, width = 1;
  std::string function = "inner";
  std::vector<std::string> tables;
  void visit(auto&& field) {
    field("order", order, "of the interactions that read these tables", Range{2, 4});
    field("function", function, "of these interactions", OneOf{interplay::nn::interaction_functions()});
    field("width", width, "numbers a row", Range{1, 4096});
    field("tables", tables, "their names");
  }
};

struct AimOptions : interplay::EmbeddingOptions {
  int64_t order = 2;
  std::vector<std::string> functions = {"inner"};
  std::optional<std::vector<Config>> interactions;
  std::vector<NarrowTables> narrow;
  bool gates = true, dimension_gates = false;
  int64_t searched_order = 0;
  interplay::nn::GateOptions gate;
  bool gate_centre = false;
  double kernel_start = 1;
  bool order_scales = false;
  interplay::nn::MlpOptions mlp{.hidden = {}};

  AimOptions() { init_std = 0.01; }
  void visit(auto&& field) {
    EmbeddingOptions::visit(field);
    field("order", order, "most fields of an interaction, where `interactions` is left out", Range{2, 4});
    field("functions", functions, "of sets for which `interactions` does not say",
          OneOf{interplay::nn::interaction_functions()});
    field(
        "interactions", interactions,
        "[{fields: [a, b], function: inner}, ...]; [a, b] alone: under each function; nothing: all sets of 2 to order "
        "fields under each function");
    field("narrow", narrow,
          "[{order: 2, function: inner, width: 4, tables: [a, b]}, ...]: tables narrower than embedding_dim");
    field("gates", gates, "a trainable gate times each normalised interaction");
    field("dimension_gates", dimension_gates,
          "a gate on each number of the normalised embeddings, which searches their widths; together with `gates`, "
          "products are divided by the root of the width instead of normalised: a norm would undo what these gates do");
    field("searched_order", searched_order,
          "gates of this order alone are of parameter groups gates and dimension_gates; others are of dense, and of "
          "interactions; 0 = all of them",
          Range{0, 4});
    field("gate_norm", gate.norm, "batch norm, without affine, of the interactions before their gates");
    field("gate_centre", gate_centre, "vectors less their means over rows: products that say nothing of single fields");
    field("gate_norm_eps", gate.norm_eps, "added to the variance (AIM's code: 1e-10 for order 4)", Range{1e-30, 1});
    field("gate_norm_momentum", gate.norm_momentum, "of a batch in the running statistics", Range{0, 1});
    field("gate_start", gate.start, "gates start from U(start - spread, start + spread)", Range{-1e6, 1e6});
    field("gate_spread", gate.spread, "half the width of the interval that gates start in", Range{0, 1e6});
    field("kernel_start", kernel_start,
          "kernels start from N(kernel_start, 0.001^2): 1 starts every function as the inner product; AIM's code: 0",
          Range{-100, 100});
    field("order_scales", order_scales,
          "a trained factor, of random sign at the start, on the linear term, each order and the MLP, as AIM's code");
    mlp.visit(field);
  }
};

/// The interactions of one order under one function, and the tables that they alone read.
class BlockImpl final : public torch::nn::Module, public interplay::HasInteractions {
 public:
  /// `names`: vector_names(schema)
  BlockImpl(const Schema& schema, const std::vector<std::string>& names, int64_t order, const std::string& function,
            const std::vector<std::vector<std::string>>& sets, const AimOptions& o)
      : order_(order), function_name_(function) {
    std::set<std::string> used, tables;
    for (const auto& set : sets) used.insert(set.begin(), set.end());
    for (const auto& name : used) {
      if (const Field* const f = schema.find(name)) tables.insert(f->table);
    }
    std::map<std::string, int64_t> widths;
    for (const auto& table : schema.tables()) {
      if (!tables.contains(table.name)) widths[table.name] = 0;
    }
    for (const NarrowTables& narrow : o.narrow) {
      if (narrow.order != order || narrow.function != function) continue;
      for (const auto& table : narrow.tables) widths.emplace(table, narrow.width);
    }
    std::vector<std::string> unused;
    for (const auto& name : names) {
      if (!used.contains(name)) unused.push_back(name);
    }
    fields_ = register_module(
        "fields", interplay::FieldEmbedding(schema, o, interplay::FieldChoice{.leave_out = unused, .widths = widths}));
    const auto places = interplay::field_sets(sets, fields_->names()).at(order);
    const bool searched = o.searched_order == 0 || o.searched_order == order;
    const bool unit = o.gates && o.dimension_gates && searched;
    function_ = register_module("function", interplay::nn::InteractionFunction(
                                                function, places, o.embedding_dim,
                                                interplay::nn::KernelOptions{.start = o.kernel_start, .unit = unit}));
    if (o.gates) {
      auto gate = o.gate;
      gate.norm = gate.norm && !unit;
      gates_ = register_module("gates", interplay::nn::Gates(places.size(0), gate, searched ? "gates" : "dense"));
    }
    if (o.gate_centre)
      centre_ =
          register_module("centre", interplay::nn::Centre(fields_->count(), fields_->width(), o.gate.norm_momentum));
    if (o.dimension_gates && searched)
      dimension_gates_ =
          register_module("dimension_gates", interplay::nn::Gates(fields_->flat_width(), o.gate, "dimension_gates"));
  }

  /// f32 [B]; what the MLP reads goes to `deep`, where that is given: f32 [B, out()]
  at::Tensor forward(const interplay::Features& x, std::vector<at::Tensor>* deep) {
    auto e = fields_(x);  // [B, F, K]
    if (centre_) e = centre_(e);
    if (dimension_gates_) e = interplay::nn::FieldVectors(dimension_gates_(e.flat()).view_as(e.tensor()));
    if (!deep) {
      if (gates_ && function_name_ == "inner") return gates_->sum(e, function_->sets()) * function_->scale();
      return sum(function_(e));
    }
    const auto parts = function_->parts(e);  // [B, P, K], or [B, P, 1]
    deep->push_back(parts.flatten(1));
    return sum(parts.sum(2));
  }

  int64_t order() const { return order_; }
  int64_t out() const { return function_->sets().size(0) * (function_name_ == "outer" ? 1 : fields_->width()); }

  std::vector<interplay::Interaction> list() const override {
    std::vector<interplay::Interaction> out;
    const auto sets = function_->sets().accessor<int64_t, 2>();
    const auto gates = gates_ ? gates_->gate.detach().cpu() : at::ones({sets.size(0)});
    for (int64_t p = 0; p < sets.size(0); ++p) {
      interplay::Interaction i;
      for (int64_t m = 0; m < order_; ++m) i.fields.push_back(fields_->names()[size_t(sets[p][m])]);
      i.function = function_name_;
      i.gate = gates[p].item<double>();
      i.kept = i.gate != 0;
      out.push_back(std::move(i));
    }
    return out;
  }

  std::vector<interplay::DimensionGates> dimension_gates() const override {
    if (!dimension_gates_) return {};
    return {{order_, function_name_, fields_->names(),
             dimension_gates_->gate.detach().cpu().view({fields_->count(), fields_->width()})}};
  }

 private:
  at::Tensor sum(const at::Tensor& z) { return gates_ ? gates_->sum(z) : z.sum(1); }
  int64_t order_;
  std::string function_name_;
  interplay::FieldEmbedding fields_{nullptr};
  interplay::nn::InteractionFunction function_{nullptr};
  interplay::nn::Centre centre_{nullptr};
  interplay::nn::Gates gates_{nullptr}, dimension_gates_{nullptr};
};
TORCH_MODULE(Block);

class Aim final : public interplay::Model {
 public:
  using Options = AimOptions;

  Aim(const Schema& schema, const Options& o) : linear_(register_module("linear", interplay::FieldLinear(schema))) {
    const auto names = interplay::vector_names(schema);
    const auto listed = interactions(names, o);
    int64_t deep = 0;
    for (int64_t order = 2; order <= 4; ++order) {
      for (const auto& function : interplay::nn::interaction_functions()) {
        std::vector<std::vector<std::string>> sets;
        for (const Item& i : listed) {
          if (int64_t(i.fields.size()) == order && i.function == function) sets.push_back(i.fields);
        }
        if (sets.empty()) continue;
        blocks_.push_back(register_module(fmt::format("order{}_{}", order, function),
                                          Block(schema, names, order, function, sets, o)));
        deep += blocks_.back()->out();
      }
    }
    if (!o.mlp.hidden.empty() && deep > 0) mlp_ = register_module("mlp", interplay::nn::Mlp(deep, o.mlp));
    // one number by Xavier, as AIM's code starts them
    if (o.order_scales) scales_ = register_parameter("scales", at::empty({6}).uniform_(-std::sqrt(6), std::sqrt(6)));
  }

  interplay::Output forward(const interplay::Features& x) override {
    auto logit = scaled(linear_(x), 1);  // [B]
    std::vector<at::Tensor> deep;
    for (auto& block : blocks_) logit = logit + scaled(block->forward(x, mlp_ ? &deep : nullptr), block->order());
    if (mlp_) logit = logit + scaled(mlp_(at::cat(deep, 1)).squeeze(1), 5);
    return logit;
  }

 private:
  static std::vector<Item> read_items(const std::vector<Config>& list, const std::vector<std::string>& functions) {
    std::vector<Item> out;
    for (const Config& given : list) {
      if (given.is_map()) {
        interplay::read_options(out.emplace_back(), given);
        continue;
      }
      Item item;
      for (const Config& name : given.items()) item.fields.push_back(name.as<std::string>());
      for (const auto& function : functions) {
        item.function = function;
        out.push_back(item);
      }
    }
    return out;
  }

  static std::vector<Item> interactions(const std::vector<std::string>& all, const Options& o) {
    if (o.interactions) {
      const auto listed = read_items(*o.interactions, o.functions);
      for (const auto& function : interplay::nn::interaction_functions()) {
        std::vector<std::vector<std::string>> sets;
        for (const Item& i : listed) {
          if (i.function == function) sets.push_back(i.fields);
        }
        interplay::field_sets(sets, all);  // throws where one of them cannot be
      }
      return listed;
    }
    std::vector<Item> out;
    for (int64_t order = 2; order <= std::min(o.order, int64_t(all.size())); ++order) {
      const auto sets = interplay::nn::all_sets(int64_t(all.size()), order);
      const auto place = sets.accessor<int64_t, 2>();
      for (const auto& function : o.functions) {
        for (int64_t p = 0; p < sets.size(0); ++p) {
          Item item{{}, function};
          for (int64_t m = 0; m < order; ++m) item.fields.push_back(all[size_t(place[p][m])]);
          out.push_back(std::move(item));
        }
      }
    }
    return out;
  }

  at::Tensor scaled(const at::Tensor& term, int64_t which) const {
    return scales_.defined() ? term * scales_[which] : term;
  }

  interplay::FieldLinear linear_;
  std::vector<Block> blocks_;
  interplay::nn::Mlp mlp_{nullptr};
  at::Tensor scales_;  // f32 [6]: unused, linear, orders 2 to 4, MLP
};

INTERPLAY_REGISTER_SEARCHABLE_MODEL(
    "aim", Aim, "linear term + gated interactions of 2 to 4 fields under four functions + MLP (AIM)");

}  // namespace
