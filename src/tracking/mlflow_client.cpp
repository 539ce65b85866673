#include "tracking/mlflow_client.h"

#include <algorithm>
#include <cctype>

namespace interplay::tracking {
namespace {

using Json = nlohmann::json;

constexpr const char* kApi = "/api/2.0/mlflow/";
constexpr size_t kNameBytes = 250;
constexpr size_t kShownBytes = 300;  // of what a server says

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(uint8_t(c)) || c == '-' || c == '_' || c == '.' || c == '~';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", uint8_t(c));
  }
  return out;
}

/// Of an answer that is none of ours: a field of text, or "".
std::string text_in(const Json& answer, const char* key) {
  const auto found = answer.is_object() ? answer.find(key) : answer.end();
  return answer.is_object() && found != answer.end() && found->is_string() ? found->get<std::string>() : "";
}

/// A refusal by the name that the server gives it.
bool is_code(const HttpAnswer& answer, const char* code) {
  return answer.status >= 400 && text_in(Json::parse(answer.body, nullptr, false), "error_code") == code;
}

std::string id_in(const Json& answer, const char* key) {
  const std::string id = text_in(answer, key);
  if (id.empty()) throw MlflowRefusal(fmt::format("the answer has no {}; is it a server of MLflow?", key));
  return id;
}

}  // namespace

std::string mlflow_name(std::string name) {
  for (char& c : name) {
    if (!std::isalnum(uint8_t(c)) && std::string_view("_-. /").find(c) == std::string_view::npos) c = '_';
  }
  return name.substr(0, kNameBytes);
}

Json MlflowClient::read(const std::string& call, const HttpAnswer& answer) const {
  const Json json = Json::parse(answer.body, nullptr, false);
  if (answer.status == 200 && json.is_object()) return json;
  std::string said = text_in(json, "message");
  if (said.empty()) said = answer.body;
  const auto what = fmt::format("{} was answered with status {}: {}", call, answer.status, said.substr(0, kShownBytes));
  if (answer.status >= 500 || answer.status == 429 || answer.status == 408) throw Error(what, ErrorKind::data);
  throw MlflowRefusal(what);
}

Json MlflowClient::ask(const std::string& call, const Json& body) const {
  // what is no UTF-8 (a file's name) is replaced: a letter lost is better than a run
  const auto text = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  return read(call, http_ask(url_, kApi + call, text, patience_));
}

std::string MlflowClient::experiment(const std::string& name) const {
  const auto find = [&] {
    return http_ask(url_, fmt::format("{}experiments/get-by-name?experiment_name={}", kApi, escaped(name)), "",
                    patience_);
  };
  HttpAnswer answer = find();
  if (is_code(answer, "RESOURCE_DOES_NOT_EXIST")) {
    const HttpAnswer made =
        http_ask(url_, fmt::format("{}experiments/create", kApi), Json{{"name", name}}.dump(), patience_);
    if (!is_code(made, "RESOURCE_ALREADY_EXISTS")) return id_in(read("experiments/create", made), "experiment_id");
    answer = find();  // another run was quicker
  }
  const Json json = read("experiments/get-by-name", answer);
  return id_in(json.value("experiment", Json()), "experiment_id");
}

std::string MlflowClient::create_run(const std::string& experiment_id, const std::string& name,
                                     int64_t start_ms) const {
  const Json answer =
      ask("runs/create", {{"experiment_id", experiment_id}, {"run_name", name}, {"start_time", start_ms}});
  const Json run = answer.value("run", Json::object());
  return id_in(run.is_object() ? run.value("info", Json()) : Json(), "run_id");
}

void MlflowClient::log_params(const std::string& run,
                              std::span<const std::pair<std::string, std::string>> params) const {
  Json list = Json::array();
  for (const auto& [key, value] : params) list.push_back({{"key", key}, {"value", value}});
  ask("runs/log-batch", {{"run_id", run}, {"params", list}});
}

void MlflowClient::log_metrics(const std::string& run, std::span<const MlflowMetric> metrics) const {
  Json list = Json::array();
  for (const auto& m : metrics)
    list.push_back({{"key", m.key}, {"value", m.value}, {"timestamp", m.timestamp}, {"step", m.step}});
  ask("runs/log-batch", {{"run_id", run}, {"metrics", list}});
}

void MlflowClient::set_status(const std::string& run, const std::string& status, int64_t end_ms) const {
  Json body{{"run_id", run}, {"status", status}};
  if (end_ms > 0) body["end_time"] = end_ms;
  ask("runs/update", body);
}

}  // namespace interplay::tracking
