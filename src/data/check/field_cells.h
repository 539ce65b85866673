#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/spec/row_parser.h"

namespace interplay {

/// What the fields of a batch hold, whatever their kind: a number, or tokens.
class FieldCells {
 public:
  enum class Shape { number, tokens, other };
  static Shape shape(const RowParser& parser, size_t field);

  /// Both stay the caller's.
  FieldCells(const RowParser& parser, const RowValues& values);

  double number(size_t field, int32_t row) const { return values_.numbers[field][size_t(row)]; }  ///< NaN: missing
  /// Calls take(token) for each token of a row; once, with an empty one, where it has none.
  template <class Take>
  void tokens(size_t field, int32_t row, Take&& take) const {
    if (columns_[field]) return take(parser_.token(field, *columns_[field], row));
    const RowValues::Lists& lists = values_.lists[field];
    const int64_t begin = lists.offsets[size_t(row)], end = lists.offsets[size_t(row) + 1];
    if (begin == end) take(std::string_view());
    for (int64_t i = begin; i < end; ++i) take(lists.tokens[size_t(i)]);
  }
  bool missing(size_t field, int32_t row) const;

 private:
  const RowParser& parser_;
  const RowValues& values_;
  std::vector<const RawColumn*> columns_;  // of fields with a token a row
};

}  // namespace interplay
