// ESMM (Ma et al. 2018, "Entire Space Multi-Task Model: An Effective Approach for Estimating Post-Click Conversion
// Rate", arXiv:1804.07931).
#include <ATen/ATen.h>

#include <interplay/model.h>

namespace {

/// Two MLPs over one embedding give the logits a of a click and b of a conversion once clicked. What is learnt is seen
/// on every row: the click, and click and conversion together, whose probability is the product (eq. 3):
///
///     p = s(a) s(b)    has the logit    log p - log(1 - p) = -log(e^-a + e^-b + e^-a-b)
///
/// so that train.loss may be any loss of a logit and no logarithm of 0 is ever taken. Labels, in the schema's order:
/// the click; the conversion on all rows, 0 where there was no click; and, where wanted, the conversion of clicked
/// rows, judged by b itself (train.loss: {cvr: {name: bce, weight: 0}} to learn as the paper does and still see its
/// metrics).
class Esmm final : public interplay::Model {
 public:
  struct Options : interplay::EmbeddingOptions {
    interplay::nn::MlpOptions mlp{.hidden = {360, 200, 80}};
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      mlp.visit(field);
    }
  };

  Esmm(const interplay::Schema& schema, const Options& o)
      : fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        click_(register_module("click", interplay::nn::Mlp(fields_->flat_width(), o.mlp))),
        conversion_(register_module("conversion", interplay::nn::Mlp(fields_->flat_width(), o.mlp))),
        labels_(schema.labels().size()) {
    INTERPLAY_CHECK(labels_ == 2 || labels_ == 3,
                    "esmm: the data have {} label(s) ({}); it learns two: the click, and the conversion on all rows (0 "
                    "where there was no click); a third is the conversion of clicked rows alone. fields.labels chooses "
                    "them",
                    labels_, fmt::join(schema.labels(), ", "));
  }

  interplay::Output forward(const interplay::Features& x) override {
    const auto x0 = fields_(x).flat();                                        // [B, W]
    const auto a = click_(x0), b = conversion_(x0);                           // [B, 1]
    const auto both = -at::logsumexp(at::cat({-a, -b, -a - b}, 1), 1, true);  // [B, 1]
    return labels_ == 2 ? at::cat({a, both}, 1) : at::cat({a, both, b}, 1);
  }

 private:
  interplay::FieldEmbedding fields_;
  interplay::nn::Mlp click_, conversion_;
  size_t labels_;
};

INTERPLAY_REGISTER_MODEL("esmm", Esmm, "click and conversion, learnt on all rows by the product of both probabilities");

}  // namespace
