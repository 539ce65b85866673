// A reader of rows that are written as `column=value` after `column=value`; every row has the columns of the first.
#include <algorithm>
#include <fstream>
#include <sstream>

#include <interplay/data/reader.h>

namespace {

using Cells = std::vector<std::pair<std::string, std::string>>;

class Pairs final : public interplay::Reader {
 public:
  struct Options {
    std::string between = "=";
    void visit(auto&& field) { field("between", between, "text between a column and its value"); }
  };

  Pairs(const interplay::ReadRequest& request, const Options& options) : request_(request), options_(options) {
    std::ifstream first(request_.files.at(0));
    std::string line;
    std::getline(first, line);
    for (const auto& [column, value] : cells_of(line)) names_.push_back(column);
    if (request_.columns.empty()) request_.columns = names_;
  }

  std::vector<std::string> columns() const override { return names_; }
  int64_t bytes_total() const override { return 0; }
  int64_t bytes_done() const override { return 0; }

  bool next(interplay::RawBatch& batch) override {
    std::vector<std::vector<std::string>> cells(request_.columns.size());
    batch = {};
    for (; batch.rows == 0 && file_ < request_.files.size();) {
      if (!in_.is_open()) in_.open(request_.files[file_]), line_ = 0;
      batch.file = request_.files[file_].string();
      std::string line;
      while (batch.rows < request_.batch_rows && std::getline(in_, line)) add(line, cells, batch);
      if (batch.rows < request_.batch_rows) in_.close(), in_.clear(), ++file_;
    }
    for (size_t c = 0; c < cells.size(); ++c)
      batch.columns.push_back(interplay::make_raw_column(request_.columns[c], cells[c]));
    return batch.rows > 0;
  }

 private:
  Cells cells_of(const std::string& line) const {
    Cells cells;
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      const size_t at = word.find(options_.between);
      cells.emplace_back(word.substr(0, at), at == word.npos ? "" : word.substr(at + options_.between.size()));
    }
    return cells;
  }
  void add(const std::string& line, std::vector<std::vector<std::string>>& cells, interplay::RawBatch& batch) {
    ++line_;
    const Cells found = cells_of(line);
    if (found.size() != names_.size()) {
      if (request_.bad_rows)
        request_.bad_rows->report(batch.file, line_, "", line, "has not as many columns as the first row");
      return;
    }
    for (size_t c = 0; c < cells.size(); ++c) {
      const auto at =
          std::find_if(found.begin(), found.end(), [&](const auto& cell) { return cell.first == request_.columns[c]; });
      cells[c].push_back(at == found.end() ? "" : at->second);
    }
    batch.lines.push_back(line_);
    ++batch.rows;
  }

  interplay::ReadRequest request_;
  Options options_;
  std::vector<std::string> names_;
  std::ifstream in_;
  size_t file_ = 0;
  int64_t line_ = 0;
};

INTERPLAY_REGISTER(interplay::readers(), "test_pairs", Pairs, "column=value, column after column");

}  // namespace
