#include <interplay/data/field_kind.h>

namespace interplay {
namespace {

/// A cell is a token, which has an id in a table.
class Categorical final : public FieldSource {
 public:
  struct Options : ColumnOptions {
    TableOptions table;
    std::string first_of;
    void visit(auto&& field) {
      ColumnOptions::visit(field);
      table.visit(field);
      field("first_of", first_of, "cells hold several tokens with this between them; the field is the first one");
    }
  };
  Categorical(const FieldContext& context, const Options& options) : o_(options) { o_.spell_out(context.at); }

  std::vector<DeclaredField> fields() const override {
    std::vector<DeclaredField> out;
    for (const auto& column : o_.columns) {
      DeclaredField& d = out.emplace_back(o_.declare(column, FieldKind::categorical));
      d.encoding.first_of = o_.first_of;
      o_.table.declare(d);
    }
    return out;
  }
  Config resolved() const override { return write_options(o_); }

 private:
  Options o_;
};

INTERPLAY_REGISTER(field_kinds(), "categorical", Categorical, "a token of a table, or its hash");

}  // namespace
}  // namespace interplay
