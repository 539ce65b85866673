#pragma once

#include <compare>
#include <string_view>

#include <interplay/data/number.h>

namespace interplay {

/// When a row happened, in two parts so that 64-bit integers stay apart: the nearest double, and what that leaves out.
struct ExactTime {
  double nearest = 0;
  float rest = 0;
  friend auto operator<=>(const ExactTime&, const ExactTime&) = default;
};

/// `rest`: what is missing from `nearest`, the double that a number was parsed to, so that numbers which differ in any
/// of 19 digits stay apart: 17 digits of a date and time, or nanoseconds. False: there are more digits than that.
bool parse_rest(std::string_view cell, double nearest, float& rest);

}  // namespace interplay
