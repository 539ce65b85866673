#include <interplay/nn/safetensors.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

namespace interplay::nn {
namespace {

using Json = nlohmann::ordered_json;

struct Type {
  const char* name;
  at::ScalarType scalar;
};
constexpr std::array<Type, 10> kTypes{{{"F64", at::kDouble},
                                       {"F32", at::kFloat},
                                       {"F16", at::kHalf},
                                       {"BF16", at::kBFloat16},
                                       {"I64", at::kLong},
                                       {"I32", at::kInt},
                                       {"I16", at::kShort},
                                       {"I8", at::kChar},
                                       {"U8", at::kByte},
                                       {"BOOL", at::kBool}}};
constexpr size_t kAlign = 64;                 // of the data section, so that mapped rows may be read by wide loads
constexpr uint64_t kMaxHeader = 100'000'000;  // bytes; the format's own limit
constexpr const char* kChecksum = "xxh3";
constexpr size_t kDigits = 16;  // of the checksum
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr size_t kMostDimensions = 64;  // LibTorch's own limit

/// Where the digits of the checksum stand in a file: in the header, whose metadata come first. 0 = nowhere.
size_t place_of_checksum(std::string_view bytes) {
  const std::string key = fmt::format("\"{}\":\"", kChecksum);
  const size_t at = bytes.substr(0, 4096).find(key);
  return at == std::string_view::npos || at + key.size() + kDigits > bytes.size() ? 0 : at + key.size();
}

/// Of every byte but its own digits.
std::string checksum(std::string_view bytes, size_t digits) {
  return fmt::format("{:016x}", hash64(bytes.substr(digits + kDigits), hash64(bytes.substr(0, digits))));
}

at::ScalarType scalar_of(const std::string& name, const std::string& place) {
  for (const auto& t : kTypes) {
    if (name == t.name) return t.scalar;
  }
  throw Error(fmt::format("{}: number type '{}' is not known", place, name), ErrorKind::data);
}

/// Not negative, and written as whole numbers: JSON's 1e300 must not be cast.
std::vector<int64_t> whole_numbers(const nlohmann::json& list, const std::string& place) {
  INTERPLAY_CHECK_DATA(list.is_array(), "{}: expected a list, found {}; the file is damaged", place, list.dump());
  std::vector<int64_t> out;
  for (const auto& item : list) {
    const bool whole = item.is_number_unsigned() && item.get<uint64_t>() <= uint64_t(kMost);
    INTERPLAY_CHECK_DATA(whole, "{}: {} is no size or place; the file is damaged", place, item.dump());
    out.push_back(item.get<int64_t>());
  }
  return out;
}

int64_t bytes_of(const std::vector<int64_t>& shape, int64_t element_bytes, const std::string& place) {
  int64_t bytes = element_bytes;
  bool empty = false;
  for (const int64_t size : shape) {  // even of an empty tensor the other sizes have to be possible
    INTERPLAY_CHECK_DATA(shape.size() <= kMostDimensions && bytes <= kMost / std::max<int64_t>(1, size),
                         "{}: impossible shape; the file is damaged", place);
    bytes *= std::max<int64_t>(1, size);
    empty = empty || size == 0;
  }
  return empty ? 0 : bytes;
}

/// The format asks for data without gaps; entries that overlap would be believed twice.
void check_spans(std::vector<std::pair<int64_t, int64_t>> spans, int64_t data_bytes, const std::string& file) {
  std::sort(spans.begin(), spans.end());
  int64_t end = 0;
  for (const auto& [first, last] : spans) {
    INTERPLAY_CHECK_DATA(first == end, "{}: bytes {} to {} of its data belong to {}; the file is damaged", file,
                         std::min(first, end), std::max(first, end), first > end ? "no entry" : "two entries");
    end = last;
  }
  INTERPLAY_CHECK_DATA(end == data_bytes, "{}: bytes {} to {} of its data belong to no entry; the file is damaged",
                       file, end, data_bytes);
}

const char* name_of(at::ScalarType scalar) {
  for (const auto& t : kTypes) {
    if (scalar == t.scalar) return t.name;
  }
  throw Error("safetensors: a tensor of this number type cannot be saved");
}

/// In parts: a table may exceed memory twice over.
void write_values(OutputFile& out, const at::Tensor& tensor) {
  const int64_t rows = tensor.dim() > 0 ? tensor.size(0) : 1;
  const int64_t row_bytes = rows > 0 ? tensor.numel() / rows * int64_t(tensor.element_size()) : 0;
  const int64_t step = std::max<int64_t>(1, (int64_t(64) << 20) / std::max<int64_t>(1, row_bytes));
  for (int64_t first = 0; first < rows && row_bytes > 0; first += step) {
    const int64_t count = std::min(step, rows - first);
    const auto part = (tensor.dim() > 0 ? tensor.narrow(0, first, count) : tensor).detach().cpu().contiguous();
    out.write({static_cast<const char*>(part.const_data_ptr()), size_t(count * row_bytes)});
  }
}

}  // namespace

void save_safetensors(const std::filesystem::path& file, const std::map<std::string, at::Tensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  INTERPLAY_CHECK(!metadata.contains(kChecksum), "{}: the metadata key '{}' is the file's own checksum; use another",
                  file.string(), kChecksum);
  header["__metadata__"][kChecksum] = std::string(kDigits, '0');
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const uint64_t bytes = uint64_t(tensor.numel()) * tensor.element_size();
    header[name] = Json{{"dtype", name_of(tensor.scalar_type())},
                        {"shape", tensor.sizes().vec()},
                        {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.append((kAlign - (text.size() + 8) % kAlign) % kAlign, ' ');
  NewFile made(file);
  OutputFile& out = made.out();
  const uint64_t size = text.size();
  out.write({reinterpret_cast<const char*>(&size), 8});
  out.write(text);
  for (const auto& [name, tensor] : tensors) write_values(out, tensor);
  const MappedFile written(made.path());
  const size_t digits = place_of_checksum(written.bytes());
  out.write_at(checksum(written.bytes(), digits), int64_t(digits));
  made.commit();
}

Safetensors::Safetensors(const std::filesystem::path& file)
    : file_(file), mapped_(std::make_shared<const MappedFile>(file)) {
  const auto mapped = mapped_;
  const auto bytes = mapped->bytes();
  uint64_t header_bytes = 0;
  INTERPLAY_CHECK_DATA(bytes.size() >= 8, "{}: {} bytes are too few for a safetensors file; it was cut", file.string(),
                       bytes.size());
  std::memcpy(&header_bytes, bytes.data(), 8);
  INTERPLAY_CHECK_DATA(header_bytes <= kMaxHeader && header_bytes <= bytes.size() - 8,
                       "{}: its header claims {} bytes of a file of {}; it is damaged or not a safetensors file",
                       file.string(), header_bytes, bytes.size());
  const uint64_t data_bytes = bytes.size() - 8 - header_bytes;
  const char* const data = bytes.data() + 8 + header_bytes;
  std::vector<std::pair<int64_t, int64_t>> spans;
  try {
    const auto header = nlohmann::json::parse(bytes.substr(8, header_bytes));
    INTERPLAY_CHECK_DATA(header.is_object(), "{}: its header is not a map; the file is damaged", file.string());
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        metadata_ = entry.get<std::map<std::string, std::string>>();
        if (const auto own = metadata_.extract(kChecksum); !own.empty()) checksum_ = own.mapped();
        continue;
      }
      const std::string place = fmt::format("{}: entry '{}'", file.string(), name);
      const auto scalar = scalar_of(entry.at("dtype").get<std::string>(), place);
      const auto shape = whole_numbers(entry.at("shape"), place);
      const auto span = whole_numbers(entry.at("data_offsets"), place);
      INTERPLAY_CHECK_DATA(span.size() == 2 && span[0] <= span[1] && uint64_t(span[1]) <= data_bytes,
                           "{}: its data lie outside the file; it was cut or changed", place);
      spans.emplace_back(span[0], span[1]);
      const int64_t count = bytes_of(shape, int64_t(c10::elementSize(scalar)), place);
      INTERPLAY_CHECK_DATA(count == span[1] - span[0], "{}: its shape needs {} bytes, the file has {}", place, count,
                           span[1] - span[0]);
      char* const begin = const_cast<char*>(data + span[0]);  // the mapping is read-only: writing would fault
      const bool aligned = reinterpret_cast<uintptr_t>(begin) % c10::elementSize(scalar) == 0;
      auto view = at::from_blob(
          begin, shape, [mapped](void*) {}, at::TensorOptions().dtype(aligned ? scalar : at::kByte));
      if (!aligned) {
        auto copy = at::empty(shape, at::TensorOptions().dtype(scalar));
        if (count > 0) std::memcpy(copy.mutable_data_ptr(), begin, size_t(count));
        view = copy;
      }
      tensors_.emplace(name, view);
    }
    check_spans(spans, int64_t(data_bytes), file.string());
  } catch (const Error&) {
    throw;
  } catch (const std::exception& problem) {
    throw Error(fmt::format("{}: its header cannot be read ({}); the file is damaged", file.string(), problem.what()),
                ErrorKind::data);
  }
}

void Safetensors::check() const {
  if (checksum_.empty()) return;
  const auto bytes = mapped_->bytes();
  const size_t digits = place_of_checksum(bytes);
  INTERPLAY_CHECK_DATA(digits > 0 && checksum(bytes, digits) == checksum_,
                       "{}: its checksum differs from that in its header; the file was changed after it was written",
                       file_.string());
}

const at::Tensor& Safetensors::at(const std::string& name) const {
  const auto it = tensors_.find(name);
  INTERPLAY_CHECK_DATA(it != tensors_.end(), "{}: has no entry '{}'; it belongs to another model", file_.string(),
                       name);
  return it->second;
}

}  // namespace interplay::nn
