#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <interplay/base/api.h>

namespace interplay {

/// Rows as numbers, before they become tensors: what the Encoder makes, the prepared files store and Features hold.
struct INTERPLAY_API EncodedBatch {
  struct Sequence {
    std::vector<int32_t> ids;      ///< [total]
    std::vector<int64_t> offsets;  ///< [rows + 1], from 0
    std::vector<float> weights;    ///< [total], or empty
  };
  struct Text {
    std::vector<int32_t> ids;      ///< [total]
    std::vector<int8_t> columns;   ///< [total]: index in Field::text_columns of what the token came from; -1: no column
    std::vector<int64_t> offsets;  ///< [rows + 1], from 0
  };
  int64_t rows = 0;
  std::vector<int32_t> ids;                 ///< [rows, F] row-major: categorical fields
  std::vector<float> dense;                 ///< [rows, D] row-major: numeric fields
  std::vector<Sequence> sequences;          ///< one a sequence field
  std::vector<std::vector<float>> vectors;  ///< one a vector field, [rows, dimension]
  std::vector<Text> texts;                  ///< one a text field
  std::vector<float> labels;                ///< [rows, T], or empty where the raw rows have none
  std::vector<float> weight;                ///< [rows], or empty
  std::vector<int64_t> group;               ///< [rows], or empty: hash of the group token, for gAUC
  std::vector<double> time;                 ///< [rows], or empty
};

}  // namespace interplay
