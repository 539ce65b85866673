#include <interplay/train/event_file.h>

#include <cstring>

#include <interplay/base/crc32c.h>

namespace interplay {
namespace {

// Fields of protobuf messages: number * 8 + how they are stored.
enum EventField : uint8_t {
  kWallTime = 1 << 3 | 1,     // Event: double
  kStep = 2 << 3 | 0,         // Event: varint
  kFileVersion = 3 << 3 | 2,  // Event: text
  kSummary = 5 << 3 | 2,      // Event: message
  kSessionLog = 7 << 3 | 2,   // Event: message
  kValue = 1 << 3 | 2,        // Summary: message, repeated
  kTag = 1 << 3 | 2,          // Summary.Value: text
  kSimpleValue = 2 << 3 | 5,  // Summary.Value: float
  kStatus = 1 << 3 | 0,       // SessionLog: varint
};
constexpr uint64_t kStart = 1;  // SessionLog.SessionStatus

/// Little-endian, as the processors are that this is built for.
template <class T>
void append_fixed(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += char(value | 0x80);
  out += char(value);
}

void append_field(std::string& out, EventField field, std::string_view bytes) {
  out += char(field);
  append_varint(out, bytes.size());
  out += bytes;
}

std::string event_at(double wall_time, int64_t step) {
  std::string out(1, char(kWallTime));
  append_fixed(out, wall_time);
  if (step != 0) {
    out += char(kStep);
    append_varint(out, uint64_t(step));
  }
  return out;
}

/// Of bytes that may hold checksums of their own: a CRC of those would always be the same.
uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8;
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& file, double wall_time) : out_(file) {
  std::string event = event_at(wall_time, 0);
  append_field(event, kFileVersion, "brain.Event:2");
  write(event);
}

void EventFile::restart(double wall_time, int64_t step) {
  std::string log(1, char(kStatus));
  append_varint(log, kStart);
  std::string event = event_at(wall_time, step);
  append_field(event, kSessionLog, log);
  write(event);
}

void EventFile::scalars(double wall_time, int64_t step, const NamedValues& values) {
  std::string summary;
  for (const auto& [name, number] : values) {
    std::string value;
    append_field(value, kTag, name);
    value += char(kSimpleValue);
    append_fixed(value, float(number));
    append_field(summary, kValue, value);
  }
  std::string event = event_at(wall_time, step);
  append_field(event, kSummary, summary);
  write(event);
}

void EventFile::write(const std::string& event) {
  std::string record;
  append_fixed(record, uint64_t(event.size()));
  append_fixed(record, masked_crc(record));
  record += event;
  append_fixed(record, masked_crc(event));
  out_.write(record);
}

}  // namespace interplay
