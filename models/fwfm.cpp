#include <tuple>

#include <torch/nn/init.h>

#include <interplay/model.h>
#include <interplay/nn/row_linear.h>

namespace {

namespace nn = interplay::nn;

/// FwFM (Pan et al. 2018, arXiv:1806.03514): an FM whose pairs of fields differ in strength.
///
///     logit = sum over i<j of r_ij <e_i, e_j> + b + linear
///
/// The linear term is one of
///     lw    sum_i w[x_i]          a weight a value, as in an FM
///     felv  sum_i <e_i, l[x_i]>   a vector a value, in tables of their own
///     filv  sum_i <e_i, u_i>      a vector a field: F K weights, where lw has as many as there are values
class Fwfm final : public interplay::Model, public interplay::HasInteractions {
 public:
  struct Options : interplay::EmbeddingOptions {
    std::string linear = "filv";
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      field("linear", linear, "linear term: a weight a value, a vector a value, or a vector a field",
            interplay::OneOf{{"lw", "felv", "filv"}});
    }
  };

  Fwfm(const interplay::Schema& schema, const Options& o)
      : fields_(register_module("fields", interplay::FieldEmbedding(schema, o))) {
    INTERPLAY_CHECK(fields_->count() > 0, "the model has no field to read; check fields.keep and fields.drop");
    std::tie(left_, right_) = nn::all_pairs(fields_->count());
    if (fields_->count() > 1) {  // a single field has no pairs; otherwise the start of a Linear(P, 1)
      strength_ = register_parameter("strength", torch::nn::init::xavier_normal_(at::empty({1, left_.numel()})));
    }
    bias_ = register_parameter("bias", at::zeros({1}));
    if (o.linear == "lw") {
      values_ = register_module("values", interplay::FieldLinear(schema, /*bias=*/false, o.init_std));
    } else if (o.linear == "felv") {
      value_vectors_ = register_module("value_vectors", interplay::FieldEmbedding(schema, o));
    } else {
      field_vectors_ = register_module("field_vectors", nn::xavier_linear(fields_->flat_width(), 1, /*bias=*/false));
    }
  }

  interplay::Output forward(const interplay::Features& x) override {
    const auto e = fields_(x);       // [B, F, K]
    return pairs(e) + linear(x, e);  // [B], logits
  }

  std::vector<interplay::Interaction> list() const override {
    std::vector<interplay::Interaction> out;
    if (!strength_.defined()) return out;
    const auto strength = strength_.detach().cpu();
    const auto left = left_.accessor<int64_t, 1>(), right = right_.accessor<int64_t, 1>();
    for (int64_t p = 0; p < left.size(0); ++p) {
      const auto& names = fields_->names();
      out.push_back(
          {.fields = {names[size_t(left[p])], names[size_t(right[p])]}, .gate = strength.const_data_ptr<float>()[p]});
    }
    return out;
  }

 private:
  /// The sum over pairs and the bias, as all F^2 products by a matrix r that is zero on and below the diagonal. At 39
  /// fields that is thirty times as fast as gathering [B, P, K] for the P = 741 products alone. [B, F, K] -> f32 [B]
  at::Tensor pairs(const at::Tensor& e) {
    const auto products = at::bmm(e, e.transpose(1, 2)).flatten(1);  // [B, F F]
    auto r = at::zeros({e.size(1), e.size(1)}, e.options());
    if (strength_.defined()) r = r.index_put({left_, right_}, strength_[0]);
    return nn::row_dot(products, r.flatten(), bias_);
  }

  at::Tensor linear(const interplay::Features& x, const nn::FieldVectors& e) {
    if (values_) return values_(x);
    if (value_vectors_) return (e.tensor() * value_vectors_(x).tensor()).sum({1, 2});
    return nn::row_dot(e.flat(), field_vectors_->weight);
  }

  interplay::FieldEmbedding fields_;
  at::Tensor left_, right_;  // i64 [P], fields of each pair
  at::Tensor strength_;      // f32 [1, P], r_ij; undefined where there is one field
  at::Tensor bias_;          // f32 [1]
  interplay::FieldLinear values_{nullptr};
  interplay::FieldEmbedding value_vectors_{nullptr};
  torch::nn::Linear field_vectors_{nullptr};
};

INTERPLAY_REGISTER_MODEL("fwfm", Fwfm, "linear term + inner products weighted by pair of fields");

}  // namespace
