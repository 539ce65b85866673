#include <interplay/data/field_kind.h>

namespace interplay {
namespace {

/// A cell, or a list, holds so many numbers.
class NumberVector final : public FieldSource {
 public:
  struct Options : ColumnOptions {
    std::string separator;
    int64_t dimension = 0;
    void visit(auto&& field) {
      ColumnOptions::visit(field);
      field("separator", separator, "between the entries of a cell");
      field("dimension", dimension, "how many numbers", Range{1, 1e6});
    }
  };
  NumberVector(const FieldContext& context, const Options& options) : o_(options), separator_(context.separator) {
    o_.spell_out(context.at);
    if (!o_.separator.empty()) separator_ = o_.separator;
    if (o_.dimension < 1) context.at.fail("a vector needs its `dimension`, how many numbers it has");
  }

  std::vector<DeclaredField> fields() const override {
    std::vector<DeclaredField> out;
    for (const auto& column : o_.columns) {
      DeclaredField& d = out.emplace_back(o_.declare(column, FieldKind::vector));
      d.field.dimension = o_.dimension;
      d.encoding.separator = separator_;
    }
    return out;
  }
  Config resolved() const override { return write_options(o_); }

 private:
  Options o_;
  std::string separator_;
};

INTERPLAY_REGISTER(field_kinds(), "vector", NumberVector, "so many numbers, as an image's");

}  // namespace
}  // namespace interplay
