#include <interplay/base/error.h>
#include <interplay/base/once.h>
#include <interplay/data/field_kind.h>
#include <interplay/data/keyed_vectors.h>

namespace interplay {
namespace {

/// A cell, or a list, holds so many numbers; or a cell is a key, and a file has the numbers.
class NumberVector final : public FieldSource {
 public:
  struct Options : ColumnOptions {
    std::string separator;
    int64_t dimension = 0;
    VectorSource source;
    void visit(auto&& field) {
      ColumnOptions::visit(field);
      field("separator", separator, "between the entries of a cell");
      field("dimension", dimension, "how many numbers; of a file, as many as its vectors have", Range{1, 1e6});
      source.visit(field);
    }
  };
  NumberVector(const FieldContext& context, const Options& options)
      : context_(context), o_(options), separator_(context.separator) {
    o_.spell_out(context.at);
    if (!o_.separator.empty()) separator_ = o_.separator;
    if (!is_by_key()) {
      for (const auto& [name, value] :
           {std::pair{"key", o_.source.key}, {"vector", o_.source.vector}, {"ids", o_.source.ids}})
        if (!value.empty())
          context.at[name].fail("says something of a file of vectors; name it by `from`, or leave it out");
      if (o_.dimension < 1)
        context.at.fail(
            "a vector needs its `dimension`, how many numbers it has, or `from`, a file with vectors by key");
      return;
    }
    if (!o_.separator.empty()) context.at["separator"].fail("a key is the whole cell; leave it out");
    if (o_.dimension == 0) o_.dimension = by_key().width();
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

  TokenSpace vector_space() const override {
    return is_by_key() ? TokenSpace{by_key().count(), by_key().checksum()} : TokenSpace{};
  }
  bool vectors(const Field& field, const RawBatch& rows, std::vector<float>& out) const override {
    if (!is_by_key()) return false;
    const RawColumn& column = rows.column(o_.name.empty() ? field.name : o_.columns.front());
    INTERPLAY_CHECK_DATA(!column.is_list(), "{}: column '{}' holds lists; field '{}' looks one key a row up in {}",
                         rows.place(0), column.name, field.name, o_.source.from);
    const KeyedVectors& known = by_key();
    for (int64_t r = 0; r < rows.rows; ++r) {
      const auto found = context_.missing(column, r) ? std::span<const float>() : known.find(column.cell(r));
      out.insert(out.end(), found.begin(), found.end());
      out.resize(size_t(r + 1) * size_t(field.dimension));  // zeros where there is none
    }
    return true;
  }

 private:
  bool is_by_key() const { return !o_.source.from.empty(); }
  /// Read when it is first needed: a run that is only evaluated on prepared data needs no file.
  const KeyedVectors& by_key() const {
    read_([this] { by_key_ = KeyedVectors::load(o_.source); });
    INTERPLAY_CHECK_DATA(o_.dimension == 0 || by_key_.width() == o_.dimension,
                         "{}: vectors of {} numbers; the data were declared with {}", o_.source.from, by_key_.width(),
                         o_.dimension);
    return by_key_;
  }

  FieldContext context_;
  Options o_;
  std::string separator_;
  mutable Once read_;
  mutable KeyedVectors by_key_;
};

INTERPLAY_REGISTER(field_kinds(), "vector", NumberVector,
                   "so many numbers, as an image's: those of a cell, or those that a file has for the cell");

}  // namespace
}  // namespace interplay
