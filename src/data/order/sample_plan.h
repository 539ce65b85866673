#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/order/history_index.h"
#include "data/order/split_plan.h"
#include "data/spec/data_spec.h"

namespace interplay {

/// Which rows of a data.yaml are samples, of which split, and what happened before each: every row goes through add(),
/// in order; after finish() all is known. Rows are numbered over all files.
class SamplePlan {
 public:
  static constexpr uint8_t kNoSplit = 3;  ///< of rows that are events of others' histories, but no samples

  SamplePlan(const DataSpec& spec, RowParser& parser);  ///< tells the parser what makes a row usable

  std::vector<std::string> columns() const;  ///< raw columns that add() reads
  bool needs_order() const;                  ///< split_of() and histories only after add() of every row and finish()
  void add(const RawBatch& raw, const RowValues& values, const RowParser& parser);
  void finish();

  /// 0 = train, 1 = valid, 2 = test, or kNoSplit. `of_file`: the split of the file the row is in, where no split is
  /// made.
  uint8_t split_of(int64_t row, int of_file) const;
  std::vector<HistoryIndex>& histories() { return histories_; }  ///< those that fields are made of
  const std::vector<HistoryIndex>& histories() const { return histories_; }

 private:
  std::vector<HistoryIndex> histories_;
  std::optional<SplitPlan> split_;
};

}  // namespace interplay
