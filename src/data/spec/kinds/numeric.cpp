#include <interplay/data/field_kind.h>
#include <interplay/data/transform.h>

namespace interplay {
namespace {

/// A cell is a number: one that a model multiplies by, or, bucketed, one that has an id in a table.
class Numeric final : public FieldSource {
 public:
  struct Options : ColumnOptions {
    TransformOption transform;
    std::optional<double> missing;
    std::optional<int64_t> min_count;
    void visit(auto&& field) {
      ColumnOptions::visit(field);
      field("transform", transform, "what is done to the number", OneOf{transforms().names()});
      field("missing", missing, "takes the place of a missing number");
      if (makes_buckets()) {
        field("min_count", min_count, "buckets seen less often become the unseen id", Range{1, 1e18});
      }
    }
    bool makes_buckets() const {
      const Config config = transform.write_option();
      const Config name = config.is_map() ? config["name"] : config;
      return transforms().has(name.as<std::string>()) && transform.make()->makes_buckets();
    }
  };
  Numeric(const FieldContext& context, const Options& options) : o_(options) { o_.spell_out(context.at); }

  std::vector<DeclaredField> fields() const override {
    std::vector<DeclaredField> out;
    for (const auto& column : o_.columns) {
      const FieldKind shape = o_.makes_buckets() ? FieldKind::categorical : FieldKind::numeric;
      DeclaredField& d = out.emplace_back(o_.declare(column, shape));
      d.encoding.values.transform = o_.transform.write_option();
      d.encoding.values.missing = o_.missing;
      d.min_count = o_.min_count;
    }
    return out;
  }
  Config resolved() const override { return write_options(o_); }

 private:
  Options o_;
};

INTERPLAY_REGISTER(field_kinds(), "numeric", Numeric, "a number, or with a transform that makes buckets a token");

}  // namespace
}  // namespace interplay
