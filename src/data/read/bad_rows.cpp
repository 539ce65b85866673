#include <interplay/data/reader.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <sstream>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/printable.h>

namespace interplay {
namespace {

constexpr size_t kShown = 80;       // bytes of a value in a message
constexpr size_t kWritten = 65536;  // bytes of a value in the file of rejected rows

/// On one line, without tabs, and printable: safe for a terminal and for a TSV cell.
std::string escape(std::string_view value, size_t limit) {
  std::string shown;
  for (const char c : value.substr(0, limit)) {
    if (c == '\\') {
      shown += "\\\\";
    } else if (c == '\t') {
      shown += "\\t";
    } else if (c == '\n') {
      shown += "\\n";
    } else if (c == '\r') {
      shown += "\\r";
    } else {
      shown += c;
    }
  }
  if (value.size() > limit) shown += fmt::format("... ({} bytes)", value.size());
  return printable(shown);
}

}  // namespace

struct BadRows::State {
  int64_t limit = 0;
  std::filesystem::path rejected;
  std::string option;
  std::mutex mutex;
  std::unordered_map<std::string, std::unordered_set<int64_t>> seen;  // lines by file
  int64_t count = 0;
  std::unique_ptr<OutputFile> out;

  void write(const std::string& file, int64_t line, const std::string& column, std::string_view value,
             const std::string& reason) {
    if (rejected.empty()) return;
    if (!out) {
      out = std::make_unique<OutputFile>(rejected);
      out->write("file\tline\tcolumn\tvalue\treason\n");
    }
    out->write(fmt::format("{}\t{}\t{}\t{}\t{}\n", escape(file, kWritten), line, escape(column, kWritten),
                           escape(value, kWritten), escape(reason, kWritten)));
  }
};

BadRows::BadRows(int64_t limit, std::filesystem::path rejected, std::string option)
    : state_(std::make_unique<State>()) {
  state_->limit = limit;
  state_->rejected = std::move(rejected);
  state_->option = std::move(option);
}

BadRows::~BadRows() = default;

void BadRows::report(const std::string& file, int64_t line, const std::string& column, std::string_view value,
                     const std::string& reason) {
  const std::lock_guard lock(state_->mutex);
  auto& lines = state_->seen[file];
  if (lines.contains(line)) return;
  if (state_->count >= state_->limit) {
    const std::string cell = column.empty()
                                 ? (value.empty() ? "" : fmt::format(" '{}'", escape(value, kShown)))
                                 : fmt::format(" {}{}", escape(column, kShown),
                                               value.empty() ? "" : fmt::format(" = '{}'", escape(value, kShown)));
    const std::string remedy =
        state_->limit > 0
            ? fmt::format("{} bad rows were left out already, as many as {} allows", state_->count,
                          state_->option.empty() ? "the limit" : fmt::format("{}{}", state_->option, state_->limit))
        : state_->option.empty() ? "mend the row"
                                 : fmt::format("mend the row, or leave such rows out with {}N", state_->option);
    const std::string place = file.empty() ? fmt::format("row {}", line) : fmt::format("{}:{}", file, line);
    throw Error(fmt::format("{}:{} {}; {}", place, cell, reason, remedy), ErrorKind::data);
  }
  state_->write(file, line, column, value, reason);
  lines.insert(line);
  ++state_->count;
}

void BadRows::finish() {
  const std::lock_guard lock(state_->mutex);
  if (!state_->out) return;
  state_->out->close();
  state_->out.reset();
  struct Row {
    std::string file;
    int64_t line;
    std::string text;
  };
  std::istringstream in(read_file(state_->rejected));
  std::string header;
  std::getline(in, header);
  std::vector<Row> rows;
  for (std::string text; std::getline(in, text);) {
    const size_t tab = text.find('\t');
    rows.push_back({text.substr(0, tab), std::atoll(text.c_str() + tab + 1), text});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return std::tie(a.file, a.line) < std::tie(b.file, b.line); });
  std::string sorted = header + "\n";
  for (const Row& row : rows) sorted += row.text + "\n";
  write_file(state_->rejected, sorted);
}

int64_t BadRows::count() const {
  const std::lock_guard lock(state_->mutex);
  return state_->count;
}

}  // namespace interplay
