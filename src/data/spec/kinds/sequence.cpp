#include <interplay/data/field_kind.h>

namespace interplay {
namespace {

/// A cell, or a list, holds any number of tokens of a table.
class TokenSequence final : public FieldSource {
 public:
  struct Options : ColumnOptions {
    TableOptions table;
    int64_t max_length = 0;
    std::string separator, weights, paired, target, pooling = "mean";
    void visit(auto&& field) {
      ColumnOptions::visit(field);
      table.visit(field);
      field("separator", separator, "between the entries of a cell");
      field("weights", weights, "column with the weights of the entries");
      field("paired", paired, "sequence whose i-th entry belongs to this one's i-th");
      field("target", target, "field this is a history of");
      field("max_length", max_length, "entries kept, the last ones; 0 = all", Range{0, 1e9});
      field("pooling", pooling, "how a model makes one vector of it", OneOf{{"mean", "sum"}});
    }
  };
  TokenSequence(const FieldContext& context, const Options& options) : o_(options), separator_(context.separator) {
    o_.spell_out(context.at);
    if (!o_.separator.empty()) separator_ = o_.separator;
    if (!o_.weights.empty() && !o_.paired.empty())
      context.at["weights"].fail("a paired sequence has its leader's weights; leave it out");
  }

  std::vector<DeclaredField> fields() const override {
    std::vector<DeclaredField> out;
    for (const auto& column : o_.columns) {
      DeclaredField& d = out.emplace_back(o_.declare(column, FieldKind::sequence));
      d.field.max_length = o_.max_length;
      d.field.pooling = o_.pooling;
      d.field.target = o_.target;
      d.field.paired_with = o_.paired;
      d.field.weighted = !o_.weights.empty();
      d.encoding.separator = separator_;
      d.encoding.weights = o_.weights;
      o_.table.declare(d);
    }
    return out;
  }
  Config resolved() const override { return write_options(o_); }

 private:
  Options o_;
  std::string separator_;
};

INTERPLAY_REGISTER(field_kinds(), "sequence", TokenSequence, "any number of tokens of a table");

}  // namespace
}  // namespace interplay
