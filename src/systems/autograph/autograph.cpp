// AutoGraph's vectors as further fields of a row.
#include <map>
#include <mutex>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/core/augmenter.h>
#include <interplay/core/field_embedding.h>
#include <interplay/core/vector_table.h>

#include "systems/autograph/graph_files.h"
#include "systems/autograph/metapath.h"
#include "systems/autograph/row_edges.h"

namespace interplay::autograph {
namespace {

/// The values of one field as nodes: what the graph's file says of each row of its table, as numbers in a float table
/// that is saved with the weights.
class Nodes {
 public:
  Nodes(const Schema& schema, const GraphOption::Side& side, const VectorSource& source)
      : side_(side), table_(schema, side.field, source) {
    const at::Tensor& rows = table_->vectors();  // [rows, 1 + M]: id, codes
    INTERPLAY_CHECK_DATA(rows.size(1) == 1 + side.books, "{}: {} numbers a value; expected its id and {} codes",
                         source.from, rows.size(1), side.books);
    const auto own = at::arange(rows.size(0)).to(at::kFloat);
    const auto right = table_->has().logical_not().logical_or(rows.select(1, 0).eq(own));
    if (!right.all().item<bool>()) {
      const auto first = right.logical_not().nonzero()[0][0].item<int64_t>();
      INTERPLAY_CHECK_DATA(false,
                           "{}: a value of '{}' has id {} there and {} in these data; the graph was built of other "
                           "data, build it of these",
                           source.from, side.field, rows[first][0].item<double>(), first);
    }
    const auto codes = rows.slice(1, 1);
    INTERPLAY_CHECK_DATA(codes.ge(0).all().item<bool>() && codes.lt(double(side.codes)).all().item<bool>(),
                         "{}: has a code outside 0 .. {}", source.from, side.codes - 1);
  }
  const VectorTable& table() const { return table_; }
  int64_t rows() const { return table_->vectors().size(0); }
  MetapathImpl::Kind kind() const { return {table_->table(), rows(), side_.factors()}; }
  /// i64 [rows, M] of factor nodes, -1 where a value has none.
  at::Tensor factors() const {
    const auto codes = table_->vectors().slice(1, 1).to(at::kLong);
    const auto of_book = at::arange(side_.books, codes.options()) * side_.codes;
    return (codes + of_book).masked_fill(table_->has().logical_not().unsqueeze(1), -1);
  }

 private:
  GraphOption::Side side_;
  VectorTable table_;
};

/// What learns is two sides, each with tables and attention of its own. While it learns, the whole graph is gone
/// through at every step; in evaluation once, until weights have changed.
class AutoGraph final : public Augmenter {
 public:
  struct Options : MetapathOptions {
    GraphOption from;
    std::string side = "both", history;
    int64_t members = 15, history_length = 15, seed = 42;
    void visit(auto&& field) {
      field("from", from, "directory that `interplay graph build` wrote");
      field("side", side, "whose vectors: one of the row's user, of its item, or of each",
            OneOf{{"both", "user", "item"}});
      field("history", history, "sequence with the items that the user clicked; by default the item's first history");
      field("members", members, "of a factor node, whose vectors it reads: drawn by seed", Range{1, 1e6});
      field("history_length", history_length,
            "items of the history that the user's node reads: while it learns drawn anew, else the last ones",
            Range{1, 1e6});
      field("seed", seed, "of the draw of members");
      MetapathOptions::visit(field);
    }
    void check(const Config& config) const {
      if (!from.given()) config["from"].fail("missing; expected a directory that `interplay graph build` wrote");
    }
  };

  AutoGraph(const Schema& schema, int64_t width, const Options& o)
      : o_(o),
        user_(o.from.sizes().users.field),
        item_(schema.field(o.from.sizes().items.field)),
        users_(schema, o.from.sizes().users, o.from.source(kUsersFile)),
        items_(schema, o.from.sizes().items, o.from.source(kItemsFile)),
        neighbours_(schema, item_.name, o.from.source(kNeighboursFile)) {
    register_module("users", users_.table());
    register_module("items", items_.table());
    register_module("neighbours", neighbours_);
    user_column_ = schema.field(user_).column;
    if (reads_user()) {
      history_ = history_of(schema);
      user_path_ = register_module("user", Metapath(users_.kind(), items_.kind(), width, o));
    }
    if (reads_item()) item_path_ = register_module("item", Metapath(items_.kind(), users_.kind(), width, o));
    width_ = width;
  }

  at::Tensor augment(const Features& x) override {
    std::vector<at::Tensor> out;
    const bool keep = !is_training() && !at::GradMode::is_enabled();
    const auto whole = keep ? kept() : std::make_shared<const Whole>(make(/*outputs=*/false));
    if (user_path_) {
      const auto rows = x.ids.select(1, user_column_).to(at::kLong);
      const auto past = row_items(x.sequences[size_t(history_.column)], o_.history_length, is_training());
      out.push_back(user_path_->output(user_path_->attend(whole->of_user, rows, past.to(rows.device()))));
    }
    if (item_path_) {
      const auto rows = x.ids.select(1, item_.column).to(at::kLong);
      out.push_back(whole->items.defined()
                        ? whole->items.index_select(0, rows)
                        : item_path_->output(item_path_->attend(whole->of_item, rows, clicked_by(x, rows))));
    }
    return at::stack(out, 1);  // [B, n, K]
  }
  int64_t count() const override { return int64_t(reads_user()) + int64_t(reads_item()); }
  int64_t width() const override { return width_; }
  std::vector<std::string> reads() const override {
    std::vector<std::string> out;
    if (reads_user()) out = {user_, history_.name};
    if (reads_item()) out.push_back(item_.name);
    return out;
  }
  void train(bool on = true) override {
    Augmenter::train(on);
    const std::lock_guard lock(mutex_);
    kept_.reset();
  }

 private:
  /// What does not depend on rows.
  struct Whole {
    MetapathImpl::Nodes of_user, of_item;
    at::Tensor items;  // f32 [rows, K]: every item's vector, where asked for
    int64_t version = 0;
  };

  bool reads_user() const { return o_.side != "item"; }
  bool reads_item() const { return o_.side != "user"; }

  Field history_of(const Schema& schema) const {
    if (!o_.history.empty()) {
      const Field& f = schema.field(o_.history);
      INTERPLAY_CHECK(f.kind == FieldKind::sequence && f.table == item_.table,
                      "autograph: history '{}' is no sequence of values of '{}'", f.name, item_.name);
      return f;
    }
    for (const auto& h : histories_of(schema)) {
      const Field& f = schema.field(h.sequences.front());
      if (f.table == item_.table) return f;
    }
    throw Error(
        fmt::format("autograph: no history of '{}' among the fields; name one (history: FIELD), or say `side: "
                    "item`",
                    item_.name));
  }

  /// Users of each row's item, i64 [B, L]; -1: none. While it learns, a row's own click is not among them.
  at::Tensor clicked_by(const Features& x, const at::Tensor& items) const {
    const auto users = neighbours_->vectors().index_select(0, items).to(at::kLong);
    const auto none = users.le(0).logical_or(users.ge(users_.rows()));
    const auto all = users.masked_fill(none, -1);
    return is_training() ? without_a_click(all, x.ids.select(1, user_column_).to(at::kLong)) : all;
  }

  Whole make(bool outputs) {
    const auto coded = [&](const Nodes& nodes) {
      const auto factors = nodes.factors();
      return CodedNodes{factors, members(nodes, factors)};
    };
    const CodedNodes users = coded(users_), items = coded(items_);
    Whole out;
    if (user_path_) out.of_user = user_path_->nodes(users, items);
    if (item_path_) out.of_item = item_path_->nodes(items, users);
    if (!outputs || !item_path_) return out;
    const auto all = at::arange(items_.rows(), users.codes.options());
    out.items = item_path_->output(item_path_->attend(out.of_item, all, clicked_by({}, all)));
    return out;
  }

  /// Drawn when they are first asked for: a run's codes come with its weights.
  at::Tensor members(const Nodes& nodes, const at::Tensor& factors) {
    const auto& table = nodes.table()->vectors();
    const std::lock_guard lock(mutex_);
    Members& m = members_[&nodes];
    if (!m.lists.defined() || m.version != table._version() || m.lists.device() != table.device()) {
      m.lists = CodedNodes::draw_members(factors.cpu(), nodes.kind().factors, o_.members, uint64_t(o_.seed))
                    .to(table.device());
      m.version = table._version();
    }
    return m.lists;
  }

  /// Of all that decides what make() gives.
  int64_t version() const {
    int64_t sum = 0;
    for (const auto& p : parameters()) sum += int64_t(p._version());
    for (const auto& b : buffers()) sum += int64_t(b._version());
    return sum;
  }

  std::shared_ptr<const Whole> kept() {
    const int64_t now = version();
    const std::lock_guard making(making_);  // once, while others wait
    {
      const std::lock_guard lock(mutex_);
      if (kept_ && kept_->version == now) return kept_;
    }
    auto made = std::make_shared<Whole>(make(/*outputs=*/true));
    made->version = now;
    const std::lock_guard lock(mutex_);
    kept_ = made;
    return made;
  }

  struct Members {
    at::Tensor lists;
    int64_t version = 0;
  };

  Options o_;
  std::string user_;
  Field item_, history_;
  int64_t user_column_ = 0, width_ = 0;
  Nodes users_, items_;
  VectorTable neighbours_;
  Metapath user_path_{nullptr}, item_path_{nullptr};
  std::mutex making_, mutex_;
  std::shared_ptr<const Whole> kept_;        // guarded by mutex_
  std::map<const Nodes*, Members> members_;  // guarded by mutex_
};

INTERPLAY_REGISTER_AUGMENTER("autograph", AutoGraph,
                             "what a graph of clicks and of quantised vectors says of a row's user and item");

}  // namespace
}  // namespace interplay::autograph
