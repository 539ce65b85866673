#pragma once

#include <string_view>

namespace interplay {

/// What every page draws itself with, in this order before its own script.
extern const std::string_view kPageTools;   // elements, numbers as text, tables, cards
extern const std::string_view kPageCharts;  // axes, legends, points, reliability diagrams, bars

}  // namespace interplay
