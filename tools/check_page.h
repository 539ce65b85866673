#pragma once

#include <string_view>

namespace interplay::tool {

/// Draws what `interplay check --json` prints: for page_html().
extern const std::string_view kCheckScript;

}  // namespace interplay::tool
