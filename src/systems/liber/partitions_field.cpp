// `kind: partitions` of a data.yaml: which closed partitions of its user's history a row may see.
#include <algorithm>

#include <interplay/data/number.h>
#include <interplay/base/error.h>
#include <interplay/data/field_kind.h>
#include <interplay/systems/partitions.h>

#include "systems/lab/find_past.h"

namespace interplay {
namespace {

/// A sequence of the partitions that were closed by the events before a row, oldest first: those of a field of kind
/// history, all of them, whatever that field keeps.
class PartitionsField final : public FieldSource {
 public:
  struct Options : KindOptions {
    std::string history;
    PartitionRule rule;
    int64_t max_length = 12;
    void visit(auto&& field) {
      KindOptions::visit(field);
      field("history", history, "field of kind history, whose events these are");
      rule.visit(field);
      field("max_length", max_length, "partitions kept, the last ones; 0 = all", Range{0, 1e6});
    }
  };

  PartitionsField(const FieldContext& context, const Options& options) : o_(options), context_(context) {
    for (const auto& [key, value] : {std::pair{"name", o_.name}, {"history", o_.history}}) {
      if (value.empty()) context_.at[key].fail("missing; partitions need name and history");
    }
    o_.rule.check(context_.at);
  }

  std::vector<DeclaredField> fields() const override {
    DeclaredField d;
    d.field.name = d.encoding.column = o_.name;
    d.field.kind = FieldKind::sequence;
    d.field.max_length = o_.max_length;
    d.field.pooling = "mean";
    d.encoding.separator = "^";
    d.field.given = true;  // a language model says what they are
    d.min_count = 1;
    return {d};
  }
  Config resolved() const override { return write_options(o_); }

  void link(std::span<const Field>, std::span<const PastEvents> past) override {
    events_ = find_past(past, o_.history, context_.at["history"]);
    events_.max_length = events_.min_length = 0;
    events_.sides = {{events_.time, o_.name + ":" + events_.time}};
    events_.name = o_.name + ":" + events_.item;
    linked_ = true;
  }
  std::vector<PastEvents> past() const override {
    return linked_ ? std::vector<PastEvents>{events_} : std::vector<PastEvents>();
  }

  std::vector<std::string> columns(const Field&) const override {
    std::vector<std::string> out = events_.lists();
    out.push_back(events_.user);
    return out;
  }

  void derive(RawBatch& rows, const Refuse& refuse) const override {
    const RawColumn& user = rows.column(events_.user);
    const std::string& name = events_.sides.front().list;
    const RawColumn* const times = rows.find(name);
    INTERPLAY_CHECK_DATA(times && times->is_list(),
                         "{}: there is no list '{}'; raw rows carry when their users' events were, or "
                         "`predict --history EVENTS` derives it",
                         rows.place(0), name);
    std::vector<std::vector<std::string>> cells(size_t(rows.rows));
    for (int64_t r = 0; r < rows.rows; ++r) {
      if (context_.missing(user, r)) continue;
      const std::optional<int64_t> closed = closed_before(*times, r, refuse);
      if (!closed) continue;
      const int64_t first = o_.max_length > 0 ? std::max<int64_t>(0, *closed - o_.max_length) : 0;
      for (int64_t n = first; n < *closed; ++n) cells[size_t(r)].push_back(partition_key(user.cell(r), n + 1));
    }
    rows.columns.push_back(make_raw_list_column(o_.name, cells));
  }

 private:
  std::optional<int64_t> closed_before(const RawColumn& times, int64_t row, const Refuse& refuse) const {
    PartitionCuts cuts;
    for (int64_t c = times.list_offsets[row]; c < times.list_offsets[row + 1]; ++c) {
      double time = 0;
      const std::string_view cell = times.cell(c);
      if (o_.rule.pause > 0 && !parse_number(cell, time)) {
        refuse(row, times.name, cell, "is not a number; pauses between events are told by it");
        return std::nullopt;
      }
      cuts.next(o_.rule, time);
    }
    return cuts.closed();
  }

  Options o_;
  FieldContext context_;
  PastEvents events_;
  bool linked_ = false;
};

INTERPLAY_REGISTER(field_kinds(), "partitions", PartitionsField,
                   "the closed partitions of a user's history, by name: what LIBER tells a model of them");

}  // namespace
}  // namespace interplay
