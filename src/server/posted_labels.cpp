#include "server/posted_labels.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "server/json_out.h"

namespace interplay::server {
namespace {

/// {"id": ..., "row": ..., LABEL: 0 or 1}, where the only label of a model may be called `label`.
struct PostedLabel {
  std::string id;
  std::optional<int64_t> row;
  std::vector<std::pair<std::string, float>> values;
};

PostedLabel posted_label(JsonTape::Value value, size_t place) {
  const auto bad = [&](const std::string& what) { bad_request(fmt::format("labels: entry {}: {}", place, what)); };
  PostedLabel out;
  if (!value.is(JsonTape::Kind::object)) bad("expected {\"id\": ..., \"row\": ..., \"label\": 0 or 1}");
  for (const auto [key, entry] : value.members()) {
    const std::string_view text = entry.text();
    if (key == "id") {
      out.id = text;
    } else if (key == "row") {
      int64_t row = -1;
      const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), row);
      if (status != std::errc() || end != text.data() + text.size() || row < 0) bad("row: expected a number from 0 on");
      out.row = row;
    } else if (text == "1" || text == "true") {
      out.values.emplace_back(key, 1.f);
    } else if (text == "0" || text == "false") {
      out.values.emplace_back(key, 0.f);
    } else if (!entry.is(JsonTape::Kind::null)) {
      bad(fmt::format("{}: expected 0 or 1", key));
    }
  }
  if (out.id.empty()) bad("no id, which the request for scores had");
  return out;
}

/// Makes sure that the labels and the row are those of the request, where it is remembered.
void check_label(PostedLabel& of, const Feedback::Known& known, size_t place) {
  const auto bad = [&](const std::string& what) { bad_request(fmt::format("labels: entry {}: {}", place, what)); };
  if (known.labels.empty()) return;
  if (!of.row && known.rows > 1) bad(fmt::format("no row, from 0 to {}, which one of them is told of", known.rows - 1));
  if (of.row.value_or(0) >= known.rows) bad(fmt::format("row {}: the request had {}", of.row.value_or(0), known.rows));
  for (auto& [name, value] : of.values) {
    if (known.labels.size() == 1 && name == "label") name = known.labels[0];
    if (std::find(known.labels.begin(), known.labels.end(), name) == known.labels.end())
      bad(fmt::format("label '{}': the model has {}", name, fmt::join(known.labels, ", ")));
  }
}

}  // namespace

LabelCounts take_labels(std::string& body, Feedback& feedback, RequestLog* log) {
  JsonTape tape;
  std::vector<PostedLabel> posted;
  for (const auto [key, value] : parse_object(tape, body)) {
    if (key != "labels" || !value.is(JsonTape::Kind::array))
      bad_request("expected {\"labels\": [{\"id\": ..., \"row\": ..., \"label\": 0 or 1}]}");
    for (const auto entry : value.values()) {
      posted.push_back(posted_label(entry, posted.size() + 1));
      check_label(posted.back(), feedback.known(posted.back().id), posted.size());
    }
  }
  LabelCounts counts;  // from here on nothing is refused: all are taken, or none
  for (const PostedLabel& of : posted) {
    const int64_t row = of.row.value_or(0);
    std::string line;  // of what is new, as far as can be told: a row that is told of twice would be a bad one
    for (const auto& [name, value] : of.values) {
      const auto told = feedback.take(of.id, row, name, value);
      ++(told == Feedback::Told::taken     ? counts.taken
         : told == Feedback::Told::unknown ? counts.unknown
                                           : counts.repeated);
      if (told == Feedback::Told::repeated) continue;
      line += ',';
      append_string(line, name);
      line += value > 0 ? ":1" : ":0";
    }
    if (log && !line.empty()) {
      std::string id;
      append_string(id, fmt::format("{}#{}", of.id, row));
      log->labels.write(fmt::format("{{\"_id\":{}{}}}", id, line));
    }
  }
  return counts;
}

}  // namespace interplay::server
