#pragma once

#include <cstdint>
#include <string>

#include "server/feedback.h"
#include "server/request_log.h"

namespace interplay::server {

struct LabelCounts {
  int64_t taken = 0, unknown = 0, repeated = 0;
};

/// A body of POST /v1/labels: {"labels": [{"id": ..., "row": ..., LABEL: 0 or 1}]}, which goes to `feedback` and, where
/// there is one, into the log: all of it, or nothing where one entry is wrong. Throws RequestError. The body is written
/// over.
LabelCounts take_labels(std::string& body, Feedback& feedback, RequestLog* log);

}  // namespace interplay::server
