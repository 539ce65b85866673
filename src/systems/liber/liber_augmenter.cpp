// Augmenter `liber`: what a language model said of a user's closed partitions, as further fields of any model.
#include <optional>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>
#include <interplay/core/augmenter.h>
#include <interplay/core/vector_table.h>
#include <interplay/nn/embedding.h>

#include "systems/liber/fusion.h"

namespace interplay {
namespace {

/// A row's partitions, the newest ones, become x_i = W v_i + r_i, v_i being the vectors of their texts and r_i of how
/// many came after; y = causal self-attention over x; z = attention of the row's item over y. z and the item, each
/// through hybrid experts, are two fields. Where nothing is closed yet z is a vector of its own that is learnt. The
/// vectors of texts never move.
class Liber final : public Augmenter {
 public:
  struct Options {
    VectorSource source, items;
    std::string partitions, item;
    int64_t most = 12, attention_dim = 64, heads = 2, item_dim = 16;
    bool shift = true, attention = true;
    nn::HybridExpertsImpl::Options experts;
    void visit(auto&& field) {
      source.visit(field);
      field("partitions", partitions, "field of kind partitions; by default the only one");
      field("item", item, "field of the item in question; by default the one that a history is of");
      field("items", items,
            "vectors of the items' texts, as `from:` of this one; without, the item's own is learnt alone");
      field("most", most, "partitions that are read, the newest ones", Range{1, 1024});
      field("shift", shift, "the vector of what changed is read too: the second half of a partition's");
      field("attention", attention, "what is said of each counts by the item in question; without, all count alike");
      field("attention_dim", attention_dim, "numbers of a partition and of an item as attention compares them",
            Range{1, 4096});
      field("heads", heads, "of the self-attention", Range{1, 256});
      field("item_dim", item_dim, "numbers that are learnt of each item for this; 0 = none", Range{0, 4096});
      field("expert_hidden", experts.hidden, "width of an expert's hidden layer", Range{1, 1e6});
      field("expert_dim", experts.out, "numbers of a field that is appended", Range{1, 4096});
      field("shared_experts", experts.shared, "experts that read both the history and the item", Range{0, 1024});
      field("own_experts", experts.own, "experts of each alone", Range{1, 1024});
    }
    void check(const Config& config) const {
      if (source.from.empty())
        config["from"].fail("missing; expected the vectors of the partitions that `interplay lm summarize` writes");
      if (attention_dim % heads != 0)
        config["heads"].fail(fmt::format("{} do not divide attention_dim {}", heads, attention_dim));
      if (items.from.empty() && item_dim == 0)
        config["item_dim"].fail("without vectors of items something of them has to be learnt; expected 1 or more");
    }
  };

  Liber(const Schema& schema, int64_t, const Options& o)
      : partitions_(schema.field(o.partitions.empty() ? partitions_of(schema) : o.partitions)),
        item_(schema.field(o.item.empty() ? item_of(schema) : o.item)),
        most_(o.most),
        out_(o.experts.out),
        attention_(o.attention) {
    INTERPLAY_CHECK(item_.kind == FieldKind::categorical, "liber: item '{}' is {}; expected a categorical field",
                    item_.name, to_string(item_.kind));
    INTERPLAY_CHECK(partitions_.kind == FieldKind::sequence && partitions_.given,
                    "liber: '{}' is no field of kind partitions", partitions_.name);
    vectors_ = register_module("vectors", VectorTable(schema, partitions_.name, o.source));
    read_ = o.shift ? vectors_->width() : vectors_->width() / 2;
    INTERPLAY_CHECK(o.shift || vectors_->width() % 2 == 0,
                    "liber: shift: false, but {} has vectors of {} numbers, which are no two halves", o.source.from,
                    vectors_->width());
    const int64_t K = o.attention_dim;
    partition_ = register_module("partition", torch::nn::Linear(read_, K));
    recency_ = register_parameter("recency", at::zeros({o.most, K}));
    torch::nn::init::normal_(recency_, 0, 0.02);
    if (o.attention) among_ = register_module("among", nn::CausalAttention(K, o.heads));
    nothing_ = register_parameter("nothing", at::zeros({K}));
    int64_t of_item = 0;
    if (!o.items.from.empty()) {
      items_ = register_module("items", VectorTable(schema, item_.name, o.items));
      of_item += items_->width();
    }
    if (o.item_dim > 0) {
      learnt_ = register_module("item", nn::Embedding(item_.rows, o.item_dim, 1e-2));
      of_item += o.item_dim;
    }
    query_ = register_module("query", torch::nn::Linear(of_item, K));
    auto experts = o.experts;
    experts.in = K;
    experts_ = register_module("experts", nn::HybridExperts(2, experts));
  }

  at::Tensor augment(const Features& x) override {
    std::vector<at::Tensor> item;
    const auto ids = x.ids.select(1, item_.column);
    if (items_) item.push_back(items_->forward(ids));
    if (learnt_) item.push_back(learnt_(ids));
    const auto q = query_(at::cat(item, 1));  // [B, K]
    return experts_->forward({interest(x, q), q});
  }
  int64_t count() const override { return 2; }
  int64_t width() const override { return out_; }
  std::vector<std::string> reads() const override { return {partitions_.name, item_.name}; }

 private:
  static std::string partitions_of(const Schema& schema) {
    std::vector<std::string> names;
    for (const Field* f : schema.of(FieldKind::sequence)) {
      if (f->given) names.push_back(f->name);
    }
    INTERPLAY_CHECK(
        names.size() == 1, "liber: which field says what a row's partitions are? Name it: partitions (such fields: {})",
        names.empty() ? "none; data.yaml has no entry of kind partitions" : fmt::format("{}", fmt::join(names, ", ")));
    return names.front();
  }
  static std::string item_of(const Schema& schema) {
    for (const Field* f : schema.of(FieldKind::sequence)) {
      if (!f->target.empty()) return f->target;
    }
    throw Error("liber: which field says what a row's item is? Name it: item");
  }

  /// z f32 [B, K]
  at::Tensor interest(const Features& x, const at::Tensor& q) {
    auto all = vectors_->sequence(x, partitions_);
    all.valid = vectors_->has().index_select(0, x.sequences[size_t(partitions_.column)].ids);
    const nn::PaddedSequence some = nn::pad(nn::last_entries(all, most_));
    const int64_t B = some.valid.size(0), T = most_, short_of = most_ - some.valid.size(1);
    const auto valid = at::constant_pad_nd(some.valid, {0, short_of});                         // [B, T]
    const auto v = at::constant_pad_nd(some.vectors.slice(2, 0, read_), {0, 0, 0, short_of});  // [B, T, D]
    const auto after = (some.lengths.unsqueeze(1) - 1 - at::arange(T)).clamp_min(0);           // [B, T]: 0 = the newest
    auto y = partition_(v) + recency_.index_select(0, after.flatten()).view({B, T, recency_.size(1)});
    if (attention_) y = among_(y, valid);
    const auto z = attention_ ? nn::attend(q, y, valid) : mean(y, valid);
    return at::where(some.lengths.gt(0).unsqueeze(1), z, nothing_.expand_as(z));
  }

  static at::Tensor mean(const at::Tensor& y, const at::Tensor& valid) {
    const auto counts = valid.to(y.scalar_type()).unsqueeze(2);  // [B, T, 1]
    return (y * counts).sum(1) / counts.sum(1).clamp_min(1);
  }

  Field partitions_, item_;
  int64_t most_, out_, read_ = 0;
  bool attention_;
  VectorTable vectors_{nullptr}, items_{nullptr};
  torch::nn::Linear partition_{nullptr}, query_{nullptr};
  nn::CausalAttention among_{nullptr};
  nn::HybridExperts experts_{nullptr};
  nn::Embedding learnt_{nullptr};
  at::Tensor recency_, nothing_;
};

INTERPLAY_REGISTER_AUGMENTER("liber", Liber, "a language model's summaries of a user's past partitions (LIBER)");

}  // namespace
}  // namespace interplay
