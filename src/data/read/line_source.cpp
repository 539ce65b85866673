#include "data/read/line_source.h"

#include <algorithm>
#include <cstring>

#include <interplay/base/error.h>

namespace interplay {
namespace {

const char* find(const char* from, const char* to, char c) {
  return from == to ? nullptr : static_cast<const char*>(std::memchr(from, c, size_t(to - from)));
}

/// A carriage return that ends no line.
bool has_bare_return(std::string_view row) {
  for (size_t at = row.find('\r'); at < row.size(); at = row.find('\r', at + 1)) {
    if (!row.substr(at).starts_with("\r\n")) return true;
  }
  return false;
}

}  // namespace

LineSource::LineSource(std::filesystem::path file, LineOptions options)
    : file_(std::move(file)), options_(std::move(options)), input_(open_file(file_, options_.compression)) {}

int64_t LineSource::bytes_done() const {
  const auto place = input_.raw->Tell();
  return place.ok() ? *place : 0;
}

void LineSource::check_magic() const {
  const std::string foreign = foreign_format({buffer_.get(), std::min<size_t>(end_, kMagicBytes)});
  INTERPLAY_CHECK_DATA(foreign.empty(), "{}: {}", file_.string(), foreign);
}

/// Puts what is left and one more read into a new buffer, a newline after a last line that has none.
void LineSource::read_more() {
  const size_t left = end_ - begin_, more = std::max(kReadBytes, left);  // a long line is not copied over and over
  auto fresh = std::make_shared_for_overwrite<char[]>(left + more + 1);
  if (left > 0) std::memcpy(fresh.get(), buffer_.get() + begin_, left);
  buffer_ = std::move(fresh);
  begin_ = 0;
  end_ = left;
  char* const to = buffer_.get() + end_;
  auto got = check_arrow(input_.bytes->Read(int64_t(more), to), file_);
  if (got == 0) {
    at_end_ = true;
    if (end_ > 0) *to = '\n', got = to[-1] == '\n' ? 0 : 1;
  }
  end_ += size_t(got);
  has_return_ = find(buffer_.get(), buffer_.get() + end_, '\r');
  has_quote_ = options_.quote && find(buffer_.get(), buffer_.get() + end_, '"');
  if (!started_ && (end_ >= kMagicBytes || at_end_)) {
    started_ = true;
    check_magic();
    if (std::string_view(buffer_.get(), end_).starts_with("\xef\xbb\xbf")) begin_ = 3;
  }
}

/// After a line that is too long: drops bytes up to its end without ever holding all of them.
void LineSource::skip_rest_of_line(LineBlock& block) {
  block.bad.push_back({file_.string(), line_ + 1, "", std::string(buffer_.get() + begin_, end_ - begin_),
                       fmt::format("is longer than max_line_bytes: {}", options_.max_line_bytes)});
  while (true) {
    if (const char* const stop = find(buffer_.get() + begin_, buffer_.get() + end_, '\n')) {
      begin_ = size_t(stop - buffer_.get()) + 1;
      break;
    }
    begin_ = end_;
    if (at_end_) break;
    read_more();
  }
  ++line_;
}

/// Whether the line ends inside a quoted value. A quote opens a value only where the value begins.
bool LineSource::ends_in_quotes(std::string_view line) const {
  size_t at = 0;
  while (at < line.size()) {
    if (line[at] == '"') {
      for (++at;; at += 2) {  // "" stands for one quote
        at = line.find('"', at);
        if (at == std::string_view::npos) return true;
        if (at + 1 >= line.size() || line[at + 1] != '"') break;
      }
      ++at;
    }
    at = line.find(options_.separator[0], at);
    if (at == std::string_view::npos) return false;
    ++at;
  }
  return false;
}

/// The row that begins here, one of whose quoted values goes on on the next line.
LineSource::Row LineSource::row_of_lines(const char* at, const char* end) const {
  for (bool whole = true; at != end; ++at) {  // a value begins
    if (*at == '"') {
      for (++at;; at += 2) {
        at = find(at, end, '"');
        if (!at || at + 1 == end) return {nullptr, false};
        if (at[1] != '"') break;
      }
      ++at;
      whole = whole && (*at == options_.separator[0] || *at == '\n' || *at == '\r');
    }
    while (at != end && *at != options_.separator[0] && *at != '\n') ++at;
    if (at == end) break;
    if (*at == '\n') return {at, whole};
  }
  return {nullptr, false};
}

/// What is inside a quoted value, or would be if it ended, must not become rows.
void LineSource::leave_out_lines(const char* at, const char* stop, LineBlock& block) {
  const int64_t first = line_ + 1;
  for (; at <= stop; ++at) {
    const char* const line_end = find(at, stop + 1, '\n');
    std::string_view line(at, size_t(line_end - at));
    if (line.ends_with('\r')) line.remove_suffix(1);
    block.bad.push_back({file_.string(), ++line_, "", std::string(line),
                         line_ == first ? "has a quoted value that does not end, or has text behind its end; write a "
                                          "quote in a quoted value twice, or set quote: false if quotes mean nothing"
                                        : fmt::format("lies in the quoted value that begins on line {}", first)});
    at = line_end;
  }
}

const char* LineSource::why_bad(std::string_view line) const {
  if (line.size() > size_t(options_.max_line_bytes)) return "is longer than max_line_bytes";
  if (has_return_ && has_bare_return(line)) return "has a carriage return inside (lines end in \\n or \\r\\n)";
  if (rewrites_separator() && line.find(separator_of(options_)) < line.size())
    return "holds the control character 0x1f";
  return nullptr;
}

/// Separators of several bytes become one byte, Latin-1 becomes UTF-8.
void LineSource::rewrite(std::string_view line, std::string& out) const {
  const std::string_view separator = options_.separator;
  for (size_t i = 0; i < line.size(); ++i) {
    const auto byte = static_cast<unsigned char>(line[i]);
    if (rewrites_separator() && line[i] == separator[0] && line.substr(i, separator.size()) == separator) {
      out += separator_of(options_);
      i += separator.size() - 1;
    } else if (options_.latin1 && byte >= 0x80) {
      out += char(0xc0 | byte >> 6);
      out += char(0x80 | (byte & 0x3f));
    } else {
      out += line[i];
    }
  }
}

/// `line` has its line end. Lines that follow bad or blank ones move down, so that the block stays in one piece.
void LineSource::keep(std::string_view line, char*& out, std::string& rewritten) const {
  if (rewrites_separator() || options_.latin1) {
    rewrite(line, rewritten);
    return;
  }
  if (out != line.data()) std::memmove(out, line.data(), line.size());
  out += line.size();
}

/// The whole rows that the buffer holds, up to max_lines. False where it ends within a row of several lines.
bool LineSource::take_lines(LineBlock& block, int64_t max_lines) {
  bool complete = true;
  char* const first = buffer_.get() + begin_;
  char* out = first;
  const char* const end = buffer_.get() + end_;
  const auto rewritten = std::make_shared<std::string>();
  for (const char* at = first; int64_t(block.lines.size()) < max_lines;) {
    const char* stop = find(at, end, '\n');
    if (!stop) break;
    std::string_view line(at, size_t(stop - at));
    int64_t breaks = 0;
    if (has_quote_ && line.find('"') < line.size() && ends_in_quotes(line)) {
      const Row row = row_of_lines(at, end);
      INTERPLAY_CHECK_DATA(
          row.stop || end - at <= options_.max_line_bytes,
          "{}:{}: a quoted value begins here that does not end within max_line_bytes: {}; close it, or "
          "set quote: false if quotes mean nothing",
          file_.string(), line_ + 1, options_.max_line_bytes);
      if (!row.stop && !at_end_) {
        complete = false;
        break;
      }
      if (!row.whole) {
        leave_out_lines(at, row.stop ? row.stop : end - 1, block);
        at = row.stop ? row.stop + 1 : end;
        begin_ = size_t(at - buffer_.get());
        continue;
      }
      stop = row.stop;
      line = {at, size_t(stop - at)};
      breaks = std::count(line.begin(), line.end(), '\n');
      block.breaks = true;
    }
    const int64_t number = line_ + 1;
    line_ += 1 + breaks;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) {
      if (const char* const why = why_bad(line)) {
        block.bad.push_back({file_.string(), number, "", std::string(line), why});
      } else {
        keep({at, size_t(stop + 1 - at)}, out, *rewritten);
        block.lines.push_back(number);
      }
    }
    at = stop + 1;
    begin_ = size_t(at - buffer_.get());
  }
  block.quotes = has_quote_;
  if (rewritten->empty()) {
    block.text = std::string_view(first, size_t(out - first));
    block.owner = buffer_;
  } else {
    block.text = *rewritten;
    block.owner = rewritten;
  }
  return complete;
}

bool LineSource::next(LineBlock& block, int64_t max_lines) {
  block = LineBlock();
  while (block.lines.empty() && block.bad.empty()) {
    while (!at_end_ && !find(buffer_.get() + begin_, buffer_.get() + end_, '\n')) {
      if (end_ - begin_ > size_t(options_.max_line_bytes) && started_) {
        skip_rest_of_line(block);
      } else {
        read_more();
      }
    }
    if (begin_ == end_) break;
    if (!take_lines(block, max_lines) && block.lines.empty() && block.bad.empty()) read_more();
  }
  return !block.lines.empty() || !block.bad.empty();
}

}  // namespace interplay
