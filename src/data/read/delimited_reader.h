#pragma once

#include <optional>

#include "data/read/line_source.h"
#include "data/read/parsing_reader.h"

namespace interplay {

/// Options of every text format.
struct TextOptions {
  std::string encoding = "utf8";
  std::string compression = "auto";
  int64_t max_line_bytes = 1 << 20;

  void visit(auto&& field) {
    field("encoding", encoding, "of the text", OneOf{{"utf8", "latin1"}});
    field("compression", compression, "auto goes by the file's name, then by its first bytes",
          OneOf{{"auto", "none", "gz", "zst"}});
    field("max_line_bytes", max_line_bytes, "a longer line is a bad row", Range{1, 1 << 30});
  }
};

struct DelimitedOptions : TextOptions {
  std::string separator = ",";
  Config header = Config::scalar("true");
  bool quote = true;

  void visit(auto&& field) {
    field("separator", separator, "text between two values of a row; several bytes, as ::, only without quotes");
    field("header", header, "true: the first line of every file names the columns; or the list of names");
    field("quote", quote, "values may be quoted: \"a,b\"; a quote in a quoted value is written twice");
    TextOptions::visit(field);
  }
};

/// Rows of delimited text, one a line, or more where a quoted value holds line breaks: blank lines are skipped, \n and
/// \r\n both end a line, and the number of a row is that of its first line in the file, the header counting as one.
/// Files may have their columns in any order, and columns that others have not; those without a name, or with one that
/// another has too, are left alone unless asked for. Values stay where they were read, unless there are quotes near:
/// then Arrow parses them.
class DelimitedReader : public ParsingReader {
 public:
  DelimitedReader(const ReadRequest& request, const DelimitedOptions& options);
  ~DelimitedReader() override;
  std::vector<std::string> columns() const override;
  bool next_unparsed(Unparsed& batch) override;
  int64_t bytes_total() const override { return bytes_total_; }
  int64_t bytes_done() const override;

 private:
  struct Layout;
  void add_layouts(const Layout& layout);
  bool open_next();
  bool next_block(LineBlock& block);

  ReadRequest request_;
  std::vector<std::shared_ptr<Layout>> layouts_;  // one a file; batches that are still to be parsed hold it too
  std::vector<std::string> columns_;              // that every file has
  bool header_line_ = true;
  size_t opened_ = 0;  // files opened so far; source_ reads the last of them
  std::unique_ptr<LineSource> source_;
  bool file_has_rows_ = false;
  int64_t bytes_total_ = 0, bytes_before_ = 0;
};

}  // namespace interplay
