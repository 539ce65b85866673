#pragma once

#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/options.h>
#include <interplay/core/field_embedding.h>
#include <interplay/nn/interactions.h>

namespace interplay {

/// Which sets of fields a model multiplies and how. What a model's user chooses, declared once for every model:
/// `interactions.visit(field)` in its Options.
struct InteractionOptions {
  int64_t order = 2;
  bool gates = false;
  std::optional<std::vector<std::vector<std::string>>> interactions = {};
  bool gate_norm = true, gate_centre = false;
  double gate_norm_eps = 1e-3, gate_norm_momentum = 0.01;
  double gate_start = 0.6, gate_spread = 0.001;
  std::string third_order = "shared";
  void visit(auto&& field) {
    field("order", order, "most fields that are multiplied with one another", Range{2, 4});
    field("gates", gates, "a trainable gate times the normalised product of each set of fields (AutoFIS)");
    field("interactions", interactions, "sets of fields to multiply, by name; nothing: all sets of 2 to order fields");
    field("gate_norm", gate_norm, "batch norm, without affine, of the products before their gates");
    field("gate_centre", gate_centre,
          "behind gates, vectors less their means over rows: products that say nothing of single fields");
    field("gate_norm_eps", gate_norm_eps, "added to the variance", Range{1e-30, 1});
    field("gate_norm_momentum", gate_norm_momentum, "of a batch in the running statistics", Range{0, 1});
    field("gate_start", gate_start, "gates start from U(start - spread, start + spread)", Range{-1e6, 1e6});
    field("gate_spread", gate_spread, "half the width of the interval that gates start in", Range{0, 1e6});
    field("third_order", third_order,
          "vectors of sets of three and more fields: those of pairs, or tables of their own",
          OneOf{{"shared", "separate"}});
  }
};

/// One set of fields whose vectors a model multiplies.
struct Interaction {
  std::vector<std::string> fields;  ///< in the order of FieldEmbedding::names()
  std::string function = "inner";   ///< sum over k of the product
  double gate = 1;                  ///< or the weight that a model keeps for the set (FwFM); 1 where there is none
  bool kept = true;                 ///< the gate is not 0
};

/// A gate on each number of the vectors that one function of one order reads (a search for embedding widths).
struct DimensionGates {
  int64_t order = 2;
  std::string function = "inner";
  std::vector<std::string> fields;  ///< F
  at::Tensor gate;                  ///< f32 [F, K]
};

/// A module that multiplies sets of fields: what interactions_of() and dimension_gates_of() find in any model.
class INTERPLAY_API HasInteractions {
 public:
  virtual ~HasInteractions();
  virtual std::vector<Interaction> list() const = 0;
  virtual std::vector<DimensionGates> dimension_gates() const { return {}; }
};

/// Models whose interactions a search can put gates on, by name: those registered by
/// INTERPLAY_REGISTER_SEARCHABLE_MODEL.
INTERPLAY_API std::vector<std::string> searchable_models();

namespace detail {
INTERPLAY_API void add_searchable_model(const char* name) noexcept;

template <class Options>
concept HasGateOptions = requires(Options o) {
  { o.interactions.gates } -> std::same_as<bool&>;
  o.interactions.interactions;
}
|| requires(Options o) {
  { o.gates } -> std::same_as<bool&>;
  o.interactions;
};

template <class Model>
struct SearchableRegistration {
  static_assert(HasGateOptions<typename Model::Options>,
                "the options of a model that can be searched have `InteractionOptions interactions`, or `bool gates` "
                "and `interactions` of that meaning");
  explicit SearchableRegistration(const char* name) noexcept { add_searchable_model(name); }
};
}  // namespace detail

/// Sets of names as sets of places in `names`: by order, each list i64 [P, o] in lexicographic order. Throws Error on a
/// name that is not there, on a set of one, of equal names or of more than four, and on a set that is listed twice.
INTERPLAY_API std::map<int64_t, at::Tensor> field_sets(const std::vector<std::vector<std::string>>& sets,
                                                       const std::vector<std::string>& names);

/// The interactions of a model's fields, by the options above: in closed form where these are all pairs without gates,
/// else product by product, behind gates where wanted.
///
///     interactions_(register_module("interactions", FieldInteractions(schema, fields_, options.interactions)))
///     const auto e = fields_(x);
///     return linear_(x) + interactions_->sum(x, e);
///
/// Throws Error on a name that is no field, on a set of one field, of equal fields or of more than four, and on a set
/// that is listed twice. Parameter group of the gates: gates.
class INTERPLAY_API FieldInteractionsImpl : public torch::nn::Module, public HasInteractions {
 public:
  FieldInteractionsImpl(const Schema& schema, const FieldEmbedding& fields, const InteractionOptions& options,
                        double init_std = 1e-4);

  at::Tensor sum(const Features& x, const nn::FieldVectors& e);   ///< over all sets: f32 [B, F, K] -> f32 [B]
  at::Tensor each(const Features& x, const nn::FieldVectors& e);  ///< f32 [B, F, K] -> f32 [B, P]

  int64_t count() const;                           ///< P
  std::vector<Interaction> list() const override;  ///< P, by order, then lexicographically: as each() gives them
  bool has_gates() const { return has_gates_; }

 private:
  struct Block {      // the sets of one order
    at::Tensor sets;  // i64 [P, o]
    bool is_every_pair;
    nn::GatedProducts gated{nullptr};
    int64_t order() const { return sets.size(1); }
  };
  std::vector<nn::FieldVectors> vectors(const Features& x, const nn::FieldVectors& e);  // that each block multiplies
  std::vector<std::string> names_;
  bool has_gates_;
  std::vector<Block> blocks_;
  FieldEmbedding high_order_{nullptr};  // vectors of sets of three and more fields
  nn::Centre centre_{nullptr}, high_centre_{nullptr};
};
TORCH_MODULE(FieldInteractions);

/// The interactions of every module below `module` that has some; none where the model has no such part.
INTERPLAY_API std::vector<Interaction> interactions_of(const torch::nn::Module& module);
INTERPLAY_API std::vector<DimensionGates> dimension_gates_of(const torch::nn::Module& module);

}  // namespace interplay

/// INTERPLAY_REGISTER_MODEL for a model that `interplay search` can take: its options `gates` and `interactions` mean
/// what InteractionOptions says of them, and a module of it HasInteractions.
#define INTERPLAY_REGISTER_SEARCHABLE_MODEL(name, type, doc)                                                       \
  INTERPLAY_REGISTER_MODEL(name, type, doc);                                                                       \
  [[maybe_unused]] const ::interplay::detail::SearchableRegistration<type> INTERPLAY_CONCAT(interplay_searchable_, \
                                                                                            __COUNTER__)(name)
