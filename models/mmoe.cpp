// MMoE (Ma et al. 2018, "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts"):
// experts that all labels share, mixed by a gate of each label's own (eq. 6 and 7).
#include <interplay/model.h>

namespace {

class Mmoe final : public interplay::Model {
 public:
  struct Options : interplay::EmbeddingOptions {
    int64_t experts = 4;
    interplay::nn::MixtureOptions tasks;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      field("experts", experts, "MLPs that all labels share", interplay::Range{1, 1000});
      tasks.visit(field);
    }
  };

  Mmoe(const interplay::Schema& schema, const Options& o)
      : fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        experts_(
            register_module("experts", interplay::nn::Experts(o.experts, fields_->flat_width(), o.tasks.expert()))),
        towers_(register_module(
            "towers", interplay::nn::Towers(int64_t(schema.labels().size()), experts_->out(), o.tasks.tower()))) {
    for (size_t t = 0; t < schema.labels().size(); ++t) {
      gates_.push_back(register_module(fmt::format("gate{}", t),
                                       interplay::nn::Gate(fields_->flat_width(), o.experts, o.tasks.gate())));
    }
  }

  interplay::Output forward(const interplay::Features& x) override {
    const auto x0 = fields_(x).flat();  // [B, W]
    const auto said = experts_(x0);     // [B, E, H]
    std::vector<at::Tensor> each;
    for (auto& gate : gates_) each.push_back(gate(x0, said));  // [B, H]
    return towers_->forward(each);                             // [B, T]
  }

 private:
  interplay::FieldEmbedding fields_;
  interplay::nn::Experts experts_;
  interplay::nn::Towers towers_;
  std::vector<interplay::nn::Gate> gates_;
};

INTERPLAY_REGISTER_MODEL("mmoe", Mmoe, "several labels: shared experts, mixed by a gate of each label's own");

}  // namespace
