// DIN (Zhou et al. 2018, arXiv:1706.06978): each history is summed with weights that depend on the candidate.
#include <ATen/ATen.h>

#include <interplay/model.h>
#include <interplay/nn/row_linear.h>

namespace {

class Din final : public interplay::Model, public interplay::Represents {
 public:
  struct Options : interplay::EmbeddingOptions {
    interplay::nn::MlpOptions mlp{.hidden = {200, 80}};
    std::vector<int64_t> attention_hidden = {64, 32};
    std::string attention_activation = "dice";
    bool softmax = false, pad_history = false, map_entries = false;
    double attention_dropout = 0;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      mlp.visit(field);
      field("attention_hidden", attention_hidden, "widths of the attention's hidden layers", interplay::Range{1, 1e6});
      field("attention_activation", attention_activation, "of the attention's hidden layers",
            interplay::OneOf{interplay::nn::activation_names()});
      field("attention_dropout", attention_dropout, "drop rate in the attention", interplay::Range{0, 0.99});
      field("softmax", softmax, "attention weights sum to one (the paper leaves them free)");
      field("map_entries", map_entries,
            "an entry of an item and its paired columns is a relu layer of them, as wide as the item, as in the CTR "
            "models of ReLLaX; otherwise they lie side by side");
      field("pad_history", pad_history,
            "histories are padded to max_length, and Dice sees the padding, as in FuxiCTR; otherwise only real entries "
            "count");
    }
  };

  Din(const interplay::Schema& schema, const Options& o) : pad_history_(o.pad_history) {
    for (auto& h : interplay::histories_of(schema)) histories_.push_back({std::move(h), {nullptr}, {nullptr}});
    INTERPLAY_CHECK(
        !histories_.empty(),
        "din: no sequence field names its target; give one `target: item_id` in data.yaml, or use another model");
    std::vector<std::string> attended;
    for (const auto& h : histories_) attended.insert(attended.end(), h.of.sequences.begin(), h.of.sequences.end());
    fields_ =
        register_module("fields", interplay::FieldEmbedding(schema, o, interplay::FieldChoice{.leave_out = attended}));
    int64_t width = fields_->flat_width();
    for (auto& h : histories_) {
      int64_t wide = int64_t(h.of.sequences.size()) * o.embedding_dim;  // of an entry, its paired columns beside it
      if (o.map_entries) {
        h.map =
            register_module("map_" + std::to_string(&h - histories_.data()), torch::nn::Linear(wide, o.embedding_dim));
        wide = o.embedding_dim;
      }
      h.attention = register_module("attention_" + std::to_string(&h - histories_.data()),
                                    interplay::nn::TargetAttention(o.embedding_dim, wide - o.embedding_dim,
                                                                   interplay::nn::TargetAttentionOptions{
                                                                       o.attention_hidden, o.attention_activation,
                                                                       o.attention_dropout, o.softmax}));
      width += wide;
    }
    mlp_ = register_module("mlp", interplay::nn::Mlp(width, o.mlp));
  }

  interplay::Output forward(const interplay::Features& x) override { return mlp_(read(x)).squeeze(1); }  // [B]

  at::Tensor represent(const interplay::Features& x) override { return mlp_->hidden(read(x)); }     // [B, H]
  at::Tensor output(const at::Tensor& hidden) override { return mlp_->output(hidden).squeeze(1); }  // [B]
  int64_t representation_width() const override { return mlp_->hidden_width(); }

 private:
  at::Tensor read(const interplay::Features& x) {
    std::vector<at::Tensor> parts;
    if (fields_->count() > 0) parts.push_back(fields_(x).flat());  // [B, W]
    for (auto& h : histories_) {
      auto entries = fields_->sequence(x, h.of, pad_history_ ? h.of.max_length : 0);
      if (h.map) entries.vectors = interplay::nn::row_linear(entries.vectors, h.map).relu();
      parts.push_back(h.attention(fields_->field(x, h.of.target), entries));  // [B, nK]
    }
    return at::cat(parts, 1);
  }

  struct Attended {
    interplay::History of;
    torch::nn::Linear map{nullptr};
    interplay::nn::TargetAttention attention{nullptr};
  };

  interplay::FieldEmbedding fields_{nullptr};
  std::vector<Attended> histories_;
  interplay::nn::Mlp mlp_{nullptr};
  bool pad_history_;
};

INTERPLAY_REGISTER_MODEL("din", Din, "attention over each history by its candidate + MLP");

}  // namespace
