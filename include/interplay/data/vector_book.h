#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <interplay/data/keyed_vectors.h>
#include <interplay/data/schema.h>

namespace interplay {

/// Vectors by key, one for each row of a table: those whose key is the row's token.
struct RowVectors {
  int64_t rows = 0, width = 0;
  int64_t tokens = 0, known = 0;  ///< how many tokens the table has, and how many of them have a vector
  std::string checksum;           ///< of the file's keys and vectors
  std::vector<float> values;      ///< [rows * width], zeros where there is none; empty where a run's weights hold them
  std::vector<uint8_t> has;       ///< [rows], likewise
};

/// The vectors that models of a schema ask for. Of prepared data they are read from their file when they are first
/// asked for, and the log says how many tokens have one. A run lists those that it was made with, whose numbers lie in
/// its weights: it needs the files no more. Thread safety: of() may be called from many threads.
class INTERPLAY_API VectorBook {
 public:
  /// `directory`/vocabulary says which token a row is of. `listed`: what list() gave, or nothing.
  explicit VectorBook(std::filesystem::path directory, const Config& listed = {});

  /// For the table that a categorical or sequence field reads. Throws Error where it is hashed, where a run's list has
  /// no such vectors, and whatever KeyedVectors::load() throws.
  std::shared_ptr<const RowVectors> of(const Field& field, const VectorSource& source);

  Config list() const;  ///< those that were asked for: schema.yaml has it
  /// The first that another list has otherwise: its file; "" where what both have is equal.
  std::string difference(const VectorBook& other) const;

 private:
  struct Entry {
    std::string table;
    VectorSource source;
    std::shared_ptr<const RowVectors> vectors;
  };
  std::shared_ptr<const RowVectors> read(const Field& field, const VectorSource& source) const;

  std::filesystem::path directory_;
  bool is_run_ = false;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;  // guarded by mutex_
};

}  // namespace interplay
