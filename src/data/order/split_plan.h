#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <interplay/data/raw_batch.h>

#include "data/order/event_order.h"
#include "data/spec/data_spec.h"
#include "data/spec/row_parser.h"

namespace interplay {

/// Which split each row of one source goes to: 0 = train, 1 = valid, 2 = test. By time the cuts lie at
/// floor(ratio * n) in the order (time, ties as numbers, row), n being the number of samples; at random each row is
/// drawn by (seed, row) alone. By user_last a
/// user's last sample is test, the one before it valid.
class SplitPlan {
 public:
  SplitPlan(const SplitOptions& options, RowParser& parser);  ///< tells the parser which cells a row must have

  bool needs_order() const { return options_.by != "random"; }  ///< of(), only after add() of every row and finish()
  std::vector<std::string> columns() const;                     ///< raw columns that add() reads
  void add(const RawBatch& raw, const RowValues& values, const RowParser& parser);
  void finish(const std::function<bool(uint32_t row)>& is_sample);  ///< of() is for samples
  int of(int64_t row) const;

 private:
  void cut(std::span<const uint32_t> rows);
  SplitOptions options_;
  size_t time_at_ = 0;
  TokenIndex users_;
  EventOrder order_;
  std::vector<uint8_t> split_;
};

}  // namespace interplay
