#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace interplay::testing {

/// Writes GGUF files by the format's description alone, field by field, so that a test may also write what cannot be.
class GgufWriter {
 public:
  uint32_t version = 3;
  uint64_t more_tensors = 0, more_entries = 0;  ///< counts that lie
  uint64_t alignment = 32;                      ///< of the data; the metadata entry is the test's own to write

  template <class T>
  static std::string raw(T value) {
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &value, sizeof(T));
    return bytes;
  }
  static std::string text(std::string_view value) { return raw(uint64_t(value.size())) + std::string(value); }

  GgufWriter& entry(std::string_view key, uint32_t type, const std::string& value) {
    entries_ += text(key) + raw(type) + value;
    ++entry_count_;
    return *this;
  }
  GgufWriter& integer(std::string_view key, uint32_t value) { return entry(key, 4, raw(value)); }
  GgufWriter& number(std::string_view key, float value) { return entry(key, 6, raw(value)); }
  GgufWriter& flag(std::string_view key, bool value) { return entry(key, 7, raw(uint8_t(value))); }
  GgufWriter& string(std::string_view key, std::string_view value) { return entry(key, 8, text(value)); }
  GgufWriter& strings(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes = raw(uint32_t(8)) + raw(uint64_t(values.size()));
    for (const auto& value : values) bytes += text(value);
    return entry(key, 9, bytes);
  }
  GgufWriter& integers(std::string_view key, const std::vector<int32_t>& values) {
    std::string bytes = raw(uint32_t(5)) + raw(uint64_t(values.size()));
    for (const auto value : values) bytes += raw(value);
    return entry(key, 9, bytes);
  }

  /// `dimensions` fastest first, as the file has them. The data go behind those of the tensors before.
  GgufWriter& tensor(std::string_view name, const std::vector<uint64_t>& dimensions, uint32_t type,
                     const std::string& data) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    info(name, dimensions, type, data_.size());
    data_ += data;
    return *this;
  }
  GgufWriter& info(std::string_view name, const std::vector<uint64_t>& dimensions, uint32_t type, uint64_t offset) {
    infos_ += text(name) + raw(uint32_t(dimensions.size()));
    for (const auto size : dimensions) infos_ += raw(size);
    infos_ += raw(type) + raw(offset);
    ++tensor_count_;
    return *this;
  }

  std::string bytes() const {
    std::string file = "GGUF" + raw(version) + raw(tensor_count_ + more_tensors) + raw(entry_count_ + more_entries) +
                       entries_ + infos_;
    if (!data_.empty()) file.resize((file.size() + alignment - 1) / alignment * alignment);
    return file + data_;
  }

 private:
  std::string entries_, infos_, data_;
  uint64_t entry_count_ = 0, tensor_count_ = 0;
};

/// Numbers as the bytes of f32.
inline std::string f32_bytes(const std::vector<float>& numbers) {
  std::string bytes(numbers.size() * sizeof(float), '\0');
  if (!numbers.empty()) std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

}  // namespace interplay::testing
