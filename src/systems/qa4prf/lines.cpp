#include "systems/qa4prf/lines.h"

#include <interplay/base/error.h>
#include <interplay/data/reader.h>

namespace interplay::qa4prf {

std::string Place::text() const { return fmt::format("{}:{}", file, line); }

void each_line(const std::filesystem::path& file, const std::function<void(std::string_view, const Place&)>& use,
               const std::function<void(int64_t, int64_t)>& progress) {
  ReadRequest request;
  request.files = expand_glob(file);
  // A line is one cell, since its separator is a control character that text has no use for.
  const auto reader = readers().make(
      request,
      Config::parse("{name: csv, separator: \"\\x01\", header: [line], quote: false, max_line_bytes: 67108864}"));
  for (RawBatch batch; reader->next(batch);) {
    const RawColumn& line = batch.column("line");
    for (int64_t r = 0; r < batch.rows; ++r) use(line.cell(r), {batch.file, batch.lines[size_t(r)]});
    if (progress) progress(reader->bytes_done(), reader->bytes_total());
  }
}

std::vector<std::string_view> parts_of(std::string_view line, bool blanks) {
  const std::string_view between = blanks ? "\t " : "\t";
  std::vector<std::string_view> out;
  for (size_t at = 0; at <= line.size();) {
    const size_t end = std::min(line.find_first_of(between, at), line.size());
    if (end > at || !blanks) out.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

void check_id(std::string_view id, const char* of, const Place& place) {
  INTERPLAY_CHECK_DATA(!id.empty(), "{}: {} has no id", place.text(), of);
  INTERPLAY_CHECK_DATA(id.find_first_of(" \t\r\n") == id.npos,
                       "{}: the id of {}, '{}', has white space in it, which a run's lines cannot hold", place.text(),
                       of, id);
}

}  // namespace interplay::qa4prf
