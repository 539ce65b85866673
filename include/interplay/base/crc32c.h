#pragma once

#include <cstdint>
#include <string_view>

#include <interplay/base/api.h>

namespace interplay {

/// CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected), as RFC 3720 (iSCSI) has it: 0xE3069283 of "123456789". For
/// formats of others that ask for it; our own have hash64(), which is faster.
INTERPLAY_API uint32_t crc32c(std::string_view bytes);

}  // namespace interplay
