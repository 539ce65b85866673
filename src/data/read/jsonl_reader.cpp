#include <algorithm>
#include <map>

#include <fmt/ranges.h>

#include <interplay/base/error.h>
#include <interplay/base/json_tape.h>

#include "data/read/line_source.h"
#include "data/read/parsing_reader.h"

namespace interplay {
namespace {

using Kind = JsonTape::Kind;

struct JsonlOptions {
  std::string compression = "auto";
  int64_t max_line_bytes = 1 << 20;
  void visit(auto&& field) {
    field("compression", compression, "auto goes by the file's name, then by its first bytes",
          OneOf{{"auto", "none", "gz", "zst"}});
    field("max_line_bytes", max_line_bytes, "a longer line is a bad row", Range{1, 1 << 30});
  }
  LineOptions lines() const { return {.quote = false, .compression = compression, .max_line_bytes = max_line_bytes}; }
};

/// A value as cells: text as it is, numbers as they are written, null as missing. Throws Error.
void add_cells(JsonTape::Value value, std::vector<std::string>& out, bool in_list = false) {
  switch (value.kind()) {
    case Kind::object: throw Error("is an object; expected text, a number, or a list of them");
    case Kind::array:
      if (in_list) throw Error("is a list of lists");
      for (const auto entry : value.values()) add_cells(entry, out, true);
      return;
    default: out.emplace_back(value.text());
  }
}

/// One line at a time, each in memory of its own, since it is written over.
class LineParser {
 public:
  /// Of the object that the line is. Throws Error.
  JsonTape::Members parse(std::string_view line) {
    text_.assign(line);
    const auto value = tape_.parse(text_);
    if (!value.is(Kind::object)) throw Error("is not a JSON object");
    return value.members();
  }

 private:
  JsonTape tape_;
  std::string text_;
};

std::string_view without_end(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

template <class Take>
void each_line(std::string_view text, Take&& take) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    take(without_end(text.substr(0, end)));
    text.remove_prefix(end);
  }
}

struct JsonlColumns {
  std::vector<std::string> names;
  std::map<std::string, bool, std::less<>> is_list;  // of each
};

/// Rows as JSON objects, one a line. The columns are the keys of the first rows of all files, in the order in which
/// they come; a row without one has a missing cell. A column that holds lists there may hold single values too.
class JsonlReader final : public ParsingReader {
 public:
  using Options = JsonlOptions;
  JsonlReader(const ReadRequest& request, const Options& options)
      : ParsingReader(request.bad_rows),
        request_(request),
        lines_(options.lines()),
        bytes_total_(total_bytes(request.files)) {
    INTERPLAY_CHECK(request_.batch_rows > 0, "batch_rows: {} is not a number of rows", request_.batch_rows);
    for (const auto& file : request_.files) look_at(file);
    find_columns(columns_.names, request_.columns, request_.files.front());
    const auto& wanted = request_.columns.empty() ? columns_.names : request_.columns;
    layout_ = std::make_shared<Layout>();
    for (const auto& name : wanted) {
      layout_->places.emplace(name, layout_->names.size());
      layout_->names.push_back(name);
      layout_->is_list.push_back(columns_.is_list.at(name));
    }
  }

  std::vector<std::string> columns() const override { return columns_.names; }
  int64_t bytes_total() const override { return bytes_total_; }
  int64_t bytes_done() const override { return bytes_before_ + (source_ ? source_->bytes_done() : 0); }

  bool next_unparsed(Unparsed& batch) override {
    const auto block = std::make_shared<LineBlock>();
    if (!next_block(*block)) return false;
    batch = [layout = layout_, block, file = request_.files[opened_ - 1].string()](BadRows& bad_rows) {
      return layout->parse(*block, file, bad_rows);
    };
    return true;
  }

 private:
  static constexpr int64_t kLooked = 1000;  // rows of each file that say which columns there are

  struct Layout {
    std::vector<std::string> names;
    std::vector<bool> is_list;
    std::map<std::string, size_t, std::less<>> places;

    RawBatch parse(const LineBlock& block, const std::string& file, BadRows& bad_rows) const;
  };

  void look_at(const std::filesystem::path& file) {
    LineSource source(file, lines_);
    LineBlock block;
    LineParser parser;
    std::vector<std::string> cells;
    for (int64_t rows = 0; rows < kLooked && source.next(block, kLooked - rows); rows += int64_t(block.lines.size())) {
      each_line(block.text, [&](std::string_view line) {
        try {
          for (const auto [name, value] : parser.parse(line)) {
            const bool list = value.is(Kind::array);
            const auto [at, added] = columns_.is_list.emplace(std::string(name), list);
            if (added) columns_.names.emplace_back(name);
            at->second = at->second || list;
          }
        } catch (const Error&) {  // told of when the rows are read
        }
      });
    }
    INTERPLAY_CHECK_DATA(!columns_.names.empty(), "{}: no row of the first {} is a JSON object with a key",
                         file.string(), kLooked);
  }

  bool next_block(LineBlock& block) {
    while (source_ || opened_ < request_.files.size()) {
      if (!source_) source_ = std::make_unique<LineSource>(request_.files[opened_++], lines_);
      if (source_->next(block, request_.batch_rows)) return true;
      bytes_before_ += source_->bytes_done();
      source_.reset();
    }
    return false;
  }

  ReadRequest request_;
  LineOptions lines_;
  JsonlColumns columns_;
  std::shared_ptr<Layout> layout_;  // batches that are still to be parsed hold it too
  size_t opened_ = 0;               // files opened so far; source_ reads the last of them
  std::unique_ptr<LineSource> source_;
  int64_t bytes_total_ = 0, bytes_before_ = 0;
};

RawBatch JsonlReader::Layout::parse(const LineBlock& block, const std::string& file, BadRows& bad_rows) const {
  report(block.bad, bad_rows);
  RawBatch batch;
  batch.file = file;
  std::vector<std::vector<std::string>> cells(names.size());               // of plain columns
  std::vector<std::vector<std::vector<std::string>>> lists(names.size());  // of the others
  std::vector<std::vector<std::string>> row(names.size());
  std::vector<bool> given(names.size());
  LineParser parser;
  size_t at = 0;
  each_line(block.text, [&](std::string_view line) {
    const int64_t number = block.lines[at++];
    for (auto& values : row) values.clear();
    given.assign(names.size(), false);
    std::string_view column;
    try {
      for (const auto [name, value] : parser.parse(line)) {
        const auto place = places.find(name);
        if (place == places.end()) continue;
        column = place->first;
        const size_t c = place->second;
        if (given[c]) throw Error("is given twice");
        given[c] = true;
        const bool list = value.is(Kind::array);
        if (list && !is_list[c])
          throw Error(fmt::format("is a list, which it is in none of the first {} rows", kLooked));
        add_cells(value, row[c]);
        if (!list && is_list[c] && row[c].front().empty()) row[c].clear();
        column = {};
      }
    } catch (const Error& error) {
      return bad_rows.report(file, number, std::string(column), line, error.what());
    }
    batch.lines.push_back(number);
    for (size_t c = 0; c < names.size(); ++c) {
      if (is_list[c]) {
        lists[c].push_back(row[c]);
      } else {
        cells[c].push_back(row[c].empty() ? std::string() : std::move(row[c].front()));
      }
    }
  });
  batch.rows = int64_t(batch.lines.size());
  for (size_t c = 0; c < names.size(); ++c) {
    batch.columns.push_back(is_list[c] ? make_raw_list_column(names[c], lists[c])
                                       : make_raw_column(names[c], cells[c]));
  }
  return batch;
}

INTERPLAY_REGISTER(readers(), "jsonl", JsonlReader, "text, a JSON object a line; lists are lists");

}  // namespace
}  // namespace interplay
