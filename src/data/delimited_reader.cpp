#include "data/delimited_reader.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <arrow/csv/parser.h>

#include <interplay/base/error.h>

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
struct Cells {
  std::unique_ptr<char[]> bytes;
  std::unique_ptr<int32_t[]> offsets;  // [columns, rows + 1]
};

struct WrongCount {
  int64_t index;  // of the line in its block
  int64_t found;
  std::string text;
};

std::vector<RawColumn> to_columns(const arrow::csv::BlockParser& parser, const std::vector<std::string>& names,
                                  const std::vector<int>& wanted) {
  const auto rows = size_t(parser.num_rows());
  const auto cells = std::make_shared<Cells>();
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

void check_names(const std::vector<std::string>& names, const std::string& where) {
  std::set<std::string> seen;
  for (const auto& name : names) {
    INTERPLAY_CHECK_DATA(!name.empty(), "{}: the header has a column without a name (columns: {})", where,
                         fmt::join(names, ", "));
    INTERPLAY_CHECK_DATA(seen.insert(name).second, "{}: the header names column '{}' twice; rename one", where, name);
  }
}

}  // namespace

DelimitedReader::DelimitedReader(const ReadRequest& request, const DelimitedOptions& options)
    : request_(request), bytes_total_(total_bytes(request.files)) {
  if (!request_.bad_rows) request_.bad_rows = std::make_shared<BadRows>();
  INTERPLAY_CHECK(request_.batch_rows > 0, "batch_rows: {} is not a number of rows", request_.batch_rows);
  const std::string& separator = options.separator;
  INTERPLAY_CHECK(!separator.empty() && separator.find_first_of("\r\n\"") == std::string::npos,
                  "separator: '{}' cannot separate values; use one or more characters, no quote or line end",
                  separator);
  INTERPLAY_CHECK(!options.quote || separator.size() == 1,
                  "separator: '{}' has several bytes, which goes only without quoted values; set quote: false",
                  separator);
  lines_ = {separator, options.quote, options.encoding == "latin1", options.compression, options.max_line_bytes};
  if (options.header.is_sequence()) {
    header_line_ = false;
    for (const auto& name : options.header.items()) names_.push_back(name.as<std::string>());
    check_names(names_, options.header.where());
    INTERPLAY_CHECK(!names_.empty(), "header: the list of column names is empty");
  } else if (!options.header.is_null() && !options.header.as<bool>()) {
    options.header.fail("files without a header need the list of their column names, as header: [label, I1..I13]");
  }
  if (header_line_) read_headers();
  wanted_ = find_columns(names_, request_.columns, request_.files.front());
}

DelimitedReader::~DelimitedReader() = default;

arrow::csv::ParseOptions DelimitedReader::parse_options(char separator) const {
  auto options = arrow::csv::ParseOptions::Defaults();
  options.delimiter = separator;
  options.quoting = lines_.quote;
  options.ignore_empty_lines = false;
  return options;
}

std::vector<std::string> DelimitedReader::read_header(const std::filesystem::path& file) const {
  BadRows none;
  LineSource source(file, lines_, none);
  LineBlock block;
  INTERPLAY_CHECK_DATA(source.next(block, 1), "{}: is empty; its first line should name the columns", file.string());
  arrow::csv::BlockParser parser(parse_options(source.separator()), -1, 1, 1);
  uint32_t parsed = 0;
  check_arrow(parser.Parse(block.text, &parsed), file);
  std::vector<std::string> names;
  const auto add = [&](const uint8_t* data, uint32_t bytes, bool, bool) {
    names.emplace_back(reinterpret_cast<const char*>(data), bytes);
    return arrow::Status::OK();
  };
  check_arrow(parser.VisitLastRow(add), file);
  check_names(names, file.string());
  return names;
}

void DelimitedReader::read_headers() {
  for (const auto& file : request_.files) {
    const auto names = read_header(file);
    if (names_.empty()) names_ = names;
    INTERPLAY_CHECK_DATA(
        names == names_, "{}: its columns are {}, but those of {} are {}; files of one source must agree",
        file.string(), fmt::join(names, ", "), request_.files.front().string(), fmt::join(names_, ", "));
  }
}

bool DelimitedReader::open_next() {
  if (opened_ == request_.files.size()) return false;
  source_ = std::make_unique<LineSource>(request_.files[opened_++], lines_, *request_.bad_rows);
  file_has_rows_ = header_line_;
  if (header_line_) source_->next(block_, 1);
  return true;
}

bool DelimitedReader::next_block() {
  while (source_ || open_next()) {
    if (source_->next(block_, std::min(request_.batch_rows, kMaxBatchRows))) return file_has_rows_ = true;
    INTERPLAY_CHECK_DATA(file_has_rows_, "{}: is empty; rows were expected", request_.files[opened_ - 1].string());
    bytes_before_ += source_->bytes_done();
    source_.reset();
  }
  return false;
}

void DelimitedReader::parse(RawBatch& batch) {
  const auto& file = request_.files[opened_ - 1];
  std::vector<WrongCount> wrong;
  auto options = parse_options(source_->separator());
  options.invalid_row_handler = [&](const arrow::csv::InvalidRow& row) {
    wrong.push_back({row.number - 1, row.actual_columns, std::string(row.text)});
    return arrow::csv::InvalidRowResult::Skip;
  };
  arrow::csv::BlockParser parser(options, int32_t(names_.size()), 1, int32_t(kMaxBatchRows));
  uint32_t parsed = 0;
  check_arrow(parser.Parse(block_.text, &parsed), file);
  INTERPLAY_ASSERT(parsed == block_.text.size() && parser.total_num_rows() == int64_t(block_.lines.size()));
  for (const auto& row : wrong) {
    int64_t& line = block_.lines[size_t(row.index)];
    request_.bad_rows->report(file.string(), line, "", row.text,
                              fmt::format("has {} values, but there are {} columns", row.found, names_.size()));
    line = 0;
  }
  if (!wrong.empty()) std::erase(block_.lines, 0);
  batch.rows = parser.num_rows();
  batch.file = file.string();
  batch.lines = block_.lines;
  batch.columns = to_columns(parser, names_, wanted_);
  drop_bad_text(batch, *request_.bad_rows);
}

bool DelimitedReader::next(RawBatch& batch) {
  do {
    if (!next_block()) return false;
    parse(batch);
  } while (batch.rows == 0);
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
