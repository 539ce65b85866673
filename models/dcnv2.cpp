// DCN-V2 (Wang et al. 2021, arXiv:2008.13535): explicit crossing of the embeddings, alone or with an MLP.
#include <ATen/ATen.h>

#include <interplay/model.h>
#include <interplay/nn/row_linear.h>

namespace {

class DcnV2 final : public interplay::Model, public interplay::Represents {
 public:
  struct Options : interplay::EmbeddingOptions {
    int64_t cross_layers = 3;
    std::string structure = "parallel";
    interplay::nn::MlpOptions mlp;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      field("cross_layers", cross_layers, "cross layers", interplay::Range{1, 64});
      field("structure", structure, "how cross network and MLP are joined",
            interplay::OneOf{{"crossnet_only", "stacked", "parallel", "stacked_parallel"}});
      mlp.visit(field);
    }
  };

  DcnV2(const interplay::Schema& schema, const Options& o)
      : fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        cross_(register_module("cross", interplay::nn::Cross(fields_->flat_width(), o.cross_layers))) {
    auto mlp = o.mlp;
    mlp.output = 0;  // one linear layer over all parts comes last
    int64_t width = o.structure == "stacked" ? 0 : fields_->flat_width();
    if (o.structure == "stacked" || o.structure == "stacked_parallel") {
      stacked_ = register_module("stacked", interplay::nn::Mlp(fields_->flat_width(), mlp));
      width += stacked_->out();
    }
    if (o.structure == "parallel" || o.structure == "stacked_parallel") {
      parallel_ = register_module("parallel", interplay::nn::Mlp(fields_->flat_width(), mlp));
      width += parallel_->out();
    }
    keep_cross_ = o.structure != "stacked";
    output_ = register_module("output", interplay::nn::xavier_linear(width, 1));
  }

  interplay::Output forward(const interplay::Features& x) override { return output(represent(x)); }  // [B]

  at::Tensor represent(const interplay::Features& x) override {  // [B, H]
    const auto x0 = fields_(x).flat();                           // [B, W]
    const auto crossed = cross_(x0);                             // [B, W]
    std::vector<at::Tensor> parts;
    if (keep_cross_) parts.push_back(crossed);
    if (stacked_) parts.push_back(stacked_(crossed));  // [B, H]
    if (parallel_) parts.push_back(parallel_(x0));     // [B, H]
    return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
  }
  at::Tensor output(const at::Tensor& hidden) override {  // [B]
    return interplay::nn::row_dot(hidden, output_->weight, output_->bias);
  }
  int64_t representation_width() const override { return output_->weight.size(1); }

 private:
  interplay::FieldEmbedding fields_;
  interplay::nn::Cross cross_;
  interplay::nn::Mlp stacked_{nullptr}, parallel_{nullptr};
  torch::nn::Linear output_{nullptr};
  bool keep_cross_;
};

INTERPLAY_REGISTER_MODEL("dcnv2", DcnV2, "cross network v2, alone, stacked on or parallel to an MLP");

}  // namespace
