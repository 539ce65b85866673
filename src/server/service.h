#pragma once

#include <string>

#include "server/http_server.h"
#include "server/repository.h"

namespace interplay::server {

/// The routes: what is answered to whom. Any number of threads may ask.
class Service {
 public:
  Service(Repository& repository, CellLimits limits) : repository_(repository), limits_(limits) {}

  Lane lane(const HttpRequest& request) const;
  HttpResponse answer(HttpRequest& request);

  std::function<std::string()> metrics;  ///< text of GET /metrics

 private:
  struct Target;

  HttpResponse route(HttpRequest& request, const Target& target);
  HttpResponse of_model(HttpRequest& request, const Target& target);
  HttpResponse infer(HttpRequest& request, const std::string& model, const std::string& version, bool plain);
  HttpResponse repository_call(const HttpRequest& request, const Target& target);

  Repository& repository_;
  const CellLimits limits_;
};

}  // namespace interplay::server
