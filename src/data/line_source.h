#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/reader_parts.h"

namespace interplay {

struct LineOptions {
  std::string separator = ",";
  bool quote = true;
  bool latin1 = false;
  std::string compression = "auto";
  int64_t max_line_bytes = 1 << 20;
};

/// Some whole lines of a file, each ending in \n or \r\n, one after another; lines[i] is the number of the i-th.
struct LineBlock {
  std::string_view text;  ///< valid until the next call
  std::vector<int64_t> lines;
};

/// A text file as lines that a CSV parser takes one row from each: decompressed, UTF-8, without byte order mark and
/// blank lines, with a separator of one byte. Lines that cannot be a row (too long, a quoted value that does not end, a
/// bare carriage return) are told to BadRows and left out. So a row's line number is known whatever comes before it.
class LineSource {
 public:
  LineSource(std::filesystem::path file, LineOptions options, BadRows& bad_rows);
  bool next(LineBlock& block, int64_t max_lines);  ///< false at the end of the file
  int64_t bytes_done() const;                      ///< of the file on disk
  char separator() const { return rewrites_separator() ? kUnit : options_.separator[0]; }

 private:
  static constexpr char kUnit = '\x1f';  // ASCII "unit separator": stands for a separator of several bytes
  bool rewrites_separator() const { return options_.separator.size() > 1; }
  void read_more();
  void check_magic() const;
  void skip_rest_of_line();
  const char* why_bad(std::string_view line) const;
  bool ends_in_quotes(std::string_view line) const;
  void keep(std::string_view line, char*& out);
  void rewrite(std::string_view line);

  std::filesystem::path file_;
  LineOptions options_;
  BadRows& bad_rows_;
  OpenFile input_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // bytes not handed out yet
  int64_t line_ = 0;            // lines consumed
  bool started_ = false, at_end_ = false;
  bool has_return_ = false, has_quote_ = false;  // so far: most files have neither, and need no check of each line
  std::string rewritten_;
};

}  // namespace interplay
