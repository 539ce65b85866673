#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <interplay/data/raw_batch.h>

#include "data/spec/row_parser.h"

namespace interplay {

/// Some rows of a split, all usable, in the order of the files.
struct SampledRows {
  RowValues values;
  std::vector<int64_t> numbers;     ///< [rows], of each among all usable rows
  std::vector<std::string> places;  ///< [rows], `train.csv:17`

  int64_t rows() const { return int64_t(numbers.size()); }
  float label(int64_t row, size_t t) const {  ///< NaN: the row has no such label
    return values.labels[size_t(row) * (values.labels.size() / numbers.size()) + t];
  }
};

/// Draws up to `most` rows of a stream, each as likely as any other: those with the smallest hashes of their number.
class RowSample {
 public:
  explicit RowSample(int64_t most) : most_(size_t(most)) {}
  /// These rows of a batch, the i-th of which is row numbers[i] of all.
  void add(const RawBatch& raw, std::span<const int32_t> rows, std::span<const int64_t> numbers);
  SampledRows finish(const RowParser& parser);  ///< nothing may be added afterwards

 private:
  struct Drawn {
    uint64_t key;
    int64_t number;
    uint32_t file;
  };
  void keep_smallest();
  size_t most_;
  uint64_t limit_ = UINT64_MAX;  // keys from here on are too large
  std::vector<Drawn> drawn_;     // beside the rows of parts_, one after another
  std::vector<RawBatch> parts_;
  std::vector<std::string> files_;
};

}  // namespace interplay
