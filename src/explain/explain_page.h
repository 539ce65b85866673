#pragma once

#include <string_view>

namespace interplay {

extern const std::string_view kBarTools;       // bars with intervals, for the pages of this room
extern const std::string_view kExplainScript;  // draws the page of `interplay explain`, with the tools before it

}  // namespace interplay
