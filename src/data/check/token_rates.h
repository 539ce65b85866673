#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/check/row_sample.h"
#include "data/schema/token_index.h"
#include "data/spec/row_parser.h"

namespace interplay {

struct CheckedBatch;

/// Of the tokens that sampled rows hold: how often each is in the training rows, all of them, and how many of these are
/// positive. Rows are dealt to a few folds, so that what a token says of a row can be told without that row.
class TokenRates {
 public:
  static constexpr size_t kFolds = 4;
  static size_t fold(int64_t number);  ///< of a row

  TokenRates(const RowParser& parser, std::span<const SampledRows> sample);
  void see(const CheckedBatch& batch);  ///< every row, in any order

  /// In the training rows, in whichever field of its table.
  int64_t seen(size_t field, std::string_view token) const;
  /// Share of positives of a label where the field has the token, in training rows of other folds, drawn towards that
  /// of all of these by one row.
  double rate(size_t field, std::string_view token, size_t label, size_t without_fold) const;

 private:
  struct Count {
    uint32_t rows = 0, positive = 0;
  };
  struct Field {
    TokenIndex* tokens = nullptr;  // of its table; null where it has no tokens
    std::vector<uint32_t> seen;    // by token
    std::vector<Count> counts;     // by token, label and fold
  };
  size_t place(uint32_t token, size_t label, size_t fold) const { return (token * labels_ + label) * kFolds + fold; }
  Count without(const Count* folds, size_t fold) const;

  const RowParser& parser_;
  size_t labels_;
  std::map<std::string, TokenIndex> tables_;
  std::vector<Field> fields_;  // beside the schema's
  std::vector<Count> all_;     // by label and fold
};

}  // namespace interplay
