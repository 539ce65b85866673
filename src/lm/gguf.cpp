#include <interplay/lm/gguf.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include <interplay/base/error.h>

namespace interplay::lm {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are read as they lie, little-endian");

constexpr uint64_t kBlock = 32;             // numbers in a block of a quantised type
constexpr uint32_t kMostDimensions = 4;     // ggml's own limit
constexpr uint64_t kMostKeyBytes = 65'535;  // the format's own limit
constexpr uint64_t kMostDepth = 4;          // of lists in lists; no file in use has any
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
constexpr const char* kAlignment = "general.alignment";

// Types of metadata values, by the format's numbers.
enum : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kText, kList, kU64, kI64, kF64, kTypes };
constexpr std::array<const char*, kTypes> kTypeName{"uint8",  "int8",    "uint16",  "int16", "uint32",
                                                    "int32",  "float32", "boolean", "text",  "list",
                                                    "uint64", "int64",   "float64"};
// Bytes of a value, or the fewest that a text (its length) or a list (type and length) takes.
constexpr std::array<uint64_t, kTypes> kTypeBytes{1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

struct Storage {
  GgufType type;
  const char* name;
  uint64_t numbers, bytes;  // of a block
};
constexpr std::array<Storage, 5> kStorages{{{GgufType::f32, "F32", 1, 4},
                                            {GgufType::f16, "F16", 1, 2},
                                            {GgufType::q4_0, "Q4_0", kBlock, 2 + kBlock / 2},
                                            {GgufType::q4_1, "Q4_1", kBlock, 4 + kBlock / 2},
                                            {GgufType::q8_0, "Q8_0", kBlock, 2 + kBlock}}};

// Names of ggml's tensor types, by number; nullptr = no longer in use.
constexpr std::array<const char*, 40> kGgmlNames{
    "F32",    "F16",   "Q4_0",  "Q4_1",   nullptr, nullptr, "Q5_0",    "Q5_1",   "Q8_0",    "Q8_1",
    "Q2_K",   "Q3_K",  "Q4_K",  "Q5_K",   "Q6_K",  "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S",
    "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",    "I16",   "I32",     "I64",    "F64",     "IQ1_M",
    "BF16",   nullptr, nullptr, nullptr,  "TQ1_0", "TQ2_0", nullptr,   nullptr,  nullptr,   "MXFP4"};

std::string ggml_name(uint32_t type) {
  return type < kGgmlNames.size() && kGgmlNames[type] ? kGgmlNames[type] : fmt::format("unknown type {}", type);
}

const Storage& storage_of(GgufType type) {
  const auto* const found =
      std::find_if(kStorages.begin(), kStorages.end(), [&](const Storage& s) { return s.type == type; });
  INTERPLAY_ASSERT(found != kStorages.end());
  return *found;
}

/// Exact; the project's base has no half type, and LibTorch's is not for files that do without it.
float from_half(const char* at) {
  uint16_t half = 0;
  std::memcpy(&half, at, 2);
  const uint32_t sign = uint32_t(half & 0x8000u) << 16, exponent = half >> 10 & 31u, fraction = half & 1023u;
  if (exponent == 0) return std::copysign(std::ldexp(float(fraction), -24), sign ? -1.f : 1.f);
  const uint32_t bits = exponent == 31 ? 0x7f800000u : (exponent + 112) << 23;
  return std::bit_cast<float>(sign | bits | fraction << 13);
}

// A scale of 11 bits times 4 or 8 bits is exact in f32, so that d q + m is rounded once, fused or not.
void read_q4_0(const char* block, float* out) {
  const float d = from_half(block);
  for (uint64_t j = 0; j < kBlock / 2; ++j) {
    const int byte = uint8_t(block[2 + j]);
    out[j] = d * float((byte & 15) - 8);
    out[j + kBlock / 2] = d * float((byte >> 4) - 8);
  }
}

void read_q4_1(const char* block, float* out) {
  const float d = from_half(block), m = from_half(block + 2);
  for (uint64_t j = 0; j < kBlock / 2; ++j) {
    const int byte = uint8_t(block[4 + j]);
    out[j] = d * float(byte & 15) + m;
    out[j + kBlock / 2] = d * float(byte >> 4) + m;
  }
}

void read_q8_0(const char* block, float* out) {
  const float d = from_half(block);
  for (uint64_t j = 0; j < kBlock; ++j) out[j] = d * float(int8_t(block[2 + j]));
}

void read_numbers(GgufType type, const char* bytes, std::span<float> out) {
  switch (type) {
    case GgufType::f32:
      if (!out.empty()) std::memcpy(out.data(), bytes, out.size_bytes());
      return;
    case GgufType::f16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = from_half(bytes + 2 * i);
      return;
    case GgufType::q4_0:
    case GgufType::q4_1:
    case GgufType::q8_0: {
      const uint64_t step = storage_of(type).bytes;
      const auto one = type == GgufType::q4_0 ? read_q4_0 : type == GgufType::q4_1 ? read_q4_1 : read_q8_0;
      for (size_t b = 0; b < out.size() / kBlock; ++b) one(bytes + b * step, out.data() + b * kBlock);
      return;
    }
  }
}

}  // namespace

const char* to_string(GgufType type) { return storage_of(type).name; }

int64_t Gguf::Tensor::columns() const { return shape.empty() ? 1 : shape.back(); }
int64_t Gguf::Tensor::rows() const {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

/// Walks the header. What it hands out lies within the file.
class Gguf::Reader {
 public:
  Reader(const std::filesystem::path& file, std::string_view bytes) : file_(file.string()), bytes_(bytes) {}

  uint64_t at() const { return at_; }
  uint64_t left() const { return bytes_.size() - at_; }
  void skip(uint64_t bytes, const char* what) { take(bytes, what); }

  template <class T>
  T fixed(const char* what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what), sizeof(T));
    return value;
  }
  std::string_view text(const char* what, uint64_t most = kMost) {
    const uint64_t begin = at_, bytes = fixed<uint64_t>(what);
    INTERPLAY_CHECK_DATA(
        bytes <= left() && bytes <= most,
        "{}: byte {}: {} claims a length of {} bytes; expected at most {}; the file was cut or altered", file_, begin,
        what, bytes, std::min(most, left()));
    return {take(bytes, what), size_t(bytes)};
  }
  /// A count of things of `each` bytes or more, all of which the rest of the file can hold.
  uint64_t count(const char* what, uint64_t each, uint64_t after) {
    const uint64_t begin = at_, count = fixed<uint64_t>(what);
    const uint64_t room = left() >= after ? (left() - after) / each : 0;
    INTERPLAY_CHECK_DATA(count <= room,
                         "{}: byte {}: {} is {}; the rest of the file has room for {}; the file was cut or altered",
                         file_, begin, what, count, room);
    return count;
  }

 private:
  const char* take(uint64_t bytes, const char* what) {
    INTERPLAY_CHECK_DATA(bytes <= left(), "{}: byte {}: {} takes {} bytes, {} are left; the file was cut", file_, at_,
                         what, bytes, left());
    const char* const begin = bytes_.data() + at_;
    at_ += bytes;
    return begin;
  }

  std::string file_;
  std::string_view bytes_;
  uint64_t at_ = 0;
};

Gguf::Gguf(const std::filesystem::path& file) : mapped_(std::make_shared<const MappedFile>(file)) {
  Reader reader(file, mapped_->bytes());
  const std::string name = file.string();
  const auto magic = reader.fixed<std::array<char, 4>>("the mark of a GGUF file");
  INTERPLAY_CHECK_DATA(std::string_view(magic.data(), 4) == "GGUF",
                       "{}: byte 0: the file does not begin with 'GGUF'; it is not a GGUF file", name);
  const auto version = reader.fixed<uint32_t>("the version");
  INTERPLAY_CHECK_DATA(version == 2 || version == 3,
                       "{}: byte 4: version {}{}; expected 2 or 3; convert the model with a current llama.cpp", name,
                       version, version != 0 && (version & 0xffffu) == 0 ? " (a big-endian file)" : "");
  // Each tensor takes a name, a number of dimensions, a type and an offset; each entry a key, a type and a value.
  const uint64_t tensors = reader.count("the number of tensors", 8 + 4 + 4 + 8, 8);
  const uint64_t entries = reader.count("the number of metadata entries", 8 + 4 + 1, 0);
  read_metadata(reader, entries);
  read_tensors(reader, tensors);
  place_tensors(reader.at());
}

void Gguf::read_metadata(Reader& reader, uint64_t count) {
  const std::string file = path().string();
  const auto type_at = [&](const char* what) {
    const uint64_t begin = reader.at();
    const auto type = reader.fixed<uint32_t>(what);
    INTERPLAY_CHECK_DATA(type < kTypes, "{}: byte {}: {} is {}; expected 0 to {}; the file was altered", file, begin,
                         what, type, kTypes - 1);
    return type;
  };
  const auto skip = [&](const auto& self, uint32_t type, uint64_t depth) -> void {
    if (type == kText) {
      reader.text("a text of the metadata");
    } else if (type == kBool) {
      const uint64_t begin = reader.at();
      const auto byte = reader.fixed<uint8_t>("a boolean of the metadata");
      INTERPLAY_CHECK_DATA(byte <= 1, "{}: byte {}: a boolean is {}; expected 0 or 1; the file was altered", file,
                           begin, byte);
    } else if (type == kList) {
      INTERPLAY_CHECK_DATA(depth < kMostDepth, "{}: byte {}: lists lie in lists {} deep; expected at most {}", file,
                           reader.at(), depth + 1, kMostDepth);
      const uint32_t entry = type_at("the type of a list's entries");
      const uint64_t entries = reader.count("the length of a list", kTypeBytes[entry], 0);
      if (entry == kText || entry == kList || entry == kBool) {
        for (uint64_t i = 0; i < entries; ++i) self(self, entry, depth + 1);
      } else {
        reader.skip(entries * kTypeBytes[entry], "a list of the metadata");  // count() has seen that it fits
      }
    } else {
      reader.skip(kTypeBytes[type], "a number of the metadata");
    }
  };
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t begin = reader.at();
    const std::string key(reader.text("the key of a metadata entry", kMostKeyBytes));
    Value value{type_at("the type of a metadata entry"), false, 1, reader.at()};
    skip(skip, value.type, 0);
    if (value.type == kList) {
      value = {fixed<uint32_t>(value.at), true, fixed<uint64_t>(value.at + 4), value.at + 12};
    }
    INTERPLAY_CHECK_DATA(values_.emplace(key, value).second, "{}: byte {}: metadata key '{}' is there twice", file,
                         begin, key);
  }
}

void Gguf::read_tensors(Reader& reader, uint64_t count) {
  const std::string file = path().string();
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t begin = reader.at();
    const std::string name(reader.text("the name of a tensor", kMostKeyBytes));
    const std::string place = fmt::format("{}: byte {}: tensor '{}'", file, begin, name);
    const auto dimensions = reader.fixed<uint32_t>("the number of a tensor's dimensions");
    INTERPLAY_CHECK_DATA(dimensions <= kMostDimensions,
                         "{}: has {} dimensions; expected at most {}; the file was altered", place, dimensions,
                         kMostDimensions);
    Tensor tensor;
    uint64_t numbers = 1;
    for (uint32_t d = 0; d < dimensions; ++d) {
      const auto size = reader.fixed<uint64_t>("a dimension of a tensor");
      INTERPLAY_CHECK_DATA(size >= 1 && size <= kMost / numbers,
                           "{}: its dimension {} is {}; expected at least 1 and fewer than 2^63 numbers in all; the "
                           "file was altered",
                           place, d, size);
      numbers *= size;
      tensor.shape.insert(tensor.shape.begin(), int64_t(size));
    }
    const auto type = reader.fixed<uint32_t>("the type of a tensor");
    const auto* const storage =
        std::find_if(kStorages.begin(), kStorages.end(), [&](const Storage& s) { return uint32_t(s.type) == type; });
    INTERPLAY_CHECK_DATA(storage != kStorages.end(),
                         "{}: is stored as {}; F32, F16, Q8_0, Q4_0 and Q4_1 are read; take the model in one of "
                         "these, or have llama-quantize make it",
                         place, ggml_name(type));
    INTERPLAY_CHECK_DATA(uint64_t(tensor.columns()) % storage->numbers == 0,
                         "{}: its rows have {} numbers; {} stores blocks of {}; the file was altered", place,
                         tensor.columns(), storage->name, storage->numbers);
    tensor.type = storage->type;
    tensor.offset = reader.fixed<uint64_t>("the offset of a tensor");
    const uint64_t blocks = numbers / storage->numbers, most = mapped_->bytes().size() / storage->bytes;
    INTERPLAY_CHECK_DATA(blocks <= most, "{}: its shape [{}] needs {} blocks of {} bytes; the file has {} bytes", place,
                         fmt::join(tensor.shape, ", "), blocks, storage->bytes, mapped_->bytes().size());
    tensor.bytes = blocks * storage->bytes;
    INTERPLAY_CHECK_DATA(tensors_.emplace(name, std::move(tensor)).second, "{}: is there twice", place);
  }
}

void Gguf::place_tensors(uint64_t header_end) {
  const std::string file = path().string();
  const uint64_t size = mapped_->bytes().size();
  uint64_t alignment = kDefaultAlignment;
  if (has(kAlignment)) {
    const int64_t found = integer(kAlignment);
    INTERPLAY_CHECK_DATA(found > 0 && found <= (1 << 20) && std::has_single_bit(uint64_t(found)),
                         "{}: {} is {}; expected a power of two of at most 2^20", file, kAlignment, found);
    alignment = uint64_t(found);
  }
  const uint64_t data = (header_end + alignment - 1) / alignment * alignment;  // a file is far shorter than 2^64
  std::vector<std::pair<uint64_t, const std::string*>> order;
  for (auto& [name, tensor] : tensors_) {
    INTERPLAY_CHECK_DATA(tensor.offset % alignment == 0,
                         "{}: tensor '{}' lies at offset {}; expected a multiple of {} ({})", file, name, tensor.offset,
                         alignment, kAlignment);
    INTERPLAY_CHECK_DATA(data <= size && tensor.offset <= size - data && tensor.bytes <= size - data - tensor.offset,
                         "{}: tensor '{}' takes {} bytes from offset {} of the data; they are {} bytes long; the file "
                         "was cut or altered",
                         file, name, tensor.bytes, tensor.offset, data <= size ? size - data : 0);
    tensor.offset += data;
    order.emplace_back(tensor.offset, &name);
  }
  std::sort(order.begin(), order.end());
  for (size_t i = 1; i < order.size(); ++i) {
    const auto& before = tensors_.find(*order[i - 1].second)->second;
    INTERPLAY_CHECK_DATA(before.offset + before.bytes <= order[i].first,
                         "{}: byte {} belongs to two tensors, '{}' and '{}'; the file was altered", file,
                         order[i].first, *order[i - 1].second, *order[i].second);
  }
}

const Gguf::Tensor& Gguf::tensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  INTERPLAY_CHECK_DATA(found != tensors_.end(), "{}: has no tensor '{}' among its {}; it belongs to another model",
                       path().string(), name, tensors_.size());
  return found->second;
}

void Gguf::read(std::string_view name, int64_t first_row, std::span<float> out) const {
  const Tensor& t = tensor(name);
  const auto columns = uint64_t(t.columns()), rows = uint64_t(t.rows());
  INTERPLAY_CHECK(out.size() % columns == 0, "{}: tensor '{}': {} numbers are no whole number of rows of {}",
                  path().string(), name, out.size(), columns);
  INTERPLAY_CHECK(first_row >= 0 && uint64_t(first_row) <= rows && out.size() / columns <= rows - uint64_t(first_row),
                  "{}: tensor '{}': {} rows from row {} were asked for; it has {}", path().string(), name,
                  out.size() / columns, first_row, rows);
  const Storage& storage = storage_of(t.type);
  const uint64_t row_bytes = columns / storage.numbers * storage.bytes;
  read_numbers(t.type, mapped_->bytes().data() + t.offset + uint64_t(first_row) * row_bytes, out);
}

std::vector<std::string_view> Gguf::keys() const {
  std::vector<std::string_view> keys;
  for (const auto& [key, value] : values_) keys.push_back(key);
  return keys;
}

const Gguf::Value& Gguf::value(std::string_view key, bool list) const {
  const auto found = values_.find(key);
  INTERPLAY_CHECK_DATA(found != values_.end(), "{}: has no metadata entry '{}'; it belongs to another kind of model",
                       path().string(), key);
  if (found->second.list != list) wrong_kind(key, found->second, list ? "a list" : "one value");
  return found->second;
}

void Gguf::wrong_kind(std::string_view key, const Value& value, const char* expected) const {
  throw Error(fmt::format("{}: byte {}: metadata entry '{}' is {}{}; expected {}", path().string(), value.at, key,
                          value.list ? "a list of " : "", kTypeName[value.type], expected),
              ErrorKind::data);
}

template <class T>
T Gguf::fixed(uint64_t at) const {
  T value;
  std::memcpy(&value, mapped_->bytes().data() + at, sizeof(T));
  return value;
}

int64_t Gguf::integer_at(std::string_view key, const Value& value, uint64_t index) const {
  const uint64_t at = value.at + index * kTypeBytes[value.type];
  switch (value.type) {
    case kU8: return fixed<uint8_t>(at);
    case kI8: return fixed<int8_t>(at);
    case kU16: return fixed<uint16_t>(at);
    case kI16: return fixed<int16_t>(at);
    case kU32: return fixed<uint32_t>(at);
    case kI32: return fixed<int32_t>(at);
    case kI64: return fixed<int64_t>(at);
    case kU64:
      if (fixed<uint64_t>(at) <= kMost) return int64_t(fixed<uint64_t>(at));
      wrong_kind(key, value, "an integer below 2^63");
    default: wrong_kind(key, value, "an integer");
  }
}

double Gguf::number_at(std::string_view key, const Value& value, uint64_t index) const {
  const uint64_t at = value.at + index * kTypeBytes[value.type];
  if (value.type == kF32) return fixed<float>(at);
  if (value.type == kF64) return fixed<double>(at);
  if (value.type == kBool || value.type == kText || value.type == kList) wrong_kind(key, value, "a number");
  return double(integer_at(key, value, index));
}

int64_t Gguf::integer(std::string_view key) const { return integer_at(key, value(key, false), 0); }
double Gguf::number(std::string_view key) const { return number_at(key, value(key, false), 0); }

bool Gguf::flag(std::string_view key) const {
  const Value& v = value(key, false);
  if (v.type != kBool) wrong_kind(key, v, "a boolean");
  return fixed<uint8_t>(v.at) != 0;
}

std::string_view Gguf::text(std::string_view key) const {
  const Value& v = value(key, false);
  if (v.type != kText) wrong_kind(key, v, "a text");
  return mapped_->bytes().substr(v.at + 8, fixed<uint64_t>(v.at));
}

std::vector<int64_t> Gguf::integers(std::string_view key) const {
  const Value& v = value(key, true);
  std::vector<int64_t> out;
  for (uint64_t i = 0; i < v.count; ++i) out.push_back(integer_at(key, v, i));
  return out;
}

std::vector<double> Gguf::numbers(std::string_view key) const {
  const Value& v = value(key, true);
  std::vector<double> out;
  for (uint64_t i = 0; i < v.count; ++i) out.push_back(number_at(key, v, i));
  return out;
}

std::vector<std::string_view> Gguf::texts(std::string_view key) const {
  const Value& v = value(key, true);
  if (v.type != kText) wrong_kind(key, v, "a list of texts");
  std::vector<std::string_view> out;
  uint64_t at = v.at;
  for (uint64_t i = 0; i < v.count; ++i) {
    const auto bytes = fixed<uint64_t>(at);
    out.push_back(mapped_->bytes().substr(at + 8, bytes));
    at += 8 + bytes;
  }
  return out;
}

}  // namespace interplay::lm
