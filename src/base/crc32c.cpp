#include <interplay/base/crc32c.h>

#include <array>

namespace interplay {
namespace {

constexpr uint32_t kCastagnoli = 0x82F63B78;  // the polynomial, its bits reversed

constexpr std::array<uint32_t, 256> crc_of_bytes() {
  std::array<uint32_t, 256> out{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? kCastagnoli : 0);
    out[byte] = crc;
  }
  return out;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = crc_of_bytes();
  uint32_t crc = ~uint32_t(0);
  for (const char byte : bytes) crc = (crc >> 8) ^ kTable[(crc ^ uint8_t(byte)) & 0xFF];
  return ~crc;
}

}  // namespace interplay
