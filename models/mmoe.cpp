// MMoE (Ma et al. 2018, "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts"):
// experts that all labels share, mixed by a gate of each label's own (eq. 6 and 7).
#include <interplay/model.h>

namespace {

class Mmoe final : public interplay::Model {
 public:
  struct Options : interplay::EmbeddingOptions {
    int64_t experts = 4;
    std::vector<int64_t> expert_hidden = {512, 256, 128}, gate_hidden;
    interplay::nn::TaskOptions tasks{.tower_hidden = {128, 64}};
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      field("experts", experts, "MLPs that all labels share", interplay::Range{1, 1000});
      field("expert_hidden", expert_hidden, "widths of an expert's hidden layers", interplay::Range{1, 1e6});
      field("gate_hidden", gate_hidden, "widths of a gate's hidden layers; [] = one matrix, as in the paper",
            interplay::Range{1, 1e6});
      tasks.visit(field);
    }
  };

  Mmoe(const interplay::Schema& schema, const Options& o)
      : fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        experts_(register_module(
            "experts", interplay::nn::Experts(o.experts, fields_->flat_width(), o.tasks.body(o.expert_hidden)))),
        towers_(register_module(
            "towers", interplay::nn::Towers(int64_t(schema.labels().size()), experts_->out(), o.tasks.tower()))) {
    for (size_t t = 0; t < schema.labels().size(); ++t) {
      gates_.push_back(register_module(fmt::format("gate{}", t), interplay::nn::Gate(fields_->flat_width(), o.experts,
                                                                                     o.tasks.body(o.gate_hidden))));
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
