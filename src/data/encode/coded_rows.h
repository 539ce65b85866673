#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include <interplay/base/temporary_file.h>
#include <interplay/data/encoded_batch.h>

namespace interplay {

/// Usable rows of one raw batch as one pass over the text leaves them: all that the prepared files will hold, but with
/// the codes of TokenCounts in place of ids and with raw numbers, since the vocabularies and statistics that make ids
/// and floats of them are not known yet. Without it the text would have to be read and parsed again.
struct CodedRows {
  static constexpr int64_t kIds = -1;  ///< in place of an epoch: these are ids already
  struct Codes {
    int64_t epoch = kIds;          ///< of the field's table in TokenCounts
    std::vector<uint32_t> values;  ///< 0 = missing or unseen, else 1 + code; or ids
  };
  std::vector<uint8_t> split;                ///< [rows]: 0 = train, 1 = valid, 2 = test
  std::vector<Codes> categorical;            ///< one a categorical field, [rows]
  std::vector<std::vector<double>> numbers;  ///< one a numeric field, [rows]; NaN = missing
  std::vector<Codes> entries;                ///< one a sequence field, [total]
  /// The rest: offsets and weights of the sequences, vectors, texts, labels, weight, group, time. Its ids and dense are
  /// empty.
  EncodedBatch rest;
};

/// CodedRows on disk, by number. Thread safety: add() and get() may be called at once, for different numbers.
class CodedRowsFile {
 public:
  explicit CodedRowsFile(const std::filesystem::path& directory) : file_(directory) {}
  void add(int64_t number, const CodedRows& rows);
  CodedRows get(int64_t number) const;
  int64_t size() const { return int64_t(places_.size()); }  ///< the largest number + 1

 private:
  struct Place {
    int64_t begin = 0, bytes = 0;
  };
  TemporaryFile file_;
  mutable std::mutex mutex_;
  std::vector<Place> places_;
  int64_t end_ = 0;
};

}  // namespace interplay
