#pragma once

#include <string>
#include <string_view>

#include <interplay/base/api.h>

namespace interplay {

/// Text that may come from a file, safe for a terminal: control characters, and bytes that are not UTF-8, as \x1b. Line
/// ends and tabs stay, and so does text that was made printable before. Every Error and every line of the log goes
/// through it.
INTERPLAY_API std::string printable(std::string_view text);

}  // namespace interplay
