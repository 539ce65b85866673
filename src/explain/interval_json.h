#pragma once

#include <nlohmann/json.hpp>

#include <interplay/core/bootstrap.h>

namespace interplay {

inline nlohmann::ordered_json interval_json(const Interval& i) {
  return {{"value", i.value}, {"low", i.low}, {"high", i.high}};
}

}  // namespace interplay
