#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>

#include "tracking/http_client.h"

namespace interplay::tracking {

/// What the server will refuse again, however often it is asked.
struct MlflowRefusal : Error {
  explicit MlflowRefusal(const std::string& what) : Error(what, ErrorKind::data) {}
};

struct MlflowMetric {
  std::string key;
  double value = 0;
  int64_t timestamp = 0;  ///< milliseconds since 1970
  int64_t step = 0;
};
using MlflowParams = std::vector<std::pair<std::string, std::string>>;

/// The calls of MLflow's REST API 2.0 that a run takes (mlflow.org/docs/latest/rest-api.html). Each throws
/// MlflowRefusal, or Error(data) for what may work another time: no answer, a server's fault (5xx), too many requests.
class MlflowClient {
 public:
  static constexpr size_t kMostParams = 100, kMostMetrics = 1000;  ///< in one request

  explicit MlflowClient(const std::string& url) : url_(HttpUrl::parse(url)) {}
  void set_patience(std::chrono::duration<double> patience) { patience_ = patience; }

  std::string experiment(const std::string& name) const;  ///< its id; made where there is none
  std::string create_run(const std::string& experiment_id, const std::string& name, int64_t start_ms) const;
  void log_params(const std::string& run, std::span<const std::pair<std::string, std::string>> params) const;
  void log_metrics(const std::string& run, std::span<const MlflowMetric> metrics) const;
  void set_status(const std::string& run, const std::string& status, int64_t end_ms = 0) const;

 private:
  nlohmann::json ask(const std::string& call, const nlohmann::json& body) const;
  nlohmann::json read(const std::string& call, const HttpAnswer& answer) const;
  HttpUrl url_;
  std::chrono::duration<double> patience_{10};
};

/// A name as every version of the server takes it: letters, digits and `_-. /`, all else as `_`, at most 250 bytes.
std::string mlflow_name(std::string name);

}  // namespace interplay::tracking
