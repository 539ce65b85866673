// DCN-V2 (Wang et al. 2021, arXiv:2008.13535): explicit crossing of the embeddings, alone or with an MLP.
#include <functional>

#include <ATen/ATen.h>

#include <interplay/model.h>
#include <interplay/nn/low_rank_cross.h>
#include <interplay/nn/row_linear.h>

namespace {

class DcnV2 final : public interplay::Model, public interplay::Represents {
 public:
  struct Options : interplay::EmbeddingOptions {
    int64_t cross_layers = 3;
    std::string structure = "parallel", cross = "full";
    int64_t cross_rank = 32, cross_experts = 4;
    interplay::nn::MlpOptions mlp;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      field("cross_layers", cross_layers, "cross layers", interplay::Range{1, 64});
      field("structure", structure, "how cross network and MLP are joined",
            interplay::OneOf{{"crossnet_only", "stacked", "parallel", "stacked_parallel"}});
      field(
          "cross", cross,
          "matrices of the cross layers: full; low_rank, products of two thin ones; mixture, of several such behind a "
          "gate",
          interplay::OneOf{{"full", "low_rank", "mixture"}});
      field("cross_rank", cross_rank, "rank of the matrices of low_rank and mixture", interplay::Range{1, 65536});
      field("cross_experts", cross_experts, "products that a mixture mixes", interplay::Range{1, 1000});
      mlp.visit(field);
    }
  };

  DcnV2(const interplay::Schema& schema, const Options& o)
      : fields_(register_module("fields", interplay::FieldEmbedding(schema, o))) {
    const int64_t w = fields_->flat_width();
    using namespace interplay::nn;
    if (o.cross == "full") {
      cross_ = Cross(register_module("cross", Cross(w, o.cross_layers)));
    } else if (o.cross == "low_rank") {
      cross_ = LowRankCross(register_module("cross", LowRankCross(w, o.cross_layers, o.cross_rank)));
    } else {
      cross_ = CrossMixture(register_module("cross", CrossMixture(w, o.cross_layers, o.cross_rank, o.cross_experts)));
    }
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
  std::function<at::Tensor(const at::Tensor&)> cross_;
  interplay::nn::Mlp stacked_{nullptr}, parallel_{nullptr};
  torch::nn::Linear output_{nullptr};
  bool keep_cross_;
};

INTERPLAY_REGISTER_MODEL("dcnv2", DcnV2, "cross network v2, alone, stacked on or parallel to an MLP");

}  // namespace
