#pragma once

#include <span>
#include <string>
#include <vector>

#include <interplay/lm/roles.h>

namespace interplay::lm {

/// Of every text; an Error names the text's number.
std::vector<TokenIds> ids_of_all(const TextEncoder& encoder, std::span<const std::string> texts);

}  // namespace interplay::lm
