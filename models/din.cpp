// DIN (Zhou et al. 2018, arXiv:1706.06978): each history is summed with weights that depend on the candidate.
#include <ATen/ATen.h>

#include <interplay/model.h>

namespace {

class Din final : public interplay::Model {
 public:
  struct Options {
    int64_t embedding_dim = 16;
    interplay::nn::MlpOptions mlp{.hidden = {200, 80}};
    std::vector<int64_t> attention_hidden = {64, 32};
    std::string attention_activation = "dice";
    bool softmax = false, pad_history = false;
    double attention_dropout = 0, init_std = 1e-4;
    void visit(auto&& field) {
      field("embedding_dim", embedding_dim, "embedding width K", interplay::Range{1, 4096});
      mlp.visit(field);
      field("attention_hidden", attention_hidden, "widths of the attention's hidden layers", interplay::Range{1, 1e6});
      field("attention_activation", attention_activation, "of the attention's hidden layers",
            interplay::OneOf{interplay::nn::activation_names()});
      field("attention_dropout", attention_dropout, "drop rate in the attention", interplay::Range{0, 0.99});
      field("softmax", softmax, "attention weights sum to one (the paper leaves them free)");
      field("pad_history", pad_history,
            "histories are padded to max_length, and Dice sees the padding, as in FuxiCTR; otherwise only real entries "
            "count");
      field("init_std", init_std, "embeddings start from N(0, init_std^2)", interplay::Range{0, 100});
    }
  };

  Din(const interplay::Schema& schema, const Options& o) : pad_history_(o.pad_history) {
    std::vector<std::string> attended;
    for (const auto* f : schema.of(interplay::FieldKind::sequence)) {
      if (!f->target.empty() && f->paired_with.empty()) histories_.push_back(history_of(schema, *f));
    }
    INTERPLAY_CHECK(
        !histories_.empty(),
        "din: no sequence field names its target; give one `target: item_id` in data.yaml, or use another model");
    for (const auto& h : histories_) attended.insert(attended.end(), h.sequences.begin(), h.sequences.end());
    fields_ = register_module("fields", interplay::FieldEmbedding(schema, o.embedding_dim, o.init_std, attended));
    int64_t width = fields_->flat_width();
    for (auto& h : histories_) {
      const int64_t wide = int64_t(h.sequences.size()) * o.embedding_dim;  // of an entry, its paired columns beside it
      h.attention = register_module("attention_" + std::to_string(&h - histories_.data()),
                                    interplay::nn::TargetAttention(o.embedding_dim, wide - o.embedding_dim,
                                                                   interplay::nn::TargetAttentionOptions{
                                                                       o.attention_hidden, o.attention_activation,
                                                                       o.attention_dropout, o.softmax}));
      width += wide;
    }
    mlp_ = register_module("mlp", interplay::nn::Mlp(width, o.mlp));
  }

  interplay::Output forward(const interplay::Features& x) override {
    std::vector<at::Tensor> parts;
    if (fields_->count() > 0) parts.push_back(fields_(x).flat());  // [B, W]
    for (auto& h : histories_) {
      auto entries = fields_->sequence(x, h.sequences[0], pad_history_ ? h.max_length : 0);
      if (h.sequences.size() > 1) {  // an item beside its paired columns: [N, nK]
        std::vector<at::Tensor> columns{entries.vectors};
        for (size_t i = 1; i < h.sequences.size(); ++i) {
          columns.push_back(fields_->sequence(x, h.sequences[i], pad_history_ ? h.max_length : 0).vectors);
        }
        entries.vectors = at::cat(columns, 1);
      }
      parts.push_back(h.attention(fields_->field(x, h.target), entries));  // [B, nK]
    }
    return mlp_(at::cat(parts, 1)).squeeze(1);  // [B]
  }

 private:
  struct History {
    std::vector<std::string> sequences;  // the items, then the columns paired with them
    std::string target;
    int64_t max_length;
    interplay::nn::TargetAttention attention{nullptr};
  };

  static History history_of(const interplay::Schema& schema, const interplay::Field& items) {
    History h{{items.name}, items.target, items.max_length};
    for (const auto* f : schema.of(interplay::FieldKind::sequence)) {
      if (f->paired_with == items.name) h.sequences.push_back(f->name);
    }
    return h;
  }

  interplay::FieldEmbedding fields_{nullptr};
  std::vector<History> histories_;
  interplay::nn::Mlp mlp_{nullptr};
  bool pad_history_;
};

INTERPLAY_REGISTER_MODEL("din", Din, "attention over each history by its candidate + MLP");

}  // namespace
