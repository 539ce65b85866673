#include "server/service.h"

#include <algorithm>
#include <chrono>
#include <span>

#include <nlohmann/json.hpp>

#include <interplay/base/abi.h>
#include <interplay/base/error.h>
#include <interplay/base/random.h>

#include "server/answers.h"
#include "server/labelled.h"
#include "server/posted_labels.h"

namespace interplay::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kVersion = INTERPLAY_VERSION;
constexpr const char* kUsersColumns = "interplay_user_columns";  // [1] beside [N]

HttpResponse json(const Json& value, int status = 200) {
  return {.status = status, .body = value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", .headers = {}};
}
HttpResponse error(int status, const std::string& message) { return json({{"error", message}}, status); }

std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t at) {
      const char c = at < text.size() ? text[at] : '\0';
      return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    };
    if (text[i] == '%' && digit(i + 1) >= 0 && digit(i + 2) >= 0) {
      out += char(digit(i + 1) * 16 + digit(i + 2));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// Bytes of Inference-Header-Content-Length, or -1 without.
int64_t head_bytes(const HttpRequest& request) {
  const std::string_view text = request.header("Inference-Header-Content-Length");
  if (text.empty()) return -1;
  if (text.size() > 15 || text.find_first_not_of("0123456789") != std::string_view::npos) {
    throw RequestError(400, fmt::format("Inference-Header-Content-Length '{}': expected a number of bytes", text));
  }
  return std::stoll(std::string(text));
}

Json metadata(const std::string& name, const ServedModel& model) {
  Json out{{"name", name}};
  Json versions = Json::array();
  for (const auto& [version, served] : model.versions) versions.push_back(version);
  out["versions"] = versions;
  out["platform"] = "interplay";
  Json inputs = Json::array(), outputs = Json::array();
  const RequestColumns& columns = model.standing->columns();
  for (size_t c = 0; c < columns.names.size(); ++c) {
    const Json shape = columns.separators[c].empty() ? Json::array({-1}) : Json::array({-1, -1});
    inputs.push_back({{"name", columns.names[c]}, {"datatype", "BYTES"}, {"shape", shape}});
  }
  for (const auto& output : model.standing->outputs()) {
    outputs.push_back({{"name", output}, {"datatype", "FP32"}, {"shape", {-1}}});
  }
  out["inputs"] = inputs;
  out["outputs"] = outputs;
  Json labels{{"stable", model.standing->version()}};
  if (model.canary) {
    labels["canary"] = model.canary->version();
    out["canary_percent"] = model.canary_percent;
  }
  if (model.shadow) labels["shadow"] = model.shadow->version();
  out["labels"] = labels;
  if (!model.problem.empty()) out["problem"] = model.problem;
  return out;
}

Json statistics(const std::string& name, const ServedVersion& version) {
  const VersionStats& s = version.stats();
  const int64_t count = s.whole.count(), failed = s.failed.load() + s.refused.load();
  const auto time = [](int64_t n, int64_t ns) { return Json{{"count", n}, {"ns", ns}}; };
  return {{"name", name},
          {"version", version.version()},
          {"last_inference", s.last_ms.load()},
          {"inference_count", s.rows.load()},
          {"execution_count", count},
          {"inference_stats",
           {{"success", time(count, s.whole.sum_ns())},
            {"fail", time(failed, 0)},
            {"queue", time(count, s.queue.sum_ns())},
            {"compute_input", time(count, s.input_ns.load())},
            {"compute_infer", time(count, s.compute.sum_ns())},
            {"compute_output", time(count, s.output_ns.load())},
            {"cache_hit", time(0, 0)},
            {"cache_miss", time(0, 0)}}},
          {"batch_stats", Json::array()}};
}

/// What the shadow says of the rows that the standing version answered, and who is right where that is known.
Json comparison(const ServedVersion& standing, const ServedVersion& shadow) {
  const Differences d = shadow.stats().differences();
  const double rows = double(std::max<int64_t>(1, d.rows));
  Json out{{"stable", standing.version()},
           {"shadow", shadow.version()},
           {"scores", d.rows},
           {"mean_stable", d.other / rows},
           {"mean_shadow", d.own / rows},
           {"mean_difference", d.absolute / rows},
           {"largest_difference", d.most},
           {"failed", shadow.stats().failed.load()}};
  Json labels = Json::array();
  for (size_t t = 0; t < shadow.stats().labelled.size(); ++t) {
    Json of = compare_labelled(shadow.stats().labelled[t].rows());
    of["label"] = shadow.labels()[t];
    labels.push_back(of);
  }
  out["labels"] = labels;
  return out;
}

HttpResponse no_such_path(const HttpRequest& request) {
  return error(404, fmt::format("{}: no such path", request.target));
}

}  // namespace

/// A path in its parts, and what stands behind the question mark.
struct Service::Target {
  explicit Target(std::string_view text) {
    const auto mark = text.find('?');
    std::string_view rest = text.substr(0, mark);
    while (!rest.empty()) {
      const auto slash = rest.find('/');
      if (slash != 0) parts.push_back(decoded(rest.substr(0, slash)));
      rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    }
    if (mark == std::string_view::npos) return;
    for (std::string_view query = text.substr(mark + 1); !query.empty();) {
      const auto end = query.find('&');
      const std::string_view one = query.substr(0, end);
      const auto equals = one.find('=');
      keys[decoded(one.substr(0, equals))] = equals == std::string_view::npos ? "" : decoded(one.substr(equals + 1));
      query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    }
  }
  bool is(std::initializer_list<std::string_view> wanted) const {
    return std::equal(parts.begin(), parts.end(), wanted.begin(), wanted.end(),
                      [](const std::string& a, std::string_view b) { return b == "*" || a == b; });
  }

  std::vector<std::string> parts;
  std::map<std::string, std::string> keys;
};

Lane Service::lane(const HttpRequest& request) const {
  if (request.method != "POST") return Lane::now;
  return request.target.starts_with("/v2/repository/models") ? Lane::slow : Lane::score;
}

HttpResponse Service::answer(HttpRequest& request) {
  try {
    return route(request, Target(request.target));
  } catch (const RequestError& problem) {
    return error(problem.status, problem.what());
  }
}

HttpResponse Service::route(HttpRequest& request, const Target& target) {
  const bool get = request.method == "GET" || request.method == "HEAD", post = request.method == "POST";
  const auto only = [&](bool fits, const char* method) {
    if (!fits) throw RequestError(405, fmt::format("{} {}: expected {}", request.method, request.target, method));
  };
  if (target.is({"v2"})) {
    only(get, "GET");
    return json({{"name", "interplay"},
                 {"version", kVersion},
                 {"extensions", {"binary_tensor_data", "model_repository", "statistics", kUsersColumns}}});
  }
  if (target.is({"v2", "health", "live"})) {
    only(get, "GET");
    return json({{"live", true}});
  }
  if (target.is({"v2", "health", "ready"})) {
    only(get, "GET");
    bool some = false, all = true;
    for (const auto& [name, model] : *repository_.catalogue()) {
      some = some || model.standing;
      all = all && (model.standing || !model.wanted);
    }
    const bool ready = some && all;
    return json({{"ready", ready}}, ready ? 200 : 503);
  }
  if (target.is({"metrics"})) {
    only(get, "GET");
    return {.content_type = "text/plain; version=0.0.4", .body = metrics(), .headers = {}};
  }
  if (target.is({"v2", "models", "stats"})) {
    only(get, "GET");
    Json all = Json::array();
    for (const auto& [name, model] : *repository_.catalogue()) {
      for (const auto& [version, served] : model.versions) all.push_back(statistics(name, *served));
    }
    return json({{"model_stats", all}});
  }
  if (target.parts.size() >= 3 && target.parts[0] == "v2" && target.parts[1] == "models")
    return of_model(request, target);
  if (target.parts.size() >= 3 && target.parts[0] == "v2" && target.parts[1] == "repository") {
    only(post, "POST");
    return repository_call(request, target);
  }
  if (target.is({"v1", "score"})) {
    only(post, "POST");
    for (const auto& [name, value] : target.keys) {
      if (name != "model" && name != "version")
        bad_request(fmt::format("'{}' in {}: expected `model` or `version`", name, request.target));
    }
    const auto key = [&](const char* name) {
      const auto found = target.keys.find(name);
      return found == target.keys.end() ? std::string() : found->second;
    };
    const std::string model = key("model");
    return infer(request, model.empty() ? only_model() : model, key("version"), true);
  }
  if (target.is({"v1", "labels"})) {
    only(post, "POST");
    const LabelCounts counts = take_labels(request.body, afterwards_.feedback, afterwards_.log);
    return json({{"taken", counts.taken}, {"unknown", counts.unknown}, {"repeated", counts.repeated}});
  }
  if (target.parts.empty()) {
    only(get, "GET");
    return {.content_type = "text/plain",
            .body = "interplay serves raw rows: POST /v1/score, Open Inference Protocol v2 below /v2, GET /metrics\n",
            .headers = {}};
  }
  return error(404,
               fmt::format("{}: no such path; there are /v1/score, /v1/labels, /v2/... and /metrics", request.target));
}

/// The one that there is.
std::string Service::only_model() const {
  const auto all = repository_.catalogue();
  if (all->size() == 1) return all->begin()->first;
  if (all->empty()) throw RequestError(503, "no model is served");
  std::vector<std::string> names;
  for (const auto& [name, served] : *all) names.push_back(name);
  throw RequestError(400, fmt::format("{} models are served: say which, as /v1/score?model={} (there are {})",
                                      all->size(), names[0], fmt::join(names, ", ")));
}

HttpResponse Service::of_model(HttpRequest& request, const Target& target) {
  const std::string& name = target.parts[2];
  std::string version, what;
  size_t next = 3;
  if (target.parts.size() > next && target.parts[next] == "versions") {
    if (target.parts.size() < next + 2) return no_such_path(request);
    version = target.parts[next + 1];
    next += 2;
  }
  if (target.parts.size() > next) what = target.parts[next++];
  if (target.parts.size() > next) return no_such_path(request);
  if (what == "infer") {
    if (request.method != "POST")
      throw RequestError(405, fmt::format("{} {}: expected POST", request.method, request.target));
    return infer(request, name, version, false);
  }
  if (request.method != "GET" && request.method != "HEAD") {
    throw RequestError(405, fmt::format("{} {}: expected GET", request.method, request.target));
  }
  const auto catalogue = repository_.catalogue();
  const auto found = catalogue->find(name);
  if (found == catalogue->end()) return error(404, fmt::format("model '{}' is not here", name));
  const ServedModel& model = found->second;
  const bool ready = (version.empty() ? model.standing : model.named(version)) != nullptr;
  if (what == "ready") return json({{"name", name}, {"ready", ready}}, ready ? 200 : 503);
  if (!ready) {
    const std::string which = version.empty() ? "" : fmt::format(" version {}", version);
    return error(version.empty() ? 503 : 404, fmt::format("model '{}'{} is not served{}{}", name, which,
                                                          model.problem.empty() ? "" : ": ", model.problem));
  }
  if (what.empty()) return json(metadata(name, model));
  if (what == "config") {
    return json({{"name", name},
                 {"platform", "interplay"},
                 {"backend", "interplay"},
                 {"max_batch_size", 0},
                 {"input", Json::array()},
                 {"output", Json::array()}});
  }
  if (what == "shadow") {
    if (!model.shadow) return error(404, fmt::format("model '{}' has no shadow; name one in serving.yaml", name));
    return json(comparison(*model.standing, *model.shadow));
  }
  if (what == "stats") {
    Json all = Json::array();
    for (const auto& [number, served] : model.versions) {
      if (version.empty() || model.named(version) == served) all.push_back(statistics(name, *served));
    }
    return json({{"model_stats", all}});
  }
  return no_such_path(request);
}

HttpResponse Service::repository_call(const HttpRequest& request, const Target& target) {
  if (target.is({"v2", "repository", "index"})) {
    Json all = Json::array();
    for (const auto& [name, model] : *repository_.catalogue()) {
      for (const auto& [version, served] : model.versions) {
        all.push_back({{"name", name}, {"version", version}, {"state", "READY"}, {"reason", ""}});
      }
      if (!model.standing || !model.problem.empty()) {
        all.push_back({{"name", name},
                       {"version", ""},
                       {"state", "UNAVAILABLE"},
                       {"reason", model.wanted ? model.problem : "unloaded"}});
      }
    }
    return json(all);
  }
  const bool load = target.is({"v2", "repository", "models", "*", "load"});
  if (!load && !target.is({"v2", "repository", "models", "*", "unload"})) {
    return no_such_path(request);
  }
  try {
    load ? repository_.load(target.parts[3]) : repository_.unload(target.parts[3]);
  } catch (const Error& problem) {
    return error(400, problem.what());
  }
  return json(Json::object());
}

/// A request for scores, and who answers it.
struct Service::Asked {
  const ServedModel& model;
  std::shared_ptr<ServedVersion> version;
  const RequestCells& cells;
  std::string id;
  bool logged;
};

namespace {

std::shared_ptr<ServedVersion> version_of(const std::string& name, const ServedModel& model,
                                          const std::string& version) {
  if (!model.standing) {
    throw RequestError(
        503, fmt::format("model '{}' is not ready{}{}", name, model.problem.empty() ? "" : ": ", model.problem));
  }
  if (version.empty()) return model.standing;
  auto named = model.named(version);
  if (!named) throw RequestError(404, fmt::format("model '{}' version {} is not served", name, version));
  return named;
}

}  // namespace

/// Nothing here may be waited for: what takes long is the observer's.
void Service::after(const Asked& asked, std::vector<float> p) {
  if (!asked.id.empty()) afterwards_.feedback.remember(asked.id, asked.version, p);
  auto shadow = asked.version == asked.model.standing ? asked.model.shadow : nullptr;
  Observer& observer = afterwards_.observer;
  const bool counted = observer.counts(asked.cells.rows());
  if (!shadow && !asked.logged && !counted) return;
  if (!observer.has_room()) return observer.drop();
  const double time = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  observer.offer({asked.id, time, asked.version, std::move(shadow), asked.model.columns, KeptCells(asked.cells),
                  std::move(p), asked.logged, counted});
}

HttpResponse Service::infer(HttpRequest& request, const std::string& name, const std::string& version, bool plain) {
  if (const auto coding = request.header("Content-Encoding"); !coding.empty() && coding != "identity") {
    throw RequestError(415, fmt::format("Content-Encoding {}: expected none", coding));
  }
  const auto catalogue = repository_.catalogue();
  const auto found = catalogue->find(name);
  if (found == catalogue->end()) return error(404, fmt::format("model '{}' is not here", name));
  const ServedModel& model = found->second;
  std::shared_ptr<ServedVersion> served = version_of(name, model, version);
  thread_local RequestCells cells;
  HttpResponse out;
  const int64_t begun = now_ns();
  int64_t read = begun, scored = begun;
  try {
    if (plain) {
      cells.read_rows(request.body, *model.columns, limits_);
    } else {
      cells.read_v2(request.body, head_bytes(request), *model.columns, limits_);
    }
    if (version.empty()) served = model.chosen(cells);
    read = now_ns();
    std::vector<float> p = served->score(cells, *model.columns);
    scored = now_ns();
    Asked asked{model, served, cells, cells.id(), false};
    const uint64_t number = requests_.fetch_add(1);
    asked.logged = afterwards_.log && random_unit(1, 0, number) < afterwards_.log_share;
    if (asked.logged && asked.id.empty()) asked.id = fmt::format("{:x}-{}", request.arrived_ns, number);
    out = plain ? plain_answer(*served, asked.id, p) : v2_answer(*served, cells, asked.id, p);
    after(asked, std::move(p));
  } catch (const RequestError&) {
    served->stats().refused.fetch_add(1);
    throw;
  } catch (const Error& problem) {  // a cell that the encoder refuses
    served->stats().refused.fetch_add(1);
    return error(400, problem.what());
  } catch (...) {
    served->stats().failed.fetch_add(1);
    throw;
  }
  VersionStats& stats = served->stats();
  const int64_t done = now_ns();
  stats.input_ns.fetch_add(read - begun);
  stats.output_ns.fetch_add(done - scored);
  stats.last_ms.store(std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1));
  stats.queue.add(begun - request.arrived_ns);
  stats.compute.add(scored - read);
  stats.whole.add(done - request.arrived_ns);
  return out;
}

}  // namespace interplay::server
