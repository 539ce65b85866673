#include "server/answers.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "server/json_out.h"

namespace interplay::server {

HttpResponse plain_answer(const ServedVersion& served, const std::string& id, std::span<const float> p) {
  const auto& names = served.outputs();
  const size_t labels = names.size();
  HttpResponse out;
  out.body.reserve(32 + p.size() * 12);
  out.body += '{';
  for (size_t t = 0; t < labels; ++t) {
    if (t) out.body += ',';
    append_string(out.body, names[t]);
    out.body += ':';
    append_numbers(out.body, p, labels, t);
  }
  out.body += ",\"model\":";
  append_string(out.body, served.model());
  out.body += ",\"version\":";
  append_string(out.body, served.version());
  if (!id.empty()) {
    out.body += ",\"id\":";
    append_string(out.body, id);
  }
  out.body += "}\n";
  return out;
}

HttpResponse v2_answer(const ServedVersion& served, const RequestCells& cells, const std::string& id,
                       std::span<const float> p) {
  const auto& names = served.outputs();
  const size_t labels = names.size();
  HttpResponse out;
  std::vector<std::pair<size_t, bool>> wanted;  // label, as bytes
  for (const auto& output : cells.outputs()) {
    const auto place = std::find(names.begin(), names.end(), output.name);
    if (place == names.end()) {
      throw RequestError(400, fmt::format("output '{}': the model has {}", output.name, fmt::join(names, ", ")));
    }
    wanted.emplace_back(size_t(place - names.begin()), output.binary || cells.all_binary());
  }
  for (size_t t = 0; t < labels && cells.outputs().empty(); ++t) wanted.emplace_back(t, cells.all_binary());
  out.body.reserve(256 + p.size() * 12);
  out.body += "{\"model_name\":";
  append_string(out.body, served.model());
  out.body += ",\"model_version\":";
  append_string(out.body, served.version());
  if (!id.empty()) {
    out.body += ",\"id\":";
    append_string(out.body, id);
  }
  out.body += ",\"outputs\":[";
  bool any = false, first = true;
  for (const auto& [t, binary] : wanted) {
    if (!first) out.body += ',';
    first = false;
    out.body += "{\"name\":";
    append_string(out.body, names[t]);
    out.body += fmt::format(",\"datatype\":\"FP32\",\"shape\":[{}],", cells.rows());
    if (binary) {
      any = true;
      out.body += fmt::format("\"parameters\":{{\"binary_data_size\":{}}}}}", cells.rows() * int64_t(sizeof(float)));
    } else {
      out.body += "\"data\":";
      append_numbers(out.body, p, labels, t);
      out.body += '}';
    }
  }
  out.body += "]}";
  if (any) {
    out.headers.emplace_back("Inference-Header-Content-Length", std::to_string(out.body.size()));
    out.content_type = "application/octet-stream";
    for (const auto& [t, binary] : wanted) {
      for (size_t i = t; binary && i < p.size(); i += labels) {
        out.body.append(reinterpret_cast<const char*>(&p[i]), sizeof(float));
      }
    }
  }
  return out;
}

}  // namespace interplay::server
