#include <interplay/data/reader.h>

#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include <arrow/util/utf8.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

namespace interplay {
namespace {

constexpr size_t kShown = 80;       // bytes of a value in a message
constexpr size_t kWritten = 65536;  // bytes of a value in the file of rejected rows

/// On one line, without tabs, and as plain ASCII where the bytes are not text: safe for a terminal and for a TSV cell.
std::string escape(std::string_view value, size_t limit) {
  const std::string_view shown = value.substr(0, limit);
  arrow::util::InitializeUTF8();
  const bool text = arrow::util::ValidateUTF8(shown);
  std::string out;
  for (const char c : shown) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\t') {
      out += "\\t";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\\') {
      out += "\\\\";
    } else if (byte < 0x20 || byte == 0x7f || (byte > 0x7f && !text)) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  if (value.size() > limit) out += fmt::format("... ({} bytes)", value.size());
  return out;
}

}  // namespace

struct BadRows::State {
  int64_t limit = 0;
  std::filesystem::path rejected;
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

BadRows::BadRows(int64_t limit, std::filesystem::path rejected) : state_(std::make_unique<State>()) {
  state_->limit = limit;
  state_->rejected = std::move(rejected);
}

BadRows::~BadRows() = default;

void BadRows::report(const std::string& file, int64_t line, const std::string& column, std::string_view value,
                     const std::string& reason) {
  const std::lock_guard lock(state_->mutex);
  auto& lines = state_->seen[file];
  if (lines.contains(line)) return;
  if (state_->count >= state_->limit) {
    const std::string cell =
        column.empty()
            ? (value.empty() ? "" : fmt::format(" '{}'", escape(value, kShown)))
            : fmt::format(" {}{}", column, value.empty() ? "" : fmt::format(" = '{}'", escape(value, kShown)));
    const std::string remedy =
        state_->limit == 0 ? "mend the row, or leave such rows out with `prepare --bad-rows skip:N`"
                           : fmt::format("{} bad rows were left out already, as many as --bad-rows skip:{} allows",
                                         state_->count, state_->limit);
    throw Error(fmt::format("{}:{}:{} {}; {}", file, line, cell, reason, remedy), ErrorKind::data);
  }
  state_->write(file, line, column, value, reason);
  lines.insert(line);
  ++state_->count;
}

void BadRows::restart() {}  // a row is known by file and line, so a new pass needs no reset

int64_t BadRows::count() const {
  const std::lock_guard lock(state_->mutex);
  return state_->count;
}

}  // namespace interplay
