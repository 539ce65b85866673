#pragma once

#include <nlohmann/json.hpp>

#include <interplay/core/reliability.h>

namespace interplay {

/// A bin as pages read it: what reliability() of their tools draws.
nlohmann::ordered_json bin_json(const CalibrationBin& bin);

}  // namespace interplay
