#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/files.h>

namespace interplay::lm {

/// How the numbers of a GGUF tensor are stored; the values are the format's own. A quantised type stores blocks of 32
/// numbers of a row, each with a scale d (and a least value m) in half precision:
///   q4_0: d, 16 bytes; w_j = d (low 4 bits of byte j - 8), w_{j+16} = d (high 4 bits of byte j - 8)
///   q4_1: d, m, 16 bytes; the same places, w = d q + m
///   q8_0: d, 32 signed bytes; w_j = d q_j
enum class GgufType : uint32_t { f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q8_0 = 8 };
INTERPLAY_API const char* to_string(GgufType type);  ///< F32, F16, Q4_0, Q4_1, Q8_0

/// Weights and metadata of a language model in one GGUF file (versions 2 and 3, little-endian), mapped.
///
/// Every count, length, offset and dimension is held against the size of the file before it is used, so that a file
/// that was cut, altered or made to harm is refused: Error(data) names the file, the place in it, what was found and
/// what was expected. Tensors of other types than GgufType are refused by the name of their type. The weights
/// themselves are neither read nor checked until they are asked for.
///
/// Immutable: may be read from any thread. Views (`std::string_view`) live as long as the object.
///
///     const lm::Gguf file("SmolLM2-135M-Instruct.Q4_1.gguf");
///     const int64_t layers = file.integer("llama.block_count");              // 30
///     std::vector<float> norm(576);
///     file.read("output_norm.weight", 0, norm);
class INTERPLAY_API Gguf {
 public:
  struct Tensor {
    std::vector<int64_t> shape;  ///< slowest dimension first, as LibTorch has it (the file lists the fastest first)
    GgufType type = GgufType::f32;
    uint64_t offset = 0;  ///< of its first byte in the file
    uint64_t bytes = 0;
    int64_t rows() const;     ///< product of all dimensions but the last; 1 for a vector or one number
    int64_t columns() const;  ///< the last dimension; blocks never cross a row
  };

  explicit Gguf(const std::filesystem::path& file);

  const std::filesystem::path& path() const { return mapped_->path(); }
  const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }
  bool has_tensor(std::string_view name) const { return tensors_.contains(name); }
  const Tensor& tensor(std::string_view name) const;  ///< throws Error(data) naming the file

  /// Rows `first_row` .. of a tensor as f32, row by row: as many as `out` holds, which is a whole number of rows.
  /// Exact: equal bit for bit to what the format defines. Throws Error(config) where the tensor has no such rows.
  void read(std::string_view name, int64_t first_row, std::span<float> out) const;
  /// The bytes of a tensor of this file, as they are stored.
  std::string_view bytes(const Tensor& tensor) const { return mapped_->bytes().substr(tensor.offset, tensor.bytes); }

  /// Metadata. Each throws Error(data) where the key is missing, or where its value is of another kind. An integer is
  /// of any width and sign that int64_t holds; a number may be an integer too.
  bool has(std::string_view key) const { return values_.contains(key); }
  std::vector<std::string_view> keys() const;  ///< sorted
  int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;
  bool flag(std::string_view key) const;
  std::string_view text(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;
  std::vector<std::string_view> texts(std::string_view key) const;

 private:
  class Reader;
  struct Value {
    uint32_t type = 0;  // the format's number; of the entries, for a list
    bool list = false;
    uint64_t count = 1;
    uint64_t at = 0;  // of the value, or of the first entry, in the file
  };
  const Value& value(std::string_view key, bool list) const;
  [[noreturn]] void wrong_kind(std::string_view key, const Value& value, const char* expected) const;
  template <class T>
  T fixed(uint64_t at) const;
  int64_t integer_at(std::string_view key, const Value& value, uint64_t index) const;
  double number_at(std::string_view key, const Value& value, uint64_t index) const;
  void read_metadata(Reader& reader, uint64_t count);
  void read_tensors(Reader& reader, uint64_t count);
  void place_tensors(uint64_t header_end);

  std::shared_ptr<const MappedFile> mapped_;
  std::map<std::string, Value, std::less<>> values_;
  std::map<std::string, Tensor, std::less<>> tensors_;
};

}  // namespace interplay::lm
