#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <interplay/data/encoded_batch.h>
#include <interplay/data/schema.h>

namespace interplay {

/// What was counted of a split when it was prepared. Rows count once, whatever their weights.
struct INTERPLAY_API SplitCounts {
  struct Label {
    std::string name;
    int64_t rows = 0;  ///< that have it
    double sum = 0;
    double rate() const { return rows > 0 ? sum / double(rows) : std::numeric_limits<double>::quiet_NaN(); }
  };
  struct Field {
    std::string name;
    int64_t values = 0;   ///< one a row, or the entries of a sequence
    int64_t missing = 0;  ///< rows without a value, or without an entry
    int64_t unseen = 0;   ///< values that no vocabulary holds, missing ones left out
    int64_t longest = 0;  ///< entries of a row of a sequence, at most
  };

  SplitCounts() = default;
  SplitCounts(std::string split_name, const Schema& schema);
  /// All but what is missing of values, and unseen: that is no longer in encoded rows.
  void add(const EncodedBatch& rows, const Schema& schema);
  const Field* field(const std::string& name) const;

  std::string split;  ///< `train`, `valid` or `test`
  int64_t rows = 0;
  std::vector<Label> labels;
  double first_time = std::numeric_limits<double>::quiet_NaN();  ///< as the time column has it; NaN without one
  double last_time = std::numeric_limits<double>::quiet_NaN();
  std::vector<Field> fields;
};

/// counts.json of prepared data.
INTERPLAY_API void write_split_counts(const std::filesystem::path& directory, const std::vector<SplitCounts>& splits);
/// Empty where there is none: earlier versions wrote none. Throws Error(data) where it is not what the
/// manifest lists, or damaged.
INTERPLAY_API std::vector<SplitCounts> read_split_counts(const std::filesystem::path& directory);

}  // namespace interplay
