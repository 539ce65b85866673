#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace interplay {

/// Where the cells of lines without quoted values lie, so that they can be read where they are. Arrow's parser, which
/// copies them and is needed once more to get at a column, takes ten times as long.
struct SplitLines {
  struct WrongCount {
    int64_t index;  ///< of the line
    int64_t found;  ///< cells
    std::string text;
  };
  int64_t rows = 0;                   ///< lines with as many cells as asked
  std::unique_ptr<int32_t[]> begins;  ///< [rows, columns + 1]: cell c of a row ends a byte before the next begins
  std::vector<WrongCount> wrong;      ///< the other lines
};

/// Splits `lines` lines, each ending in \n or \r\n and below 2 GB together, into `columns` cells between separators.
SplitLines split_lines(std::string_view text, char separator, int64_t columns, int64_t lines);

}  // namespace interplay
