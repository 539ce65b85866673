#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include <interplay/base/error.h>
#include <interplay/base/options.h>
#include <interplay/base/registry.h>
#include <interplay/data/features.h>
#include <interplay/data/schema.h>

namespace interplay {

/// Something learnt beside the labels, or in place of them. Its mean has a curve of its own, under its name.
///
/// Either a logit, which train.loss judges against a label of the schema (`label`; empty: the only one) or against a
/// tensor of the model's own (`target`), or `value`, a loss that the model computed itself.
struct Term {
  std::string name;        ///< in metrics.jsonl, the report and train.terms
  at::Tensor logit = {};   ///< f32 [B]
  std::string label = {};  ///< of the schema. Beside a value f32 [B]: rows count as much as that label says, so that
                           ///< only its positives are learnt from, which a model itself cannot tell
  at::Tensor target = {};  ///< f32 [B], 0 to 1
  at::Tensor value = {};   ///< f32 [B], weighted as rows are, or a scalar; with `rows`, f32 [N]
  at::Tensor weight = {};  ///< as long as the logit or value: multiplies the rows' own weights; undefined: 1
  at::Tensor rows = {};    ///< i64 [N], of a value of entries or pairs: the row each is of, as which it is weighted. A
                           ///< batch may have none (N = 0), and is then left out of the term's mean
  double scale = 1;        ///< of its part in what is minimised; train.terms: {name: scale} overrides it
};

/// What a model says of a batch. Never a probability.
struct INTERPLAY_API Output {
  Output() = default;
  Output(at::Tensor l) : logit(std::move(l)) {}
  at::Tensor logit;         ///< f32 [B], or [B, T] for T labels; undefined: there is nothing to score rows by (yet)
  std::vector<Term> terms;  ///< may differ between training and evaluation
  int64_t tokens = 0;       ///< of texts, read for these rows: progress shows them by the second

  /// Takes over the terms and tokens of a model within the model, each term as `name.term`.
  void take(const std::string& name, Output&& nested);
};

/// A model: features in, logits out. It cannot see a label, an optimizer or an epoch.
///
/// A new one is one file: a class with `struct Options` and a constructor (const Schema&, const Options&), and
/// INTERPLAY_REGISTER_MODEL("name", Class, "what it is"). forward() must work for any batch size, and in eval mode a
/// row's logit must not depend on the other rows.
///
/// What holds for it:
/// - Everything that learns is registered: register_parameter(), register_module(), in the constructor. What is not is
///   neither saved nor found again; a run whose model scores differently after being loaded is refused at its end.
/// - A parameter is of group `dense`, or of the group that its module names (nn::HasGroup); embedding tables
///   are of `embedding`, first-order weights of `linear`. `optimizer:` gives each group its rule.
/// - Layers that an option may leave out are members that start as {nullptr} and are registered where wanted.
/// - Randomness (dropout) comes from torch's default generator, whose state a checkpoint keeps. Tensors that are not
///   learnt but must follow the model to its device are buffers (register_buffer()).
/// - A mistake that only the user can mend is INTERPLAY_CHECK(condition, "model.heads: {} ...", ...), which throws
///   Error; options that have to fit one another are checked by Options::check(), see Registration.
/// - Several labels: logits [B, T], T = schema.labels().size(); a model for one label returns [B].
/// - What is learnt beside the labels is an Output's terms. A model that has a last hidden vector is Represents
///   (core/represents.h), one that finds items for a row is a Retriever (core/retriever.h).
/// Thread safety: concurrent forward() in eval mode under NoGradGuard is allowed.
class INTERPLAY_API Model : public torch::nn::Module {
 public:
  ~Model() override;
  virtual Output forward(const Features& x) = 0;
};

INTERPLAY_API Registry<Model, const Schema&>& models();

/// Makes the model that `config["name"]` names, its first weights drawn by `seed`. Torch's default generators are
/// afterwards as they were: a model can be made beside one that trains.
INTERPLAY_API std::shared_ptr<Model> make_model(const Config& config, const Schema& schema, uint64_t seed = 1);

/// A model as another model's option: `backbone: {name: dcnv2, cross_layers: 2}`. It is resolved, checked and printed
/// with its own defaults. As a member `std::optional<ModelOption>` or `std::vector<ModelOption>` it may be left out, or
/// come several times.
///
///     struct Options {
///       interplay::ModelOption backbone{"dnn"};
///       void visit(auto&& field) { field("backbone", backbone, "the model whose logit is ..."); }
///     };
///     ... backbone_ = register_module("backbone", options.backbone.make(schema));
class INTERPLAY_API ModelOption {
 public:
  ModelOption() = default;
  explicit ModelOption(const std::string& name) : config_(Config::scalar(name, true)) {}
  std::shared_ptr<Model> make(const Schema& schema) const;  ///< weights are drawn from torch's generator as it stands
  std::string name() const;                                 ///< as registered
  void read_option(const Config& from);
  Config write_option() const;
  static std::string option_type() { return "model"; }

 private:
  Config config_;
};

/// Weights to learn: torch parameters and embedding tables together.
INTERPLAY_API int64_t parameter_count(const torch::nn::Module& model);

/// Every weight and buffer by name, tables as views [rows, K]: what model.safetensors holds.
INTERPLAY_API std::map<std::string, at::Tensor> weights_of(const torch::nn::Module& model);
/// Copies weights in. Throws Error(data) naming the first entry that is missing, unknown, or of another shape or kind
/// of number (floating or whole).
INTERPLAY_API void load_weights(torch::nn::Module& model, const std::map<std::string, at::Tensor>& weights,
                                const std::string& from);
/// The same, but rows of embedding tables are not copied: they stay where the tensors have them, and may be read only.
INTERPLAY_API void map_weights(torch::nn::Module& model, const std::map<std::string, at::Tensor>& weights,
                               const std::string& from);

/// Throws Error where vectors by key or augmenters are asked for and no part of the model has a place for them: what an
/// experiment adds to the fields is read by FieldEmbedding, and it would learn without. `config` names the model.
INTERPLAY_API void check_reads_vectors(const torch::nn::Module& model, const Schema& schema, const Config& config);

/// Moves parameters and tables.
INTERPLAY_API void move_model(torch::nn::Module& model, at::Device device);

}  // namespace interplay

#define INTERPLAY_REGISTER_MODEL(name, type, doc) INTERPLAY_REGISTER(::interplay::models(), name, type, doc)
