// PLE (Tang et al. 2020, "Progressive Layered Extraction: A Novel Multi-Task Learning Model for Personalized
// Recommendations"): levels of experts, some of a label's own, some that all share.
#include <ATen/ATen.h>

#include <interplay/model.h>

namespace {

/// One level of extraction (CGC, eq. 1 to 3 and 5). A label's gate mixes its own experts and the shared ones, in this
/// order; the shared gate, on all levels but the last, mixes every label's and the shared ones.
class LevelImpl final : public torch::nn::Module {
 public:
  LevelImpl(int64_t labels, int64_t in, int64_t own, int64_t shared, const interplay::nn::MlpOptions& expert,
            const interplay::nn::MlpOptions& gate, bool last) {
    for (int64_t t = 0; t < labels; ++t) {
      own_.push_back(register_module(fmt::format("own{}", t), interplay::nn::Experts(own, in, expert)));
      gates_.push_back(register_module(fmt::format("gate{}", t), interplay::nn::Gate(in, own + shared, gate)));
    }
    shared_ = register_module("shared", interplay::nn::Experts(shared, in, expert));
    if (!last) shared_gate_ = register_module("shared_gate", interplay::nn::Gate(in, labels * own + shared, gate));
  }

  /// x: an input for each label, then the shared one, f32 [B, in] each; gives as many, [B, H] each, without the shared
  /// one on the last level.
  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& x) {
    const auto shared = shared_(x.back());  // [B, S, H]
    std::vector<at::Tensor> said, out;
    for (size_t t = 0; t < own_.size(); ++t) {
      said.push_back(own_[t](x[t]));  // [B, O, H]
      out.push_back(gates_[t](x[t], at::cat({said.back(), shared}, 1)));
    }
    said.push_back(shared);
    if (shared_gate_) out.push_back(shared_gate_(x.back(), at::cat(said, 1)));
    return out;
  }
  int64_t out() const { return shared_->out(); }

 private:
  std::vector<interplay::nn::Experts> own_;
  std::vector<interplay::nn::Gate> gates_;
  interplay::nn::Experts shared_{nullptr};
  interplay::nn::Gate shared_gate_{nullptr};
};
TORCH_MODULE(Level);

class Ple final : public interplay::Model {
 public:
  struct Options : interplay::EmbeddingOptions {
    int64_t levels = 1, own_experts = 1, shared_experts = 1;
    interplay::nn::MixtureOptions tasks;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      field("levels", levels, "levels of extraction; with one it is CGC", interplay::Range{1, 64});
      field("own_experts", own_experts, "experts of each label's own, on each level", interplay::Range{1, 1000});
      field("shared_experts", shared_experts, "experts that all labels share, on each level",
            interplay::Range{1, 1000});
      tasks.visit(field);
    }
  };

  Ple(const interplay::Schema& schema, const Options& o)
      : fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        labels_(int64_t(schema.labels().size())) {
    int64_t width = fields_->flat_width();
    for (int64_t l = 0; l < o.levels; ++l) {
      levels_.push_back(register_module(
          fmt::format("level{}", l),
          Level(labels_, width, o.own_experts, o.shared_experts, o.tasks.expert(), o.tasks.gate(), l + 1 == o.levels)));
      width = levels_.back()->out();
    }
    towers_ = register_module("towers", interplay::nn::Towers(labels_, width, o.tasks.tower()));
  }

  interplay::Output forward(const interplay::Features& x) override {
    std::vector<at::Tensor> each(size_t(labels_ + 1), fields_(x).flat());  // [B, W]
    for (auto& level : levels_) each = level(each);                        // [B, H]
    return towers_->forward(each);                                         // [B, T]
  }

 private:
  interplay::FieldEmbedding fields_;
  int64_t labels_;
  std::vector<Level> levels_;
  interplay::nn::Towers towers_{nullptr};
};

INTERPLAY_REGISTER_MODEL("ple", Ple, "several labels: levels of own and shared experts behind gates");

}  // namespace
