#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <interplay/lm/roles.h>

namespace interplay::lm {

/// How many tokens all begin with, `most` at the most; one token of each is left over. None may be empty.
size_t shared_tokens(std::span<const TokenIds> ids, size_t most = SIZE_MAX);

/// Their places, the longest first: batches are of about one length, and memory runs short at once or never.
std::vector<int64_t> longest_first(std::span<const TokenIds> ids);

/// Of every text; an Error names the text's number.
std::vector<TokenIds> ids_of_all(const TextEncoder& encoder, std::span<const std::string> texts);

}  // namespace interplay::lm
