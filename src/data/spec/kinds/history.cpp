#include <interplay/data/field_kind.h>

namespace interplay {
namespace {

/// The items of the events before a row, and what goes with them: sequences whose cells are made of other rows.
class History final : public FieldSource {
 public:
  struct Options : KindOptions {
    std::string user, item, time, ties = "before", pooling = "mean";
    int64_t max_length = 0, min_length = 0;
    std::optional<ThresholdOptions> filter;
    std::vector<SideOptions> side;
    void visit(auto&& field) {
      KindOptions::visit(field);
      field("max_length", max_length, "entries kept, the last ones; 0 = all", Range{0, 1e9});
      field("pooling", pooling, "how a model makes one vector of it", OneOf{{"mean", "sum"}});
      field("user", user, "column with whose history it is");
      field("item", item, "column with what is remembered");
      field("time", time, "column with when");
      field("ties", ties,
            "events of a row's own time: before: a history ends before that time; order: those of smaller items are "
            "in it, for times so coarse that whole sessions share one",
            OneOf{{"before", "order"}});
      field("filter", filter, "which events are remembered");
      field("min_length", min_length, "rows whose history has fewer entries are no samples, only events",
            Range{0, 1e9});
      field("side", side, "more columns of the past events, as paired sequences");
    }
  };
  History(const FieldContext& context, const Options& options) : o_(options) {
    for (const auto& [key, value] :
         {std::pair{"name", o_.name}, {"user", o_.user}, {"item", o_.item}, {"time", o_.time}}) {
      if (value.empty()) context.at[key].fail("missing; a history needs name, user, item and time");
    }
    if (o_.filter) o_.filter->check(context.at["filter"]);
    for (const SideOptions& side : o_.side) {
      if (side.column.empty() || side.name.empty()) context.at["side"].fail("each side needs a column and a name");
    }
  }

  std::vector<DeclaredField> fields() const override {
    std::vector<DeclaredField> out;
    DeclaredField& items = out.emplace_back(sequence(o_.name, o_.item, o_.pooling));
    items.is_history_of_item = true;
    for (const SideOptions& side : o_.side) {
      DeclaredField& d = out.emplace_back(sequence(side.name, side.column, side.pooling));
      d.field.paired_with = o_.name;
      d.share = side.share;
    }
    return out;
  }
  std::vector<PastEvents> past() const override {
    PastEvents out{o_.name, o_.user, o_.item, o_.time, o_.ties, o_.filter, o_.max_length, o_.min_length, {}};
    for (const SideOptions& side : o_.side) out.sides.push_back({side.column, side.name});
    return {out};
  }
  Config resolved() const override { return write_options(o_); }

 private:
  DeclaredField sequence(const std::string& name, const std::string& item, const std::string& pooling) const {
    DeclaredField d;
    d.field.name = d.encoding.column = name;
    d.field.kind = FieldKind::sequence;
    d.field.max_length = o_.max_length;
    d.field.pooling = pooling;
    d.encoding.separator = "^";
    d.encoding.history = true;
    d.share_item = item;
    return d;
  }

  Options o_;
};

INTERPLAY_REGISTER(field_kinds(), "history", History, "the items of the events before a row, and what goes with them");

}  // namespace
}  // namespace interplay
