#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/registry.h>
#include <interplay/data/encoded_batch.h>
#include <interplay/data/field_encoding.h>
#include <interplay/data/raw_batch.h>
#include <interplay/data/schema.h>

namespace interplay {

/// A condition on a numeric column.
struct ThresholdOptions {
  std::string column;
  std::optional<double> at_least, above;
  void visit(auto&& field) {
    field("column", column, "the column compared");
    field("at_least", at_least, "true from this number on");
    field("above", above, "true beyond this number");
  }
  bool compares() const { return at_least || above; }
  bool passes(double x) const { return (!at_least || x >= *at_least) && (!above || x > *above); }
  /// Throws Error at `at` unless it names a column and compares it.
  INTERPLAY_API void check(const Config& at) const;
};

/// List columns that are made of the events before each row, when data are prepared and by EventHistory.
struct INTERPLAY_API PastEvents {
  struct Side {
    std::string column, list;  ///< raw column of the event, and the list column it becomes
  };
  std::string name;              ///< of the list column with the items
  std::string user, item, time;  ///< raw columns: whose events, what is remembered, when
  std::string ties = "before";   ///< before | order, as in kind history
  std::optional<ThresholdOptions> filter;
  int64_t max_length = 0, min_length = 0;
  std::vector<Side> sides;

  std::vector<std::string> lists() const;  ///< the columns made: name, then the sides'
};

/// What an entry of `fields:` knows of the data.yaml around it.
struct INTERPLAY_API FieldContext {
  Config at;                                ///< the entry, for messages
  std::string separator = "^";              ///< between entries of a cell, where none is named
  std::vector<std::string> missing_tokens;  ///< cells that mean a missing value, beside empty ones

  bool is_missing_token(std::string_view cell) const;
  bool missing(const RawColumn& column, int64_t cell) const {
    return column.missing(cell) || (!missing_tokens.empty() && is_missing_token(column.cell(cell)));
  }
};

/// A field as an entry declares it, before anything is fitted.
struct DeclaredField {
  Field field;                       ///< its encoding is filled in from the one below
  FieldEncoding encoding;            ///< where its values come from and what becomes of them
  std::string share;                 ///< the field whose table it reads; empty: its own
  std::string share_item;            ///< ... or the categorical field that reads this raw column, where there is one
  bool is_history_of_item = false;   ///< that field is its target
  std::optional<int64_t> min_count;  ///< of its table; that of the data.yaml by default
  std::string catalogue;             ///< a file whose values get ids though no training row has them; empty: none
};

/// Where the values of fields come from: a kind of entry below `fields:`. What is stored, and a model sees, is one of
/// the shapes of FieldKind; how those are fitted, encoded, written and gathered is the same for every kind. A kind says
///
/// - which fields an entry declares, and what raw columns they read;
/// - which columns are made of other columns of a row (derive()) or of the events before it (past());
/// - for fields of text, which tokens a row has.
///
/// A new one is a class built from (const FieldContext&, const Options&), with
///
///     struct Options : interplay::KindOptions {
///       void visit(auto&& field) { KindOptions::visit(field); field("column", column, "..."); }
///     };
///     INTERPLAY_REGISTER(interplay::field_kinds(), "weekday", Weekday, "the day of the week of a time");
///
/// in any library that is loaded. Immutable after link(): used from any thread, when data are prepared and when rows
/// are scored alike.
class INTERPLAY_API FieldSource {
 public:
  /// Tells that a row cannot be used: its number in the batch, column, cell and reason. The first reason of a row
  /// counts.
  using Refuse = std::function<void(int64_t row, const std::string& column, std::string_view cell, std::string reason)>;

  virtual ~FieldSource();
  virtual std::vector<DeclaredField> fields() const = 0;
  /// The entry with every default written out and its columns spelt out: declares the same fields when read again.
  virtual Config resolved() const = 0;

  /// What the other entries declare. Called once, before anything below.
  virtual void link(std::span<const Field> fields, std::span<const PastEvents> past);
  /// Raw columns that one of fields() reads: by default its encoding's column and weights.
  virtual std::vector<std::string> columns(const Field& field) const;
  /// Lists of earlier events that raw rows must carry. Rows with too few of them (min_length) are no samples.
  virtual std::vector<PastEvents> past() const { return {}; }
  /// Adds columns that fields() read, one cell a row, and refuses rows.
  virtual void derive(RawBatch& rows, const Refuse& refuse) const;

  /// For fields of kind text: how many token ids there are, and a checksum of what makes tokens of a row. The data
  /// keep it, so that a model is never given tokens that mean something else.
  struct TokenSpace {
    int64_t size = 0;
    std::string checksum;
  };
  virtual TokenSpace token_space() const;
  /// For fields of kind vector whose numbers are not those of a column: in how many vectors they are looked up, and a
  /// checksum of all, which the data keep as they keep that of tokens. {0, ""}: they are those of the column.
  virtual TokenSpace vector_space() const { return {}; }
  /// Fills in the numbers of all rows, [rows, dimension]; false where they are those of the column.
  virtual bool vectors(const Field& field, const RawBatch& rows, std::vector<float>& out) const { return false; }
  /// Appends the tokens of these rows to `out`, which has the offset of the first row already.
  virtual void tokens(const Field& field, const RawBatch& rows, std::span<const int32_t> wanted,
                      EncodedBatch::Text& out) const;
};

INTERPLAY_API Registry<FieldSource, const FieldContext&>& field_kinds();

/// What every kind's options begin with.
struct KindOptions {
  std::string kind = "categorical", name;
  void visit(auto&& field) {
    field("kind", kind, "what the field is", OneOf{field_kinds().names()});
    field("name", name, "what the field is called; its column's name by default");
  }
};

/// ... of a kind whose entry may stand for several columns, each a field.
struct ColumnOptions : KindOptions {
  std::string column;
  std::vector<std::string> columns;
  void visit(auto&& field) {
    KindOptions::visit(field);
    field("column", column, "raw column");
    field("columns", columns, "several raw columns, each a field; I1..I13 is a range");
  }
  /// Leaves `columns` alone, ranges spelt out. Throws Error at `at` where none is named, or one name is for several.
  INTERPLAY_API void spell_out(const Config& at);
  /// The field that reads one of them.
  INTERPLAY_API DeclaredField declare(const std::string& column, FieldKind kind) const;
};

/// A column of past events that goes with their items, as each one's rating: a sequence paired with theirs.
struct SideOptions {
  std::string column, name, share, pooling = "mean";
  void visit(auto&& field) {
    field("column", column, "column of the past event");
    field("name", name, "the paired sequence it becomes");
    field("share", share, "field whose table it reads; by default that of the field with the same column, if any");
    field("pooling", pooling, "how a model makes one vector of it", OneOf{{"mean", "sum"}});
  }
};

/// What a kind says of the table that its tokens have their ids in.
struct TableOptions {
  std::optional<int64_t> min_count;
  int64_t hash_buckets = 0;
  std::string share, catalogue;
  void visit(auto&& field) {
    field("min_count", min_count, "tokens seen less often become the unseen id", Range{1, 1e18});
    field("hash_buckets", hash_buckets, "ids by hash instead of a vocabulary, this many", Range{0, 2147483640});
    field("share", share, "field whose table this one reads");
    field("catalogue", catalogue,
          "table whose values get ids of their own even where no training row has them: those of the field's column, "
          "or of `key`; found in the folder of the data's files");
  }
  INTERPLAY_API void declare(DeclaredField& field) const;
};

/// `I1..I13` to I1, I2, ..., I13; a name that ends in no number on either side of the dots, as any other, to itself.
/// The first number's leading zeros set the width. Throws Error where only one side ends in a number, or the names
/// differ.
INTERPLAY_API std::vector<std::string> expand_range(const std::string& name);
/// All of them; `at`: where the names are written.
INTERPLAY_API std::vector<std::string> expand_ranges(const std::vector<std::string>& names, const Config& at);

}  // namespace interplay
