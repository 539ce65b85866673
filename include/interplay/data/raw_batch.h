#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>

namespace interplay {

/// One column of raw cells, a view into memory that `owner` keeps alive. A cell is text, whatever the file held:
/// Parquet numbers are printed shortest. A column is either plain (one cell a row) or a list (any number of cells a
/// row, from a Parquet list; delimited text has plain cells that the encoder splits at the field's separator).
struct INTERPLAY_API RawColumn {
  std::string name;
  int64_t rows = 0;
  const char* bytes = nullptr;
  const int32_t* offsets = nullptr;   ///< cell c is bytes [offsets[c * stride], offsets[c * stride + 1] - gap)
  int64_t stride = 1;                 ///< above 1 where the columns of a text lie between each other
  int32_t gap = 0;                    ///< bytes between two cells: 1 where they are left among their separators
  const uint8_t* validity = nullptr;  ///< bit (validity_offset + c) unset = missing; nullptr = none missing
  int64_t validity_offset = 0;
  const int32_t* list_offsets = nullptr;  ///< list column: row r holds cells [list_offsets[r], list_offsets[r+1])
  std::shared_ptr<const void> owner;

  bool is_list() const { return list_offsets != nullptr; }
  std::string_view cell(int64_t c) const {
    const int32_t* const at = offsets + c * stride;
    return {bytes + at[0], size_t(at[1] - at[0] - gap)};
  }
  /// An empty cell is missing too: delimited text knows no other way to say so.
  bool missing(int64_t c) const {
    const int64_t bit = validity_offset + c;
    return (validity && !(validity[bit >> 3] >> (bit & 7) & 1)) || cell(c).empty();
  }
};

/// Makes a plain column that owns its cells.
INTERPLAY_API RawColumn make_raw_column(std::string name, const std::vector<std::string>& cells);
/// Makes a list column that owns its cells.
INTERPLAY_API RawColumn make_raw_list_column(std::string name, const std::vector<std::vector<std::string>>& rows);

/// Some consecutive rows of raw data, a column at a time.
struct INTERPLAY_API RawBatch {
  int64_t rows = 0;
  std::vector<RawColumn> columns;
  std::string file;            ///< where the rows come from, for messages
  std::vector<int64_t> lines;  ///< [rows], 1-based line (text) or row (Parquet) in `file`; empty if not from a file

  const RawColumn* find(std::string_view name) const;    ///< nullptr where there is none
  const RawColumn& column(std::string_view name) const;  ///< throws Error(data) naming the columns there are
  std::string place(int64_t row) const;                  ///< `train.tsv:17`, or `row 17`
};

/// These rows of a batch, in this order, with their own memory; -1 gives a row whose cells are all missing (as a list
/// column: an empty list). Lines follow the rows; that of -1 is 0.
INTERPLAY_API RawBatch take_rows(const RawBatch& batch, std::span<const int64_t> rows);
/// The rows of all batches, one after another, with their own memory. The batches must have the same columns, as those
/// of one reader have; `file` becomes that of the first.
INTERPLAY_API RawBatch concatenate(std::span<const RawBatch> batches);

}  // namespace interplay
