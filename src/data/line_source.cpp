#include "data/line_source.h"

#include <algorithm>
#include <cstring>

#include <interplay/base/error.h>

namespace interplay {
namespace {

const char* find(const char* from, const char* to, char c) {
  return from == to ? nullptr : static_cast<const char*>(std::memchr(from, c, size_t(to - from)));
}

}  // namespace

LineSource::LineSource(std::filesystem::path file, LineOptions options)
    : file_(std::move(file)), options_(std::move(options)), input_(open_file(file_, options_.compression)) {}

int64_t LineSource::bytes_done() const {
  const auto place = input_.raw->Tell();
  return place.ok() ? *place : 0;
}

void LineSource::check_magic() const {
  const std::string_view start(buffer_.get(), std::min<size_t>(end_, 4));
  INTERPLAY_CHECK_DATA(!start.starts_with("\xff\xfe") && !start.starts_with("\xfe\xff"),
                       "{}: looks like UTF-16; convert it to UTF-8 first", file_.string());
  INTERPLAY_CHECK_DATA(start != "PAR1", "{}: is a Parquet file; set format: parquet", file_.string());
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
  if (!started_ && (end_ >= 4 || at_end_)) {
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

const char* LineSource::why_bad(std::string_view line) const {
  if (line.size() > size_t(options_.max_line_bytes)) return "is longer than max_line_bytes";
  if (has_return_ && line.find('\r') < line.size()) {
    return "has a carriage return inside (lines end in \\n or \\r\\n)";
  }
  if (has_quote_ && line.find('"') < line.size() && ends_in_quotes(line)) {
    return "has a quoted value that does not end on its line (a row is one line; values cannot hold line breaks)";
  }
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

/// The whole lines that the buffer holds, up to max_lines.
void LineSource::take_lines(LineBlock& block, int64_t max_lines) {
  char* const first = buffer_.get() + begin_;
  char* out = first;
  const char* const end = buffer_.get() + end_;
  const auto rewritten = std::make_shared<std::string>();
  for (const char* at = first; int64_t(block.lines.size()) < max_lines;) {
    const char* const stop = find(at, end, '\n');
    if (!stop) break;
    ++line_;
    std::string_view line(at, size_t(stop - at));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) {
      if (const char* const why = why_bad(line)) {
        block.bad.push_back({file_.string(), line_, "", std::string(line), why});
      } else {
        keep({at, size_t(stop + 1 - at)}, out, *rewritten);
        block.lines.push_back(line_);
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
    take_lines(block, max_lines);
  }
  return !block.lines.empty() || !block.bad.empty();
}

}  // namespace interplay
