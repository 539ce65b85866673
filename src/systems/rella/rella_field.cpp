// `kind: rella` of a data.yaml: the prompts of model `rella`, made of a row and of its user's past.
#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/with_place.h>
#include <interplay/data/field_kind.h>
#include <interplay/lm/chat.h>
#include <interplay/lm/tokenizer.h>

#include "systems/lab/find_past.h"
#include "systems/lab/item_vectors.h"
#include "systems/rella/rella_text.h"

namespace interplay {
namespace {

/// A text of a chat: the events of a history, the last ones or those nearest to the row's item, and the question.
/// Its events are list columns of its own, `NAME:COLUMN`, which prepare() and EventHistory make.
class RellaField final : public FieldSource {
 public:
  struct Options : KindOptions {
    std::string lm, history, retrieved, order = "time", item;
    int64_t length = 10, history_length = 0, max_tokens = 0;
    bool vectors = false;
    std::vector<SideOptions> side;
    RellaOptions::Prompt prompt;
    void visit(auto&& field) {
      KindOptions::visit(field);
      field("lm", lm, "language model whose tokens they are: a fetched name or a path");
      field("history", history, "field of kind history, whose events these are");
      field("length", length, "events that a prompt tells", Range{1, 1e6});
      field("retrieved", retrieved, "what `interplay lm retrieve` wrote: the nearest events; without it the last ones");
      field("order", order, "of the nearest events: time, or similarity, the nearest first",
            OneOf{{"time", "similarity"}});
      field("max_tokens", max_tokens,
            "of a prompt at most; from a longer one whole events are left out, those first that tell least: the "
            "earliest or, in order of similarity, the farthest. 0 = any number",
            Range{0, 1e9});
      field(
          "vectors", vectors,
          "with places for vectors of items (prompt: {vector}), and the events that prompts are made of as a sequence "
          "NAME_items with those of `side`: for model rellax");
      field("item", item, "with vectors: raw column of the items");
      field("history_length", history_length, "with vectors: events of these sequences, where more than length",
            Range{0, 1e6});
      field("side", side, "with vectors: more columns of these events, as paired sequences");
      field("prompt", prompt, "what the language model is asked");
    }
  };

  RellaField(const FieldContext& context, const Options& options)
      : o_(options),
        context_(context),
        tokenizer_(o_.lm, context.at["lm"]),
        text_((check(), o_.prompt), context.at["prompt"]) {
    if (o_.vectors && !text_.has_vectors())
      context_.at["prompt"].fail(
          "says nowhere where vectors go: write {vector} into event and user, or leave `vectors` out");
  }

  std::vector<DeclaredField> fields() const override {
    DeclaredField d;
    d.field.name = o_.name;
    d.field.kind = FieldKind::text;
    if (o_.vectors) d.field.dimension = 1 + most();  // the row's own, and each event's
    std::vector<DeclaredField> out{d};
    if (!o_.vectors) return out;
    out.push_back(sequence(o_.name + "_items", o_.item, "mean"));
    out.back().is_history_of_item = true;
    for (const SideOptions& side : o_.side) {
      out.push_back(sequence(side.name, side.column, side.pooling));
      out.back().field.paired_with = o_.name + "_items";
      out.back().share = side.share;
    }
    return out;
  }
  Config resolved() const override { return write_options(o_); }

  void link(std::span<const Field> fields, std::span<const PastEvents> past) override {
    events_ = find_past(past, o_.history, context_.at["history"]);
    if (o_.retrieved.empty())
      events_.max_length = events_.max_length > 0 ? std::min(events_.max_length, most()) : most();
    events_.min_length = 0;
    events_.sides.clear();
    events_.name = list_name(events_.item);
    item_ = cell_of(events_.item, fields);
    for (const auto& name : text_.row_names()) row_.emplace(name, cell_of(name, fields));
    for (const auto& name : text_.event_names()) {
      const CellOf cell = event_.emplace(name, cell_of(name, fields)).first->second;
      add_list(cell.column);
    }
    for (const SideOptions& side : o_.side) add_list(side.column);
    if (o_.vectors && o_.item != events_.item)
      context_.at["item"].fail(
          fmt::format("'{}' is not what the history '{}' remembers; expected {}", o_.item, o_.history, events_.item));
    linked_ = true;
  }

  std::vector<PastEvents> past() const override {
    return linked_ ? std::vector<PastEvents>{events_} : std::vector<PastEvents>();
  }

  std::vector<std::string> columns(const Field&) const override {
    std::vector<std::string> out = row_columns();
    for (auto& list : events_.lists()) out.push_back(std::move(list));
    return out;
  }

  void derive(RawBatch& rows, const Refuse& refuse) const override {
    for (const auto& name : row_columns()) {
      const RawColumn& column = rows.column(name);
      INTERPLAY_CHECK_DATA(!column.is_list(), "{}: column '{}' holds lists, but the prompt '{}' reads one value a row",
                           rows.place(0), name, o_.name);
      for (int64_t r = 0; r < rows.rows; ++r) check_cell(column, r, r, refuse);
    }
    for (const auto& name : events_.lists()) {
      const RawColumn* const column = rows.find(name);
      INTERPLAY_CHECK_DATA(column && column->is_list(),
                           "{}: there is no list '{}'; raw rows carry the events that the prompt '{}' tells, or "
                           "`predict --history EVENTS` derives them",
                           rows.place(0), name, o_.name);
      for (int64_t r = 0; r < rows.rows; ++r) {
        for (int64_t c = column->list_offsets[r]; c < column->list_offsets[r + 1]; ++c)
          check_cell(*column, r, c, refuse);
      }
    }
    if (o_.vectors) derive_sequences(rows);
  }

  TokenSpace token_space() const override {
    const Loaded& loaded = this->loaded();
    std::string said = fmt::format("{}\n{}\n{}\n{}\n{}", write_options(o_.prompt).yaml(), o_.length, o_.order,
                                   loaded.frame.default_system(), loaded.checksum);
    if (o_.vectors || o_.max_tokens > 0)
      said += fmt::format("\n{}\n{}\n{}", o_.vectors, o_.history_length, o_.max_tokens);
    const int64_t vectors = fields().front().field.dimension;
    return {tokenizer_->size() + vectors, fmt::format("{:016x}", hash64(said, tokenizer_.checksum()))};
  }

  void tokens(const Field&, const RawBatch& rows, std::span<const int32_t> wanted,
              EncodedBatch::Text& out) const override {
    const Loaded& loaded = this->loaded();
    const auto lm_tokens = [&](int32_t row) {
      const Events events = events_of(rows, row, loaded);
      auto told = events.told;
      return fit_prompt(told, o_.order == "similarity", o_.max_tokens, [&](std::span<const uint32_t> places) {
        std::vector<int64_t> vectors;
        for (const uint32_t place : places) vectors.push_back(events.number(place));
        const auto messages = text_.messages(
            places.size(), [&](std::string_view name) { return cell(rows, row_.find(name)->second, row); },
            [&](size_t i, std::string_view name) {
              const CellOf& at = event_.find(name)->second;
              const RawColumn& list = rows.column(list_name(at.column));
              return cell(list, at, list.list_offsets[row] + places[i]);
            },
            o_.vectors ? &vectors : nullptr);
        return encode_prompt(loaded.frame, *tokenizer_, messages);
      });
    };
    for (const int32_t row : wanted) {
      for (const int64_t id : with_place(rows.place(row), [&] { return lm_tokens(row); }))
        out.ids.push_back(int32_t(id));
      out.columns.resize(out.ids.size(), -1);
      out.offsets.push_back(int64_t(out.ids.size()));
    }
  }

 private:
  struct CellOf {
    std::string column, first_of;
  };
  struct Loaded {
    lm::ChatFrame frame;
    ItemVectors items;
    std::string checksum;  // of their file
  };

  void check() const {
    for (const auto& [key, value] : {std::pair{"name", o_.name}, {"lm", o_.lm}, {"history", o_.history}}) {
      if (value.empty()) context_.at[key].fail("missing; a prompt needs name, lm, history and prompt");
    }
    if (!o_.vectors) return;
    if (o_.item.empty()) context_.at["item"].fail("missing; with vectors, which raw column names the items?");
    for (const SideOptions& side : o_.side) {
      if (side.column.empty() || side.name.empty()) context_.at["side"].fail("each side needs a column and a name");
    }
  }

  /// Events of a row that are looked at: those told, or with vectors those of the sequences.
  int64_t most() const { return o_.vectors ? std::max(o_.length, o_.history_length) : o_.length; }

  DeclaredField sequence(const std::string& name, const std::string& column, const std::string& pooling) const {
    DeclaredField d;
    d.field.name = d.encoding.column = name;
    d.field.kind = FieldKind::sequence;
    d.field.max_length = most();
    d.field.pooling = pooling;
    d.share_item = column;
    return d;
  }

  void add_list(const std::string& column) {
    const std::string list = list_name(column);
    const auto known = events_.lists();
    if (std::find(known.begin(), known.end(), list) == known.end()) events_.sides.push_back({column, list});
  }

  std::string list_name(const std::string& column) const { return o_.name + ":" + column; }

  /// What a text calls a categorical field, or else a raw column.
  static CellOf cell_of(const std::string& name, std::span<const Field> fields) {
    for (const Field& field : fields) {
      if (field.name != name || field.kind != FieldKind::categorical) continue;
      FieldEncoding encoding;
      read_options(encoding, field.encoding);
      return {encoding.column, encoding.first_of};
    }
    return {name, ""};
  }

  std::vector<std::string> row_columns() const {
    std::vector<std::string> out;
    if (!o_.retrieved.empty()) out.push_back(item_.column);
    for (const auto& [name, at] : row_) {
      if (std::find(out.begin(), out.end(), at.column) == out.end()) out.push_back(at.column);
    }
    return out;
  }

  void check_cell(const RawColumn& column, int64_t row, int64_t cell, const Refuse& refuse) const {
    const auto bad = column.missing(cell) ? std::nullopt : lm::valid_utf8_before(column.cell(cell));
    if (bad)
      refuse(row, column.name, column.cell(cell).substr(0, *bad),
             fmt::format("is not UTF-8 from its byte {} on; convert it first", *bad));
  }

  std::string_view cell(const RawColumn& column, const CellOf& at, int64_t c) const {
    if (context_.missing(column, c)) return {};
    const std::string_view whole = column.cell(c);
    return at.first_of.empty() ? whole : whole.substr(0, whole.find(at.first_of));
  }
  std::string_view cell(const RawBatch& rows, const CellOf& at, int64_t row) const {
    return cell(rows.column(at.column), at, row);
  }

  /// Places in a row's lists of past events.
  struct Events {
    std::vector<uint32_t> told;      // by its prompt, in order
    std::vector<uint32_t> sequence;  // of NAME_items, in time

    /// Of the vector of an event: from 1 by its place in the sequence; -1: it is not there.
    int64_t number(uint32_t place) const { return vector_number<uint32_t>(sequence, place); }
  };

  Events events_of(const RawBatch& rows, int32_t row, const Loaded& loaded) const {
    const RawColumn& list = rows.column(events_.name);
    const int64_t begin = list.list_offsets[row], count = list.list_offsets[row + 1] - begin;
    Events out;
    std::vector<uint32_t> all;  // the nearest or the last ones
    if (o_.retrieved.empty()) {
      for (int64_t i = std::max<int64_t>(0, count - most()); i < count; ++i) all.push_back(uint32_t(i));
      out.told.assign(all.end() - std::min(o_.length, int64_t(all.size())), all.end());
    } else {
      std::vector<int64_t> past;
      for (int64_t i = 0; i < count; ++i) past.push_back(loaded.items.find(cell(list, item_, begin + i)));
      all = loaded.items.nearest(loaded.items.find(cell(rows, item_, row)), past, most());
      out.told.assign(all.begin(), all.begin() + std::min(o_.length, int64_t(all.size())));
      std::sort(all.begin(), all.end());
      if (o_.order == "time") std::sort(out.told.begin(), out.told.end());
    }
    for (const uint32_t place : all) {
      if (!cell(list, item_, begin + place).empty()) out.sequence.push_back(place);
    }
    return out;
  }

  void derive_sequences(RawBatch& rows) const {
    const Loaded& loaded = this->loaded();
    std::vector<std::pair<std::string, std::string>> columns{{o_.item, o_.name + "_items"}};
    for (const SideOptions& side : o_.side) columns.emplace_back(side.column, side.name);
    std::vector<std::vector<std::vector<std::string>>> cells(columns.size());
    for (int64_t r = 0; r < rows.rows; ++r) {
      const Events events = events_of(rows, int32_t(r), loaded);
      for (size_t c = 0; c < columns.size(); ++c) {
        const RawColumn& list = rows.column(list_name(columns[c].first));
        auto& of = cells[c].emplace_back();
        for (const uint32_t place : events.sequence) of.emplace_back(list.cell(list.list_offsets[r] + place));
      }
    }
    for (size_t c = 0; c < columns.size(); ++c)
      rows.columns.push_back(make_raw_list_column(columns[c].second, cells[c]));
  }

  /// What only whoever makes tokens needs.
  const Loaded& loaded() const {
    const std::lock_guard lock(mutex_);
    if (loaded_) return *loaded_;
    Loaded made{lm::ChatFrame::load(tokenizer_.model()), {}, ""};
    if (!o_.retrieved.empty()) {
      try {
        made.items = ItemVectors::load(o_.retrieved);
      } catch (const Error& problem) {
        context_.at["retrieved"].fail(problem.what());
      }
      made.checksum = fmt::format("{:016x}", hash64_file(o_.retrieved));
    }
    return loaded_.emplace(std::move(made));
  }

  Options o_;
  FieldContext context_;
  lm::NamedTokenizer tokenizer_;
  RellaText text_;
  PastEvents events_;
  CellOf item_;
  std::map<std::string, CellOf, std::less<>> row_, event_;
  bool linked_ = false;
  mutable std::mutex mutex_;
  mutable std::optional<Loaded> loaded_;  // guarded by mutex_ until it is there
};

INTERPLAY_REGISTER(field_kinds(), "rella", RellaField,
                   "a prompt of model `rella`: a row's past events, and a question");

}  // namespace
}  // namespace interplay
