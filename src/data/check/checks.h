#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/registry.h>
#include <interplay/data/check.h>

#include "data/check/bad_row_counts.h"
#include "data/check/row_sample.h"
#include "data/check/token_rates.h"
#include "data/order/sample_plan.h"
#include "data/spec/raw_rows.h"

namespace interplay {

inline constexpr const char* kCheckedSplits[] = {"train", "valid", "test"};

/// What is checked: a data.yaml as it was written, and what it means.
struct CheckedData {
  const Config& yaml;
  const DataSpec& spec;
  const RowParser& parser;  ///< of the fields that raw files hold
  const SamplePlan& plan;
};

/// Usable rows on their way past the checks, in the order of the files.
struct CheckedBatch {
  const RowValues& values;
  std::span<const uint8_t> splits;  ///< beside values.rows: 0 = train, 1 = valid, 2 = test, SamplePlan::kNoSplit
  int64_t first = 0;                ///< number of the first of them
};

/// What is known when all rows have passed.
struct CheckFacts {
  const CheckedData& data;
  const std::array<SampledRows, 3>& sample;  ///< train, valid, test
  const TokenRates& rates;                   ///< of the sample's tokens in the training rows
  const BadRowCounts& bad_rows;
  std::array<int64_t, 3> rows;  ///< samples
  int64_t usable_rows = 0;      ///< those and the others, which are but events of histories
};

/// One kind of finding. A new one is a file src/data/check/x.cpp with a class built from (const CheckedData&, const
/// Options&) and
///
///     INTERPLAY_REGISTER(checks(), "weekday", Weekday, "rows of a day that the other splits lack");
///
/// One thread calls it at a time.
class Check {
 public:
  virtual ~Check();
  virtual void see(const CheckedBatch&) {}  ///< every row once, for what has to be counted exactly
  /// Adds figures of fields and findings; `check` of these is filled in.
  virtual void judge(const CheckFacts& facts, CheckReport& report) const = 0;
};

Registry<Check, const CheckedData&>& checks();

}  // namespace interplay
