#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/registry.h>

namespace interplay {

/// Which vectors of which file.
struct VectorSource {
  std::string from, key = {}, vector = {}, ids = {};
  void visit(auto&& field) {
    field("from", from, "file with a vector a key: .parquet (as `interplay lm embed` writes it), .npy or .safetensors");
    field("key", key,
          "parquet: the column with the keys, by default `key`, or the only one that holds no lists; safetensors: the "
          "entry with whole numbers that are the keys, by default `keys` where there is one");
    field("vector", vector,
          "parquet: the column with the vectors, by default `vector`, or the only list of numbers; safetensors: the "
          "entry with a vector a row, by default `vectors`, or the only matrix of numbers");
    field("ids", ids,
          "npy, safetensors without keys: text with a key a line, in the order of the rows; by default the file's own "
          "name with .ids in place of its extension");
  }
};

/// Vectors by key, all of one width, in memory. Keys are text: whole numbers in decimal. Immutable once filled, then
/// free to use from many threads.
///
///     const auto items = KeyedVectors::load({.from = "items.parquet"});
///     std::span<const float> v = items.find("1682");   // [items.width()], or empty
class INTERPLAY_API KeyedVectors {
 public:
  /// By the file's extension: vector_files() says which there are. Throws Error(data) naming the file, and the row or
  /// key where there is one: an absent, cut or foreign file, a key twice or empty, a number that is not finite, vectors
  /// of several widths.
  static KeyedVectors load(const VectorSource& source);

  explicit KeyedVectors(std::filesystem::path file = {});  ///< none yet; `file` is for messages
  ~KeyedVectors();
  KeyedVectors(KeyedVectors&&) noexcept;
  KeyedVectors& operator=(KeyedVectors&&) noexcept;

  /// The next row. Throws Error(data) on what load() refuses.
  void add(std::string_view key, std::span<const float> vector);

  int64_t count() const;
  int64_t width() const;                    ///< numbers of each vector; 0 while there is none
  std::string_view key(int64_t row) const;  ///< in the order of the file
  std::span<const float> vector(int64_t row) const;
  std::span<const float> find(std::string_view key) const;  ///< empty where there is none
  /// Of keys and vectors, whatever their order and the kind of file: 16 hexadecimal digits.
  std::string checksum() const;
  const std::filesystem::path& file() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// One kind of file, registered under its extension.
class INTERPLAY_API VectorFile {
 public:
  virtual ~VectorFile();
  virtual KeyedVectors read() = 0;
};
INTERPLAY_API Registry<VectorFile, const VectorSource&>& vector_files();

/// The keys of a file without columns of its own for them: a key a line. Throws Error(data) unless there are `rows`.
INTERPLAY_API std::vector<std::string> read_vector_ids(const VectorSource& source, int64_t rows);

/// Writes vectors by key as Parquet: columns `key` (text) and `vector` (list of float). The file appears under its
/// name, whole, when close() returns; without close() nothing appears. One thread uses it.
class INTERPLAY_API VectorWriter {
 public:
  /// Throws Error(config) unless the name ends in .parquet, Error(data) where the file cannot be made.
  VectorWriter(std::filesystem::path file, int64_t width);
  ~VectorWriter();
  VectorWriter(const VectorWriter&) = delete;
  VectorWriter& operator=(const VectorWriter&) = delete;
  void write(std::span<const std::string> keys, std::span<const float> vectors);  ///< [n], [n * width]
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
