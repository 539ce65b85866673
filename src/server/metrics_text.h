#pragma once

#include <string>

#include "server/repository.h"

namespace interplay::server {

struct ServerCounts {
  int64_t connections = 0, waiting = 0, dropped = 0, labels = 0, labels_unknown = 0, labels_repeated = 0;
};

/// All counters in Prometheus' text format 0.0.4.
std::string metrics_text(const Repository& repository, const ServerCounts& counts);

}  // namespace interplay::server
