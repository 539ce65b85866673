#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <interplay/data/dataset.h>

namespace interplay {

/// What happened in N rows, whose they were, and what they count: all of a row but its fields.
struct RowFacts {
  std::vector<float> label;    ///< [N, T]; NaN where a row has no such label
  std::vector<float> weight;   ///< [N], or empty
  std::vector<int64_t> group;  ///< [N], or empty
  void add(const Batch& batch);
};

/// Of all rows of a dataset, in its order.
INTERPLAY_API RowFacts row_facts(const Dataset& rows);

/// [N] ids of a categorical field, in the dataset's order. Throws Error where it has no such field.
INTERPLAY_API std::vector<int32_t> ids_of(const Dataset& rows, const std::string& field);

}  // namespace interplay
