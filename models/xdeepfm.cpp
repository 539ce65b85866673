// xDeepFM (Lian et al. 2018, arXiv:1803.05170): a linear term, a compressed interaction network and an MLP.
#include <interplay/model.h>
#include <interplay/nn/cin.h>
#include <interplay/nn/row_linear.h>

namespace {

class XDeepFm final : public interplay::Model, public interplay::Represents {
 public:
  struct Options : interplay::EmbeddingOptions {
    interplay::nn::CinOptions cin;
    interplay::nn::MlpOptions mlp;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      field("cin_hidden", cin.hidden, "maps of each layer of the interaction network", interplay::Range{1, 4096});
      field("cin_relu", cin.relu, "relu of the maps, as in DeepCTR; FuxiCTR has none");
      field("split_half", cin.split_half,
            "half of a layer's maps go on to the next one, half to the logit; the last layer's all to the logit");
      mlp.visit(field);
    }
  };

  XDeepFm(const interplay::Schema& schema, const Options& o)
      : linear_(register_module("linear", interplay::FieldLinear(schema))),
        fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        cin_(register_module("cin", interplay::nn::Cin(fields_->count(), o.cin))),
        cin_output_(register_module("cin_output", interplay::nn::xavier_linear(cin_->out(), 1))),
        mlp_(register_module("mlp", interplay::nn::Mlp(fields_->flat_width(), o.mlp))) {}

  interplay::Output forward(const interplay::Features& x) override {
    const auto e = fields_(x);                                                  // [B, F, K]
    return linear_(x) + of_maps(cin_(e.tensor())) + mlp_(e.flat()).squeeze(1);  // [B]
  }

  /// The maps, the MLP's last hidden layer, and the linear term beside them.
  at::Tensor represent(const interplay::Features& x) override {  // [B, P + H + 1]
    const auto e = fields_(x);
    return interplay::with_rest(at::cat({cin_(e.tensor()), mlp_->hidden(e.flat())}, 1), linear_(x));
  }
  at::Tensor output(const at::Tensor& hidden) override {  // [B]
    const auto [joined, rest] = interplay::without_rest(hidden);
    const auto maps = joined.slice(1, 0, cin_->out()), deep = joined.slice(1, cin_->out());
    return rest + of_maps(maps) + mlp_->output(deep).squeeze(1);
  }
  int64_t representation_width() const override { return cin_->out() + mlp_->hidden_width() + 1; }

 private:
  at::Tensor of_maps(const at::Tensor& maps) {  // [B, P] -> [B]
    return interplay::nn::row_dot(maps, cin_output_->weight, cin_output_->bias);
  }

  interplay::FieldLinear linear_;
  interplay::FieldEmbedding fields_;
  interplay::nn::Cin cin_;
  torch::nn::Linear cin_output_;
  interplay::nn::Mlp mlp_;
};

INTERPLAY_REGISTER_MODEL("xdeepfm", XDeepFm, "linear term + compressed interaction network + MLP (xDeepFM)");

}  // namespace
