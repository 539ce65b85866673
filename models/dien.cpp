// DIEN (Zhou et al. 2019, arXiv:1809.03672): a GRU over each history, attention of the target over its states, and a
// second GRU whose update gate that attention scales.
#include <interplay/model.h>
#include <interplay/nn/interest.h>

namespace {

class Dien final : public interplay::Model, public interplay::Represents {
 public:
  struct Options : interplay::EmbeddingOptions {
    double auxiliary_weight = 1;
    std::vector<int64_t> auxiliary_hidden = {100, 50};
    std::string auxiliary_activation = "sigmoid";
    interplay::nn::MlpOptions mlp{.hidden = {200, 80}};
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      field("auxiliary_weight", auxiliary_weight,
            "of the auxiliary loss (term `auxiliary`): states have to tell the next item from one drawn at random; 0 = "
            "none",
            interplay::Range{0, 1e6});
      field("auxiliary_hidden", auxiliary_hidden, "widths of the hidden layers that judge the next item",
            interplay::Range{1, 65536});
      field("auxiliary_activation", auxiliary_activation, "of those layers",
            interplay::OneOf{interplay::nn::activation_names()});
      mlp.visit(field);
    }
  };

  Dien(const interplay::Schema& schema, const Options& o) : auxiliary_weight_(o.auxiliary_weight) {
    std::vector<std::string> read;  // by the interests
    int64_t width = 0;
    for (const auto& of : interplay::histories_of(schema)) {
      histories_.push_back({of, schema.field(of.sequences.front())});
      read.insert(read.end(), of.sequences.begin(), of.sequences.end());
    }
    INTERPLAY_CHECK(!histories_.empty(), "dien: the data have no history; declare one (kind: history, or target:)");
    fields_ =
        register_module("fields", interplay::FieldEmbedding(schema, o, interplay::FieldChoice{.leave_out = read}));
    for (size_t i = 0; i < histories_.size(); ++i) {
      History& h = histories_[i];
      const std::string place = histories_.size() > 1 ? std::to_string(i) : "";
      const int64_t entry = int64_t(h.of.sequences.size()) * o.embedding_dim;  // its paired columns beside the item
      h.interests = register_module("interests" + place, interplay::nn::Interests(o.embedding_dim, entry));
      if (auxiliary_weight_ > 0)
        h.next = register_module("auxiliary" + place,
                                 interplay::nn::NextEntry(entry, o.auxiliary_hidden, o.auxiliary_activation));
      width += entry;
    }
    mlp_ = register_module("mlp", interplay::nn::Mlp(fields_->flat_width() + width, o.mlp));
  }

  interplay::Output forward(const interplay::Features& x) override {
    interplay::Output out;
    out.logit = mlp_(joined(x, &out)).squeeze(1);  // [B]
    return out;
  }

  at::Tensor represent(const interplay::Features& x) override { return mlp_->hidden(joined(x, nullptr)); }  // [B, H]
  at::Tensor output(const at::Tensor& hidden) override { return mlp_->output(hidden).squeeze(1); }          // [B]
  int64_t representation_width() const override { return mlp_->hidden_width(); }

 private:
  struct History {
    interplay::History of;
    interplay::Field item;
    interplay::nn::Interests interests{nullptr};
    interplay::nn::NextEntry next{nullptr};
  };

  /// What the MLP reads: the fields, the targets among them, and each history's state. [B, W]
  at::Tensor joined(const interplay::Features& x, interplay::Output* out) {
    std::vector<at::Tensor> parts{fields_(x).flat()}, values, rows;
    for (auto& h : histories_) {
      const auto entries = fields_->sequence(x, h.of);
      const auto interests = h.interests->forward(fields_->field(x, h.of.target), entries);
      parts.push_back(interests.state);
      if (!out || !is_training() || !h.next) continue;
      const auto judged = h.next->forward(interests.entries, entries, negatives(h, entries));
      values.push_back(judged.value), rows.push_back(judged.rows);
    }
    if (!values.empty()) {
      out->terms.push_back(
          {.name = "auxiliary", .value = at::cat(values), .rows = at::cat(rows), .scale = auxiliary_weight_});
    }
    return at::cat(parts, 1);
  }

  /// Any item in place of each entry's, its paired columns as they were: [N, E]
  at::Tensor negatives(const History& h, const interplay::nn::SequenceVectors& entries) {
    const int64_t width = fields_->width();
    const auto ids =
        at::randint(1, std::max<int64_t>(2, 1 + h.item.tokens()), {entries.vectors.size(0)}, entries.row.options());
    return at::cat({fields_->rows(h.item.name, ids), entries.vectors.slice(1, width)}, 1);
  }

  double auxiliary_weight_;
  std::vector<History> histories_;
  interplay::FieldEmbedding fields_{nullptr};
  interplay::nn::Mlp mlp_{nullptr};
};

INTERPLAY_REGISTER_MODEL("dien", Dien, "interests in a history and how they evolve: GRU and AUGRU (DIEN)");

}  // namespace
