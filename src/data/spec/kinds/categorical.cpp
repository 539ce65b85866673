#include <interplay/data/field_kind.h>

namespace interplay {
namespace {

/// A cell is a token, which has an id in a table.
class Categorical final : public FieldSource {
 public:
  struct Options : ColumnOptions {
    std::optional<int64_t> min_count;
    int64_t hash_buckets = 0;
    std::string share, catalogue, first_of;
    void visit(auto&& field) {
      ColumnOptions::visit(field);
      field("min_count", min_count, "tokens seen less often become the unseen id", Range{1, 1e18});
      field("hash_buckets", hash_buckets, "ids by hash instead of a vocabulary, this many", Range{0, 2147483640});
      field("share", share, "field whose table this one reads");
      field("catalogue", catalogue, kCatalogueHelp);
      field("first_of", first_of, "cells hold several tokens with this between them; the field is the first one");
    }
  };
  Categorical(const FieldContext& context, const Options& options) : o_(options) { o_.spell_out(context.at); }

  std::vector<DeclaredField> fields() const override {
    std::vector<DeclaredField> out;
    for (const auto& column : o_.columns) {
      DeclaredField& d = out.emplace_back(o_.declare(column, FieldKind::categorical));
      d.encoding.first_of = o_.first_of;
      d.encoding.values.hash_buckets = o_.hash_buckets;
      d.share = o_.share;
      d.min_count = o_.min_count;
      d.catalogue = o_.catalogue;
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
