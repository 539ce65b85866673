#include "data/read/delimited_reader.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <arrow/csv/parser.h>

#include <interplay/base/error.h>

#include "data/read/line_splitter.h"

namespace interplay {
namespace {

constexpr int64_t kMaxBatchRows = 65536;  // Arrow's parser takes at most 100,000 at once

/// memcpy() for cells, which are short: a call with an unknown length costs more than the copy.
void copy_cell(char* to, const uint8_t* from, uint32_t bytes) {
  if (bytes >= 8 && bytes <= 16) {
    std::memcpy(to, from, 8);
    std::memcpy(to + bytes - 8, from + bytes - 8, 8);
  } else if (bytes >= 4 && bytes < 8) {
    std::memcpy(to, from, 4);
    std::memcpy(to + bytes - 4, from + bytes - 4, 4);
  } else if (bytes < 4) {
    for (uint32_t i = 0; i < bytes; ++i) to[i] = char(from[i]);
  } else {
    std::memcpy(to, from, bytes);
  }
}

/// The cells of a block, one column after another.
struct ParsedCells {
  std::unique_ptr<char[]> bytes;
  std::unique_ptr<int32_t[]> offsets;  // [columns, rows + 1]
};

std::vector<RawColumn> copy_columns(const arrow::csv::BlockParser& parser, const std::vector<std::string>& names,
                                    const std::vector<int>& wanted) {
  const auto rows = size_t(parser.num_rows());
  const auto cells = std::make_shared<ParsedCells>();
  cells->bytes.reset(new char[parser.num_bytes() + 1]);
  cells->offsets.reset(new int32_t[(rows + 1) * wanted.size()]);
  int32_t end = 0;
  int32_t* offset = cells->offsets.get();
  std::vector<RawColumn> columns;
  for (const int place : wanted) {
    RawColumn& column = columns.emplace_back();
    column.name = names[size_t(place)];
    column.rows = int64_t(rows);
    column.bytes = cells->bytes.get();
    column.offsets = offset;
    column.owner = cells;
    *offset++ = end;
    const auto status = parser.VisitColumn(place, [&](const uint8_t* data, uint32_t bytes, bool, bool) {
      copy_cell(cells->bytes.get() + end, data, bytes);
      *offset++ = end += int32_t(bytes);
      return arrow::Status::OK();
    });
    INTERPLAY_ASSERT(status.ok());
  }
  return columns;
}

/// For a header that is written in data.yaml: that of a file may have columns without a name, as pandas' index is.
void check_names(const std::vector<std::string>& names, const std::string& where) {
  std::set<std::string> seen;
  for (const auto& name : names) {
    INTERPLAY_CHECK_DATA(!name.empty(), "{}: the header has a column without a name (columns: {})", where,
                         fmt::join(names, ", "));
    INTERPLAY_CHECK_DATA(seen.insert(name).second, "{}: the header names column '{}' twice; rename one", where, name);
  }
}

}  // namespace

/// What parsing a block takes, whichever thread does it.
struct DelimitedReader::Layout {
  LineOptions lines;
  std::vector<std::string> names;
  std::vector<int> wanted;

  arrow::csv::ParseOptions parse_options() const;
  std::vector<std::string> read_header(const std::filesystem::path& file) const;
  std::string as_in_file(const std::string& text) const;
  RawBatch parse(const LineBlock& block, const std::string& file, BadRows& bad_rows) const;
  void split(RawBatch& batch, const LineBlock& block, std::vector<SplitLines::WrongCount>& wrong) const;
  void parse_quoted(RawBatch& batch, const LineBlock& block, std::vector<SplitLines::WrongCount>& wrong) const;
};

DelimitedReader::DelimitedReader(const ReadRequest& request, const DelimitedOptions& options)
    : ParsingReader(request.bad_rows), request_(request), bytes_total_(total_bytes(request.files)) {
  INTERPLAY_CHECK(request_.batch_rows > 0, "batch_rows: {} is not a number of rows", request_.batch_rows);
  const std::string& separator = options.separator;
  INTERPLAY_CHECK(!separator.empty() && separator.find_first_of("\r\n\"") == std::string::npos,
                  "separator: '{}' cannot separate values; use one or more characters, no quote or line end",
                  separator);
  INTERPLAY_CHECK(!options.quote || separator.size() == 1,
                  "separator: '{}' has several bytes, which goes only without quoted values; set quote: false",
                  separator);
  Layout layout;
  layout.lines = {separator, options.quote, options.encoding == "latin1", options.compression, options.max_line_bytes};
  auto& names = layout.names;
  if (options.header.is_sequence()) {
    header_line_ = false;
    for (const auto& name : options.header.items()) names.push_back(name.as<std::string>());
    check_names(names, options.header.where());
    INTERPLAY_CHECK(!names.empty(), "header: the list of column names is empty");
  } else if (!options.header.is_null() && !options.header.as<bool>()) {
    options.header.fail("files without a header need the list of their column names, as header: [label, I1..I13]");
  }
  add_layouts(layout);
}

DelimitedReader::~DelimitedReader() = default;

std::vector<std::string> DelimitedReader::columns() const { return columns_; }

arrow::csv::ParseOptions DelimitedReader::Layout::parse_options() const {
  auto options = arrow::csv::ParseOptions::Defaults();
  options.delimiter = separator_of(lines);
  options.quoting = lines.quote;
  options.ignore_empty_lines = false;
  return options;
}

std::vector<std::string> DelimitedReader::Layout::read_header(const std::filesystem::path& file) const {
  LineSource source(file, lines);
  LineBlock block;
  INTERPLAY_CHECK_DATA(source.next(block, 1), "{}: is empty; its first line should name the columns", file.string());
  BadRows none;
  report(block.bad, none);
  auto options = parse_options();
  options.newlines_in_values = block.breaks;
  arrow::csv::BlockParser parser(options, -1, 1, 1);
  uint32_t parsed = 0;
  check_arrow(parser.Parse(block.text, &parsed), file);
  std::vector<std::string> found;
  const auto add = [&](const uint8_t* data, uint32_t bytes, bool, bool) {
    found.emplace_back(reinterpret_cast<const char*>(data), bytes);
    return arrow::Status::OK();
  };
  check_arrow(parser.VisitLastRow(add), file);
  return found;
}

/// Where each file has the columns that are asked for: they are found by name, whatever their order.
void DelimitedReader::add_layouts(const Layout& layout) {
  for (const auto& file : request_.files) {
    Layout of_file = layout;
    if (header_line_) of_file.names = layout.read_header(file);
    if (layouts_.empty() || of_file.names != layouts_.back()->names) {
      layouts_.push_back(std::make_shared<Layout>(std::move(of_file)));
    } else {
      layouts_.push_back(layouts_.back());
    }
    const auto names = named_once(layouts_.back()->names);
    if (layouts_.size() == 1) columns_ = names;
    std::erase_if(columns_,
                  [&](const auto& name) { return std::find(names.begin(), names.end(), name) == names.end(); });
  }
  const auto& wanted = request_.columns.empty() ? columns_ : request_.columns;
  for (size_t i = 0; i < layouts_.size(); ++i) {
    if (i > 0 && layouts_[i] == layouts_[i - 1]) continue;
    if (!wanted.empty()) layouts_[i]->wanted = find_columns(layouts_[i]->names, wanted, request_.files[i]);
  }
}

bool DelimitedReader::open_next() {
  if (opened_ == request_.files.size()) return false;
  source_ = std::make_unique<LineSource>(request_.files[opened_], layouts_[opened_]->lines);
  ++opened_;
  file_has_rows_ = header_line_;
  if (header_line_) {
    LineBlock header;
    source_->next(header, 1);
  }
  return true;
}

bool DelimitedReader::next_block(LineBlock& block) {
  while (source_ || open_next()) {
    if (source_->next(block, std::min(request_.batch_rows, kMaxBatchRows))) {
      file_has_rows_ |= !block.lines.empty();
      return true;
    }
    INTERPLAY_CHECK_DATA(file_has_rows_, "{}: is empty; rows were expected", request_.files[opened_ - 1].string());
    bytes_before_ += source_->bytes_done();
    source_.reset();
  }
  return false;
}

/// Nothing is copied: the cells stay in the text.
void DelimitedReader::Layout::split(RawBatch& batch, const LineBlock& block,
                                    std::vector<SplitLines::WrongCount>& wrong) const {
  struct Owner {
    SplitLines lines;
    std::shared_ptr<const void> text;
  };
  const auto columns = int64_t(names.size());
  const auto owner = std::make_shared<Owner>(
      split_lines(block.text, separator_of(lines), columns, int64_t(block.lines.size())), block.owner);
  wrong = std::move(owner->lines.wrong);
  batch.rows = owner->lines.rows;
  for (const int place : wanted) {
    RawColumn& column = batch.columns.emplace_back();
    column.name = names[size_t(place)];
    column.rows = batch.rows;
    column.bytes = block.text.data();
    column.offsets = owner->lines.begins.get() + place;
    column.stride = columns + 1;
    column.gap = 1;
    column.owner = owner;
  }
}

void DelimitedReader::Layout::parse_quoted(RawBatch& batch, const LineBlock& block,
                                           std::vector<SplitLines::WrongCount>& wrong) const {
  auto options = parse_options();
  options.newlines_in_values = block.breaks;
  options.invalid_row_handler = [&](const arrow::csv::InvalidRow& row) {
    wrong.push_back({row.number - 1, row.actual_columns, std::string(row.text)});
    return arrow::csv::InvalidRowResult::Skip;
  };
  arrow::csv::BlockParser parser(options, int32_t(names.size()), 1, int32_t(kMaxBatchRows));
  uint32_t parsed = 0;
  check_arrow(parser.Parse(block.text, &parsed), batch.file);
  INTERPLAY_ASSERT(parsed == block.text.size() && parser.total_num_rows() == int64_t(block.lines.size()));
  batch.rows = parser.num_rows();
  batch.columns = copy_columns(parser, names, wanted);
}

/// A line with the separator that it has in the file, where another stood for it.
std::string DelimitedReader::Layout::as_in_file(const std::string& text) const {
  if (lines.separator.size() == 1) return text;
  std::string out;
  for (const char c : text) {
    if (c == separator_of(lines)) {
      out += lines.separator;
    } else {
      out += c;
    }
  }
  return out;
}

RawBatch DelimitedReader::Layout::parse(const LineBlock& block, const std::string& file, BadRows& bad_rows) const {
  report(block.bad, bad_rows);
  RawBatch batch;
  batch.file = file;
  if (block.lines.empty()) return batch;
  batch.lines = block.lines;
  std::vector<SplitLines::WrongCount> wrong;
  if (block.quotes) {
    parse_quoted(batch, block, wrong);
  } else {
    split(batch, block, wrong);
  }
  for (const auto& row : wrong) {
    int64_t& line = batch.lines[size_t(row.index)];
    bad_rows.report(file, line, "", as_in_file(row.text),
                    fmt::format("has {} values, but there are {} columns", row.found, names.size()));
    line = 0;
  }
  if (!wrong.empty()) std::erase(batch.lines, 0);
  if (!is_utf8(block.text)) drop_bad_text(batch, bad_rows);
  return batch;
}

bool DelimitedReader::next_unparsed(Unparsed& batch) {
  const auto block = std::make_shared<LineBlock>();
  if (!next_block(*block)) return false;
  batch = [layout = layouts_[opened_ - 1], block, file = request_.files[opened_ - 1].string()](BadRows& bad_rows) {
    return layout->parse(*block, file, bad_rows);
  };
  return true;
}

int64_t DelimitedReader::bytes_done() const { return bytes_before_ + (source_ ? source_->bytes_done() : 0); }

namespace {

class CsvReader final : public DelimitedReader {
 public:
  using Options = DelimitedOptions;
  using DelimitedReader::DelimitedReader;
};

class TsvReader final : public DelimitedReader {
 public:
  struct Options : DelimitedOptions {
    Options() { separator = "\t", quote = false; }
  };
  using DelimitedReader::DelimitedReader;
};

INTERPLAY_REGISTER(readers(), "csv", CsvReader, "text, values separated by commas, quoted where needed");
INTERPLAY_REGISTER(readers(), "tsv", TsvReader, "text, values separated by tabs, no quoting");

}  // namespace
}  // namespace interplay
