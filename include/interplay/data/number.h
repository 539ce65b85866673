#pragma once

#include <string_view>

#include <interplay/base/api.h>

namespace interplay {

/// Parses a whole cell as a finite number, or says false. 1e-400 is 0, True is 1; a plus and blanks around are allowed.
INTERPLAY_API bool parse_number(std::string_view cell, double& value);

}  // namespace interplay
