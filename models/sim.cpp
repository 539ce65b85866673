// SIM (Qi et al. 2020, "Search-based User Interest Modeling with Lifelong Sequential Behavior Data for Click-Through
// Rate Prediction", arXiv:2006.05639), soft search.
#include <functional>

#include <ATen/ATen.h>

#include <interplay/model.h>
#include <interplay/nn/row_linear.h>

namespace {

/// Of each history, a search by inner products (general search unit, eq. 2) keeps the entries nearest to the candidate;
/// attention of the candidate reads those, and the last ones beside them: multi-head (exact search unit, eq. 6), or
/// DIN's activation units, which need fewer steps to tell entries apart where vectors start near zero. The
/// search learns from a logit of its own, made of all entries by their scores (eq. 3), whose loss is added to the
/// model's (eq. 8). It compares items alone, not what else an entry holds: with the ratings beside them, it would find
/// what speaks for the candidate and hardly what speaks against it. Where the public code lets padding with its score
/// of 0 displace entries with negative scores, only real entries are searched here.
class Sim final : public interplay::Model, public interplay::Represents {
 public:
  struct Options : interplay::EmbeddingOptions {
    int64_t top_k = 50, short_length = 50, search_dim = 16, attention_dim = 64, heads = 1;
    interplay::nn::MlpOptions mlp{.hidden = {200, 80}};
    std::vector<int64_t> search_hidden = {200, 80}, attention_hidden = {64, 32};
    std::string attention = "multi_head", attention_activation = "dice";
    double search_weight = 1;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      field("top_k", top_k, "entries of a history that the search keeps", interplay::Range{1, 1e6});
      field("short_length", short_length, "last entries of a history that are read whatever they are; 0 = none",
            interplay::Range{0, 1e6});
      field("search_dim", search_dim, "numbers that the search compares", interplay::Range{1, 4096});
      field("search_hidden", search_hidden, "widths of the hidden layers of the search's own logit",
            interplay::Range{1, 1e6});
      field("search_weight", search_weight, "of the loss of the search's own logit", interplay::Range{0, 1e6});
      field("attention", attention, "how the candidate reads entries: multi_head, or din's activation units",
            interplay::OneOf{{"multi_head", "din"}});
      field("attention_dim", attention_dim, "multi_head: numbers of the keys, all heads together",
            interplay::Range{1, 4096});
      field("heads", heads, "multi_head: heads; attention_dim is a multiple of it", interplay::Range{1, 4096});
      field("attention_hidden", attention_hidden, "din: widths of the attention's hidden layers",
            interplay::Range{1, 1e6});
      field("attention_activation", attention_activation, "din: of the attention's hidden layers",
            interplay::OneOf{interplay::nn::activation_names()});
      mlp.visit(field);
    }
    void check(const interplay::Config& config) const {
      if (attention_dim % heads != 0) {
        config["attention_dim"].fail(
            fmt::format("{} numbers do not divide into {} heads; take a multiple of `heads`", attention_dim, heads));
      }
    }
  };

  Sim(const interplay::Schema& schema, const Options& o)
      : top_k_(o.top_k), short_length_(o.short_length), search_weight_(o.search_weight) {
    const auto found = interplay::histories_of(schema);
    INTERPLAY_CHECK(
        !found.empty(),
        "sim: no sequence field names its target; give one `target: item_id` in data.yaml, or use another model");
    std::vector<std::string> searched;
    for (const auto& h : found) searched.insert(searched.end(), h.sequences.begin(), h.sequences.end());
    fields_ =
        register_module("fields", interplay::FieldEmbedding(schema, o, interplay::FieldChoice{.leave_out = searched}));
    int64_t width = fields_->flat_width(), search_width = width;
    for (const auto& of : found) {
      const auto place = fmt::format("_{}", histories_.size());
      const int64_t entry = int64_t(of.sequences.size()) * o.embedding_dim;
      const auto attention = [&](const std::string& name) -> Attention {
        if (o.attention == "din") {
          return interplay::nn::TargetAttention(register_module(
              name + place,
              interplay::nn::TargetAttention(o.embedding_dim, entry - o.embedding_dim,
                                             interplay::nn::TargetAttentionOptions{
                                                 .hidden = o.attention_hidden, .activation = o.attention_activation})));
        }
        return interplay::nn::MultiHeadTargetAttention(register_module(
            name + place, interplay::nn::MultiHeadTargetAttention(o.embedding_dim, entry, o.attention_dim, o.heads)));
      };
      Searched h{of};
      h.query =
          register_module("search_query" + place, interplay::nn::xavier_linear(o.embedding_dim, o.search_dim, false));
      h.key = register_module("search_key" + place, interplay::nn::xavier_linear(o.embedding_dim, o.search_dim, false));
      h.long_term = attention("long_term");
      if (short_length_ > 0) h.short_term = attention("short_term");
      search_width += entry;
      width += short_length_ > 0 ? 2 * entry : entry;
      histories_.push_back(std::move(h));
    }
    mlp_ = register_module("mlp", interplay::nn::Mlp(width, o.mlp));
    auto of_search = o.mlp;
    of_search.hidden = o.search_hidden;
    search_mlp_ = register_module("search_mlp", interplay::nn::Mlp(search_width, of_search));
  }

  interplay::Output forward(const interplay::Features& x) override {
    const auto [found, searched] = read(x);
    interplay::Output out(mlp_(found).squeeze(1));  // [B]
    if (search_weight_ > 0 && is_training())
      out.terms.push_back({.name = "search", .logit = search_mlp_(searched).squeeze(1), .scale = search_weight_});
    return out;
  }

  at::Tensor represent(const interplay::Features& x) override { return mlp_->hidden(read(x).found); }  // [B, H]
  at::Tensor output(const at::Tensor& hidden) override { return mlp_->output(hidden).squeeze(1); }     // [B]
  int64_t representation_width() const override { return mlp_->hidden_width(); }

 private:
  struct Read {
    at::Tensor found, searched;  // what the model's own logit is made of, and what the search's is
  };

  Read read(const interplay::Features& x) {
    std::vector<at::Tensor> parts, search_parts;
    if (fields_->count() > 0) parts.push_back(fields_(x).flat());  // [B, W]
    search_parts = parts;
    for (auto& h : histories_) {
      const auto target = fields_->field(x, h.of.target);               // [B, K]
      const auto entries = fields_->sequence(x, h.of);                  // [N, E]
      const auto items = entries.vectors.narrow(1, 0, target.size(1));  // [N, K]
      const auto score = (interplay::nn::row_linear(target, h.query).index_select(0, entries.row) *
                          interplay::nn::row_linear(items, h.key))
                             .sum(1);  // [N]
      const auto sum = at::zeros({entries.batch(), entries.vectors.size(1)}, target.options());
      search_parts.push_back(sum.index_add(0, entries.row, score.unsqueeze(1) * entries.vectors));  // [B, E]
      parts.push_back(h.long_term(target, interplay::nn::top_entries(entries, score.detach(), top_k_)));
      if (h.short_term) parts.push_back(h.short_term(target, interplay::nn::last_entries(entries, short_length_)));
    }
    return {at::cat(parts, 1), search_weight_ > 0 && is_training() ? at::cat(search_parts, 1) : at::Tensor()};
  }

  /// Of the candidates f32 [B, K] over their entries [N, E] -> f32 [B, E]
  using Attention = std::function<at::Tensor(const at::Tensor&, const interplay::nn::SequenceVectors&)>;
  struct Searched {
    interplay::History of;
    torch::nn::Linear query{nullptr}, key{nullptr};
    Attention long_term{}, short_term{};
  };

  interplay::FieldEmbedding fields_{nullptr};
  std::vector<Searched> histories_;
  interplay::nn::Mlp mlp_{nullptr}, search_mlp_{nullptr};
  int64_t top_k_, short_length_;
  double search_weight_;
};

INTERPLAY_REGISTER_MODEL("sim", Sim, "search of each history by its candidate, attention over what is found + MLP");

}  // namespace
