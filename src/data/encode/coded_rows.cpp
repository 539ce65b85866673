#include "data/encode/coded_rows.h"

#include <algorithm>
#include <cstring>

#include <interplay/base/error.h>

namespace interplay {
namespace {

/// Bytes in the order in which parts are given, each array behind its length.
class Packer {
 public:
  template <class T>
  void put(const std::vector<T>& values) {
    put_bytes(values.size());
    const auto* const from = reinterpret_cast<const char*>(values.data());
    bytes_.insert(bytes_.end(), from, from + values.size() * sizeof(T));
  }
  /// In as few bytes a code as the largest needs: most tables are small.
  void put(const CodedRows::Codes& codes) {
    put_bytes(codes.epoch);
    uint32_t any = 0;
    for (const uint32_t value : codes.values) any |= value;
    put_bytes(uint8_t(any < 1u << 8 ? 1 : any < 1u << 16 ? 2 : 4));
    if (any < 1u << 8) {
      put(std::vector<uint8_t>(codes.values.begin(), codes.values.end()));
    } else if (any < 1u << 16) {
      put(std::vector<uint16_t>(codes.values.begin(), codes.values.end()));
    } else {
      put(codes.values);
    }
  }
  template <class T>
  void put_bytes(const T& value) {
    const auto* const from = reinterpret_cast<const char*>(&value);
    bytes_.insert(bytes_.end(), from, from + sizeof value);
  }
  template <class T>
  void put_all(const std::vector<T>& parts) {
    put_bytes(parts.size());
    for (const auto& part : parts) put(part);
  }
  const std::vector<char>& bytes() const { return bytes_; }

 private:
  std::vector<char> bytes_;
};

class Unpacker {
 public:
  explicit Unpacker(std::vector<char> bytes) : bytes_(std::move(bytes)) {}
  template <class T>
  void get(std::vector<T>& values) {
    size_t n = 0;
    get_bytes(n);
    const auto* const from = reinterpret_cast<const T*>(take(n * sizeof(T)));
    values.resize(n);
    if (n > 0) std::memcpy(values.data(), from, n * sizeof(T));
  }
  void get(CodedRows::Codes& codes) {
    uint8_t width = 0;
    get_bytes(codes.epoch);
    get_bytes(width);
    if (width == 1) {
      get_wider<uint8_t>(codes.values);
    } else if (width == 2) {
      get_wider<uint16_t>(codes.values);
    } else {
      get(codes.values);
    }
  }
  template <class T>
  void get_bytes(T& value) {
    std::memcpy(&value, take(sizeof value), sizeof value);
  }
  template <class T>
  void get_all(std::vector<T>& parts) {
    size_t n = 0;
    get_bytes(n);
    parts.resize(n);
    for (auto& part : parts) get(part);
  }

 private:
  const char* take(size_t bytes) {
    INTERPLAY_ASSERT(bytes <= bytes_.size() - at_);
    const char* const from = bytes_.data() + at_;
    at_ += bytes;
    return from;
  }
  template <class T>
  void get_wider(std::vector<uint32_t>& values) {
    std::vector<T> narrow;
    get(narrow);
    values.assign(narrow.begin(), narrow.end());
  }
  std::vector<char> bytes_;
  size_t at_ = 0;
};

}  // namespace

void CodedRowsFile::add(int64_t number, const CodedRows& rows) {
  Packer packer;
  packer.put(rows.split);
  packer.put_all(rows.categorical);
  packer.put_all(rows.numbers);
  packer.put_all(rows.entries);
  packer.put_bytes(rows.rest.sequences.size());
  for (const auto& sequence : rows.rest.sequences) {
    packer.put(sequence.offsets);
    packer.put(sequence.weights);
  }
  packer.put_all(rows.rest.vectors);
  packer.put_bytes(rows.rest.texts.size());
  for (const auto& text : rows.rest.texts) {
    packer.put(text.ids);
    packer.put(text.columns);
    packer.put(text.offsets);
  }
  packer.put(rows.rest.labels);
  packer.put(rows.rest.weight);
  packer.put(rows.rest.group);
  packer.put(rows.rest.time);
  Place place;
  {
    const std::lock_guard lock(mutex_);
    place = {end_, int64_t(packer.bytes().size())};
    end_ += place.bytes;
    if (number >= int64_t(places_.size())) places_.resize(size_t(number) + 1);
    places_[size_t(number)] = place;
  }
  file_.write(packer.bytes(), place.begin);
}

CodedRows CodedRowsFile::get(int64_t number) const {
  Place place;
  {
    const std::lock_guard lock(mutex_);
    place = places_.at(size_t(number));
  }
  std::vector<char> bytes(size_t(place.bytes));
  file_.read(bytes, place.begin);
  Unpacker unpacker(std::move(bytes));
  CodedRows rows;
  unpacker.get(rows.split);
  unpacker.get_all(rows.categorical);
  unpacker.get_all(rows.numbers);
  unpacker.get_all(rows.entries);
  size_t sequences = 0;
  unpacker.get_bytes(sequences);
  rows.rest.sequences.resize(sequences);
  for (auto& sequence : rows.rest.sequences) {
    unpacker.get(sequence.offsets);
    unpacker.get(sequence.weights);
  }
  unpacker.get_all(rows.rest.vectors);
  size_t texts = 0;
  unpacker.get_bytes(texts);
  rows.rest.texts.resize(texts);
  for (auto& text : rows.rest.texts) {
    unpacker.get(text.ids);
    unpacker.get(text.columns);
    unpacker.get(text.offsets);
  }
  unpacker.get(rows.rest.labels);
  unpacker.get(rows.rest.weight);
  unpacker.get(rows.rest.group);
  unpacker.get(rows.rest.time);
  rows.rest.rows = int64_t(rows.split.size());
  return rows;
}

}  // namespace interplay
