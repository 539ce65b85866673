#pragma once

#include <string>

#include "server/http_server.h"
#include "server/observer.h"
#include "server/repository.h"

namespace interplay::server {

/// What becomes of a request that was answered.
struct Afterwards {
  Feedback& feedback;
  Observer& observer;
  RequestLog* log = nullptr;  ///< null: nothing is logged
  double log_share = 1;       ///< of the requests
};

/// The routes: what is answered to whom. Any number of threads may ask.
class Service {
 public:
  Service(Repository& repository, CellLimits limits, Afterwards afterwards)
      : repository_(repository), limits_(limits), afterwards_(afterwards) {}

  Lane lane(const HttpRequest& request) const;
  HttpResponse answer(HttpRequest& request);

  std::function<std::string()> metrics;  ///< text of GET /metrics

 private:
  struct Target;
  struct Asked;

  HttpResponse route(HttpRequest& request, const Target& target);
  HttpResponse of_model(HttpRequest& request, const Target& target);
  HttpResponse infer(HttpRequest& request, const std::string& model, const std::string& version, bool plain);
  HttpResponse repository_call(const HttpRequest& request, const Target& target);
  std::string only_model() const;
  void after(const Asked& asked, std::vector<float> p);

  Repository& repository_;
  const CellLimits limits_;
  const Afterwards afterwards_;
  std::atomic<uint64_t> requests_{0};
};

}  // namespace interplay::server
