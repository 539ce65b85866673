#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include <interplay/base/error.h>
#include <interplay/base/registry.h>
#include <interplay/data/features.h>
#include <interplay/data/schema.h>

namespace interplay {

/// A further logit that is trained beside the main one.
struct Auxiliary {
  std::string name;
  at::Tensor logit;   ///< shaped as Output::logit
  double weight = 1;  ///< of its loss
};

/// What a model says of a batch. Never a probability.
struct Output {
  Output(at::Tensor l) : logit(std::move(l)) {}
  at::Tensor logit;    ///< f32 [B], or [B, T] for T labels
  at::Tensor penalty;  ///< scalar added to the loss, or undefined
  std::vector<Auxiliary> auxiliary;
  int64_t tokens = 0;  ///< of texts, read for these rows: progress shows them by the second
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
/// - A parameter is of group `dense`, or of the group that its module names (nn::ParameterGroup); embedding tables
///   are of `embedding`, first-order weights of `linear`. `optimizer:` gives each group its rule.
/// - Layers that an option may leave out are members that start as {nullptr} and are registered where wanted.
/// - Randomness (dropout) comes from torch's default generator, whose state a checkpoint keeps. Tensors that are not
///   learnt but must follow the model to its device are buffers (register_buffer()).
/// - A mistake that only the user can mend is INTERPLAY_CHECK(condition, "model.heads: {} ...", ...), which throws
///   Error; options that have to fit one another are checked by Options::check(), see Registration.
/// - Several labels: logits [B, T], T = schema.labels().size(); a model for one label returns [B].
/// Thread safety: concurrent forward() in eval mode under NoGradGuard is allowed.
class INTERPLAY_API Model : public torch::nn::Module {
 public:
  ~Model() override;
  virtual Output forward(const Features& x) = 0;
};

INTERPLAY_API Registry<Model, const Schema&>& models();

/// Makes the model that `config["name"]` names, its first weights drawn by `seed`.
INTERPLAY_API std::shared_ptr<Model> make_model(const Config& config, const Schema& schema, uint64_t seed = 1);

/// Weights to learn: torch parameters and embedding tables together.
INTERPLAY_API int64_t parameter_count(const torch::nn::Module& model);

/// Every weight and buffer by name, tables as views [rows, K]: what model.safetensors holds.
INTERPLAY_API std::map<std::string, at::Tensor> weights_of(const torch::nn::Module& model);
/// Copies weights in. Throws Error(data) naming the first entry that is missing, unknown, or of another shape or kind
/// of number (floating or whole).
INTERPLAY_API void load_weights(torch::nn::Module& model, const std::map<std::string, at::Tensor>& weights,
                                const std::string& from);

/// Moves parameters and tables.
INTERPLAY_API void move_model(torch::nn::Module& model, at::Device device);

}  // namespace interplay

#define INTERPLAY_REGISTER_MODEL(name, type, doc) INTERPLAY_REGISTER(::interplay::models(), name, type, doc)
