#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/read/bad_row.h"
#include "data/read/parsing_reader.h"

namespace interplay {

struct LineOptions {
  std::string separator = ",";
  bool quote = true;
  bool latin1 = false;
  std::string compression = "auto";
  int64_t max_line_bytes = 1 << 20;
};

/// Some whole rows of a file, each ending in \n or \r\n, one after another; lines[i] is the number of the i-th one's
/// line, or of its first line where quoted values hold line breaks.
struct LineBlock {
  std::string_view text;
  std::vector<int64_t> lines;
  std::vector<BadRow> bad;            ///< lines near these that cannot be a row
  bool quotes = false;                ///< whether there may be quotes in it that mean something
  bool breaks = false;                ///< whether rows have several lines
  std::shared_ptr<const void> owner;  ///< keeps the text alive
};

/// A text file as lines that a CSV parser takes one row from each: decompressed, UTF-8, without byte order mark and
/// blank lines, with a separator of one byte. A row has several lines where a quoted value does. Lines that cannot be a
/// row (too long, a bare carriage return) are left out, and so are all those that a quoted value begins on or runs
/// through without an end. So a row's line number is known whatever comes before it.
class LineSource {
 public:
  LineSource(std::filesystem::path file, LineOptions options);
  /// False at the end of the file. A block has lines or bad ones; its text ends where a piece that was read ends, so
  /// that it is about kReadBytes long where lines are short.
  bool next(LineBlock& block, int64_t max_lines);
  int64_t bytes_done() const;                            ///< of the file on disk
  static constexpr size_t kReadBytes = size_t(1) << 19;  ///< a block stays in a core's cache while it is parsed

 private:
  bool rewrites_separator() const { return options_.separator.size() > 1; }
  void read_more();
  void check_magic() const;
  void skip_rest_of_line(LineBlock& block);
  bool take_lines(LineBlock& block, int64_t max_lines);
  const char* why_bad(std::string_view line) const;
  bool ends_in_quotes(std::string_view line) const;
  struct Row {
    const char* stop;  // its last line end; nullptr where that lies beyond the text
    bool whole;        // no text follows the quote that closes a value
  };
  Row row_of_lines(const char* at, const char* end) const;
  void leave_out_lines(const char* at, const char* stop, LineBlock& block);
  void keep(std::string_view line, char*& out, std::string& rewritten) const;
  void rewrite(std::string_view line, std::string& out) const;

  std::filesystem::path file_;
  LineOptions options_;
  OpenFile input_;
  std::shared_ptr<char[]> buffer_;  // the blocks made of it hold it too
  size_t begin_ = 0, end_ = 0;      // bytes not handed out yet
  int64_t line_ = 0;                // lines consumed
  bool started_ = false, at_end_ = false;
  bool has_return_ = false,
       has_quote_ = false;  // in the buffer: most files have neither, and need no look at each line
};

/// What separates the values of the lines that LineSource gives.
inline char separator_of(const LineOptions& options) {
  constexpr char kUnit = '\x1f';  // ASCII "unit separator": stands for a separator of several bytes
  return options.separator.size() > 1 ? kUnit : options.separator[0];
}

}  // namespace interplay
