#pragma once

#include <span>
#include <string>

#include "server/http_server.h"
#include "server/request_cells.h"
#include "server/served_version.h"

namespace interplay::server {

/// {"p": [...], "model": ..., "version": ...}, and the id where there is one.
HttpResponse plain_answer(const ServedVersion& served, const std::string& id, std::span<const float> p);

/// Open Inference Protocol v2, its tensors in JSON or as bytes behind it. Throws RequestError where the request wants
/// an output that is none.
HttpResponse v2_answer(const ServedVersion& served, const RequestCells& cells, const std::string& id,
                       std::span<const float> p);

}  // namespace interplay::server
