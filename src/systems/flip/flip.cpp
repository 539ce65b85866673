// FLIP (Wang et al. 2023, arXiv:2310.19453), its tuning: a model of the ids and a language model score the same row.
#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>

#include <interplay/core/model.h>
#include <interplay/nn/row_linear.h>

#include "systems/flip/represented.h"
#include "systems/flip/text_tower.h"

namespace interplay::flip {
namespace {

/// The share that the ids have in the logit. It stands alone in a group, for it needs a rate of its own: with that of
/// the towers a few hundred steps do not move it.
class MixImpl final : public torch::nn::Module, public nn::HasGroup {
 public:
  MixImpl() { share = register_parameter("share", at::zeros({1})); }
  std::string parameter_group() const override { return "mix"; }
  at::Tensor share;  // f32 [1], from 0: at first the logit is the text's
};
TORCH_MODULE(Mix);

/// logit = a l_id + (1 - a) l_text with a learnt and unbounded (section 3.4); beside the loss of it there are those of
/// the two towers, as terms `id` and `text`. With `tower: id` or `text` it is that tower alone.
///
/// The towers are called as flip_pretrain calls them, so that `--init RUN` begins with a pre-training.
class Flip final : public Model {
 public:
  struct Options {
    TextOptions text;
    ModelOption backbone{"dcnv2"};
    std::string tower = "both";
    void visit(auto&& field) {
      text.visit(field);
      field("backbone", backbone, "model of the ids");
      field("tower", tower, "what scores: the ids, the text, or a learnt mixture of both",
            OneOf{{"both", "id", "text"}});
    }
  };

  Flip(const Schema& schema, const Options& o) {
    if (o.tower != "text") backbone_ = register_module("backbone", make_backbone(o.backbone, schema));
    if (o.tower == "id") return;
    const Field& field = o.text.field_of(schema);
    column_ = field.column;
    text_ = register_module("text", TextTower(o.text, field));
    text_output_ = register_module("text_output", torch::nn::Linear(text_->width(), 1));
    if (o.tower == "both") mix_ = register_module("mix", Mix());
  }

  Output forward(const Features& x) override {
    if (!text_) return backbone_->forward(x);
    const Tokens& tokens = x.tokens[size_t(column_)];
    const auto first = text_->first_states(TextRows::of(tokens));                       // [B, D]
    const auto of_text = nn::row_dot(first, text_output_->weight, text_output_->bias);  // [B]
    if (!mix_) {
      Output out(of_text);
      out.tokens = tokens.ids.numel();
      return out;
    }
    Output of_ids = backbone_->forward(x);
    INTERPLAY_CHECK(of_ids.logit.defined(), "model.backbone: gives no logit to mix with that of the text");
    Output out(mix_->share * of_ids.logit + (1 - mix_->share) * of_text);
    out.terms.push_back({.name = "id", .logit = of_ids.logit});
    out.terms.push_back({.name = "text", .logit = of_text});
    out.tokens = tokens.ids.numel();
    out.take("backbone", std::move(of_ids));
    return out;
  }

 private:
  std::shared_ptr<Model> backbone_;
  TextTower text_{nullptr};
  torch::nn::Linear text_output_{nullptr};
  Mix mix_{nullptr};
  int64_t column_ = 0;
};

INTERPLAY_REGISTER_MODEL("flip", Flip, "a model of ids and a language model, and a learnt mixture of both (FLIP)");

}  // namespace
}  // namespace interplay::flip
