#pragma once

#include <string_view>

namespace interplay {

extern const std::string_view kExplainScript;  // draws the page of `interplay explain`

}  // namespace interplay
