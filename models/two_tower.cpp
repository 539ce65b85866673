// Two towers (Huang et al. 2013, DSSM; Yi et al. 2019 for how they are trained): what a row asks for, and its item, as
// vectors whose inner product ranks a catalogue.
#include <ATen/ATen.h>

#include <interplay/model.h>
#include <interplay/nn/sampled_softmax.h>

namespace {

/// Fields are either the item's or the query's; each side is an MLP over its embeddings, its result of length 1. The
/// logit is the inner product over the temperature. Trained by in-batch softmax over the positives of the first label
/// (term `softmax`), corrected by how often an item has been seen so far (logQ), which is kept in a buffer.
class TwoTower final : public interplay::Model, public interplay::Retriever {
 public:
  struct Options : interplay::EmbeddingOptions {
    int64_t output_dim = 64;
    std::string item;
    std::vector<std::string> item_fields;
    interplay::nn::MlpOptions mlp{.hidden = {128}};
    double temperature = 0.1;
    bool sampling_correction = true;
    Options() { init_std = 1e-2; }
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      field("output_dim", output_dim, "numbers of the vectors that are compared", interplay::Range{1, 4096});
      field("item", item, "field that says which item a row is of; by default the one that histories are of");
      field("item_fields", item_fields, "further fields of the item; all others are the query's");
      mlp.visit(field);
      field("temperature", temperature, "inner products are divided by it", interplay::Range{1e-6, 1e6});
      field("sampling_correction", sampling_correction,
            "in the softmax, items are corrected for how often they come up (logQ)");
    }
  };

  TwoTower(const interplay::Schema& schema, const Options& o)
      : item_(o.item.empty() ? item_of(schema) : o.item),
        label_(schema.labels().empty() ? "" : schema.labels().front()),
        temperature_(o.temperature),
        correct_(o.sampling_correction) {
    const interplay::Field& item = schema.field(item_);
    INTERPLAY_CHECK(item.kind == interplay::FieldKind::categorical,
                    "two_tower: model.item '{}' is {}; expected a categorical field", item_, to_string(item.kind));
    column_ = item.column;
    std::vector<std::string> of_item = o.item_fields, of_query;
    of_item.push_back(item_);
    for (const auto& name : o.item_fields) schema.field(name);
    for (const auto& f : schema.fields()) {
      if (std::find(of_item.begin(), of_item.end(), f.name) == of_item.end()) of_query.push_back(f.name);
    }
    INTERPLAY_CHECK(!of_query.empty(), "two_tower: every field is the item's; leave some for the query");
    auto mlp = o.mlp;
    mlp.output = o.output_dim;
    query_fields_ =
        register_module("query_fields", interplay::FieldEmbedding(schema, o, interplay::FieldChoice{.only = of_query}));
    item_fields_ =
        register_module("item_fields", interplay::FieldEmbedding(schema, o, interplay::FieldChoice{.only = of_item}));
    query_mlp_ = register_module("query", interplay::nn::Mlp(query_fields_->flat_width(), mlp));
    item_mlp_ = register_module("item", interplay::nn::Mlp(item_fields_->flat_width(), mlp));
    seen_ = register_buffer("seen", at::zeros({item.rows}, at::kLong));
  }

  interplay::Output forward(const interplay::Features& x) override {
    const auto q = queries(x), v = items(x);  // [B, K]
    if (!is_training()) return interplay::Output((q * v).sum(1) / temperature_);
    const auto id = x.ids.select(1, column_).to(at::kLong);
    interplay::Output out;
    out.terms.push_back({.name = "softmax",
                         .label = label_,
                         .value = interplay::nn::in_batch_softmax(q, v, id, temperature_, log_probability(id))});
    return out;
  }

  std::string item_field() const override { return item_; }
  at::Tensor queries(const interplay::Features& x) override { return unit(query_mlp_(query_fields_(x).flat())); }
  at::Tensor items(const interplay::Features& x) override { return unit(item_mlp_(item_fields_(x).flat())); }

 private:
  static std::string item_of(const interplay::Schema& schema) {
    const auto histories = interplay::histories_of(schema);
    INTERPLAY_CHECK(!histories.empty(),
                    "two_tower: which field says what a row's item is? Name it: model.item (fields: {})", [&] {
                      std::vector<std::string> names;
                      for (const auto& f : schema.fields()) names.push_back(f.name);
                      return fmt::format("{}", fmt::join(names, ", "));
                    }());
    return histories.front().target;
  }

  static at::Tensor unit(const at::Tensor& x) { return x / x.norm(2, 1, true).clamp_min(1e-12); }

  /// log of each row's item's share of all rows seen in training, this batch's among them.
  at::Tensor log_probability(const at::Tensor& id) {
    if (!correct_) return {};
    const at::NoGradGuard no_grad;
    seen_.index_add_(0, id, at::ones_like(id));
    const auto share = seen_.index_select(0, id).to(at::kDouble) / seen_.sum().to(at::kDouble);
    return share.log().to(at::kFloat);
  }

  std::string item_, label_;
  double temperature_;
  bool correct_;
  int64_t column_ = 0;
  interplay::FieldEmbedding query_fields_{nullptr}, item_fields_{nullptr};
  interplay::nn::Mlp query_mlp_{nullptr}, item_mlp_{nullptr};
  at::Tensor seen_;  // i64 [rows of the item's table]
};

INTERPLAY_REGISTER_MODEL("two_tower", TwoTower, "retrieval: query and item as vectors, trained by in-batch softmax");

}  // namespace
