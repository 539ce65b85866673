#include <ATen/ATen.h>

#include <interplay/core/augmenter.h>
#include <interplay/core/vector_table.h>
#include <interplay/nn/mlp.h>

namespace interplay {
namespace {

/// Vectors by key, such as those of items' titles, through an adaptor: a linear map, or an MLP. The vector of a
/// sequence is that of its entries, pooled as the field is, so that a user's history and the candidate lie in one
/// space.
class TextVectors final : public Augmenter {
 public:
  struct Options {
    VectorSource source;
    std::vector<std::string> fields;
    std::vector<int64_t> hidden;
    std::string activation = "relu";
    double dropout = 0;
    void visit(auto&& field) {
      source.visit(field);
      field("fields", fields, "whose values are the keys; each is a further field of a row, all by one adaptor");
      field("hidden", hidden, "widths of the adaptor's hidden layers; none: a linear map", Range{1, 1e6});
      field("activation", activation, "of the hidden layers", OneOf{nn::activation_names()});
      field("dropout", dropout, "drop rate after each hidden layer", Range{0, 0.99});
    }
    void check(const Config& config) const {
      if (source.from.empty()) config["from"].fail("missing; expected a file with vectors by key");
      if (fields.empty()) config["fields"].fail("missing; expected the fields whose values are the keys, as [item_id]");
    }
  };

  TextVectors(const Schema& schema, int64_t width, const Options& o) : names_(o.fields), width_(width) {
    for (const auto& name : o.fields) {
      const Field& f = schema.field(name);
      const Field& first = schema.field(o.fields.front());
      INTERPLAY_CHECK(f.table == first.table && !f.table.empty(),
                      "text_vectors: fields '{}' and '{}' do not read the same table of tokens; give each an entry of "
                      "fields.augment",
                      first.name, f.name);
      fields_.push_back(f);
    }
    vectors_ = register_module("vectors", VectorTable(schema, o.fields.front(), o.source));
    nn::MlpOptions adaptor{.hidden = o.hidden, .dropout = o.dropout, .activation = o.activation, .output = width};
    adaptor_ = register_module("adaptor", nn::Mlp(vectors_->width(), adaptor));
  }

  at::Tensor augment(const Features& x) override {
    std::vector<at::Tensor> parts;  // one by one: the steps of a compiled scorer keep to the rows of a batch
    for (const auto& f : fields_) parts.push_back(adaptor_(vectors_->field(x, f)));  // [B, K]
    return at::stack(parts, 1);                                                      // [B, n, K]
  }
  int64_t count() const override { return int64_t(fields_.size()); }
  int64_t width() const override { return width_; }
  std::vector<std::string> reads() const override { return names_; }

 private:
  std::vector<std::string> names_;
  std::vector<Field> fields_;
  int64_t width_;
  VectorTable vectors_{nullptr};
  nn::Mlp adaptor_{nullptr};
};

INTERPLAY_REGISTER_AUGMENTER("text_vectors", TextVectors, "vectors by key, as of items' texts, through an adaptor");

}  // namespace
}  // namespace interplay
