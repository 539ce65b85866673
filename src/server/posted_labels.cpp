#include "server/posted_labels.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "server/json_out.h"

namespace interplay::server {
namespace {

/// {"id": ..., "row": ..., LABEL: 0 or 1}, where the only label of a model may be called `label`.
struct PostedLabel {
  std::string id;
  int64_t row = 0;
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
      const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), out.row);
      if (status != std::errc() || end != text.data() + text.size() || out.row < 0)
        bad("row: expected a number from 0 on");
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

}  // namespace

LabelCounts take_labels(std::string& body, Feedback& feedback, RequestLog* log) {
  JsonTape tape;
  std::vector<PostedLabel> posted;
  for (const auto [key, value] : parse_object(tape, body)) {
    if (key != "labels" || !value.is(JsonTape::Kind::array))
      bad_request("expected {\"labels\": [{\"id\": ..., \"row\": ..., \"label\": 0 or 1}]}");
    for (const auto entry : value.values()) posted.push_back(posted_label(entry, posted.size() + 1));
  }
  LabelCounts counts;
  for (const PostedLabel& of : posted) {
    const auto names = feedback.labels(of.id);
    std::string line;  // of what is new, as far as can be told: a row that is told of twice would be a bad one
    for (const auto& [name, value] : of.values) {
      const std::string& label = names.size() == 1 && name == "label" ? names[0] : name;
      const auto place = std::find(names.begin(), names.end(), label);
      if (place == names.end() && !names.empty())
        bad_request(fmt::format("label '{}': the model has {}", name, fmt::join(names, ", ")));
      const auto index = names.empty() ? 0 : size_t(place - names.begin());
      const bool known = feedback.take(of.id, of.row, index, value);
      ++(known ? counts.taken : counts.unknown);
      if (!known && !names.empty()) continue;
      line += ',';
      append_string(line, label);
      line += value > 0 ? ":1" : ":0";
    }
    if (log && !line.empty()) {
      std::string id;
      append_string(id, fmt::format("{}#{}", of.id, of.row));
      log->labels.write(fmt::format("{{\"_id\":{}{}}}", id, line));
    }
  }
  return counts;
}

}  // namespace interplay::server
