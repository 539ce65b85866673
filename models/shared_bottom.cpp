// Shared bottom (Caruana 1997, "Multitask Learning"): one MLP for all labels, a tower of its own for each.
#include <interplay/model.h>

namespace {

class SharedBottom final : public interplay::Model {
 public:
  struct Options : interplay::EmbeddingOptions {
    std::vector<int64_t> bottom_hidden = {64, 64, 64};
    interplay::nn::TaskOptions tasks;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      field("bottom_hidden", bottom_hidden, "widths of the hidden layers that the labels share",
            interplay::Range{1, 1e6});
      tasks.visit(field);
    }
  };

  SharedBottom(const interplay::Schema& schema, const Options& o)
      : fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        bottom_(register_module("bottom", interplay::nn::Mlp(fields_->flat_width(), o.tasks.body(o.bottom_hidden)))),
        towers_(register_module(
            "towers", interplay::nn::Towers(int64_t(schema.labels().size()), bottom_->out(), o.tasks.tower()))) {}

  interplay::Output forward(const interplay::Features& x) override {
    return towers_->of_shared(bottom_(fields_(x).flat()));  // [B, T]
  }

 private:
  interplay::FieldEmbedding fields_;
  interplay::nn::Mlp bottom_;
  interplay::nn::Towers towers_;
};

INTERPLAY_REGISTER_MODEL("shared_bottom", SharedBottom, "several labels: one MLP for all, a tower for each");

}  // namespace
