#pragma once

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/data/encoded_batch.h>
#include <interplay/data/raw_batch.h>
#include <interplay/data/reader.h>

#include "data/spec/data_spec.h"
#include "data/spec/number.h"
#include "data/spec/number_rule.h"

namespace interplay {

/// What the cells of a batch say before any vocabulary comes in. Views point into `raw`.
struct RowValues {
  struct Lists {
    std::vector<std::string_view> tokens;  ///< [total]; an empty one is a missing entry of a paired sequence
    std::vector<int64_t> offsets;          ///< [rows + 1]
    std::vector<float> weights;            ///< [total], or empty
  };
  RawBatch raw;                ///< the batch, with the columns that fields derive
  std::vector<int32_t> rows;   ///< the rows that are usable, ascending; the rest was reported or left out
  int64_t left_out = 0;        ///< by RowParser::leave_out
  std::vector<float> labels;   ///< [raw rows, T]
  std::vector<float> weight;   ///< [raw rows], or empty
  std::vector<int64_t> group;  ///< [raw rows], or empty
  std::vector<double> time;    ///< [raw rows], or empty
  std::vector<std::vector<double>>
      numbers;                              ///< one a schema field, NaN = missing; empty for fields that read no number
  std::vector<Lists> lists;                 ///< one a schema field, for sequences
  std::vector<std::vector<float>> vectors;  ///< one a schema field, for vectors
  std::vector<std::vector<double>> required;  ///< [raw rows], one a RowParser::require_number, NaN = missing
  std::vector<std::vector<float>> rest;       ///< beside `required`: see parse_rest(); empty where all are 0

  ExactTime time_of(size_t place, int32_t row) const {
    return {required[place][size_t(row)], rest[place].empty() ? 0.0f : rest[place][size_t(row)]};
  }
};

/// Reads the cells of raw rows and decides which rows can be used, the same way in every pass and when a model is
/// served.
class RowParser {
 public:
  RowParser(const Schema& schema, const DataSpec& spec);

  /// Unusable rows are told to `bad_rows`, in order; nullptr: the first one throws.
  RowValues parse(const RawBatch& raw, bool labels, BadRows* bad_rows) const;
  std::vector<std::string> columns(bool labels) const;  ///< what raw rows must have for parse(), each once
  /// Appends the tokens of these rows of a field of text.
  void tokens(size_t field, const RowValues& values, std::span<const int32_t> rows, EncodedBatch::Text& out) const;
  /// Throws Error(data) where a field of text now has other tokens than those that the schema was fitted with.
  void check_tokens() const;
  bool missing(const RawColumn& column, int64_t cell) const {
    return column.missing(cell) || (!missing_tokens_.empty() && is_missing_token(column.cell(cell)));
  }
  bool is_missing_token(std::string_view text) const;
  /// What a cell of a categorical field is counted and looked up as; empty where it is missing.
  std::string_view token(size_t field, std::string_view cell) const {
    const std::string_view token = encodings_[field].token(cell);
    return !missing_tokens_.empty() && is_missing_token(token) ? std::string_view() : token;
  }
  std::string_view token(size_t field, const RawColumn& column, int64_t row) const {
    return column.missing(row) ? std::string_view() : token(field, column.cell(row));
  }

  /// From now on a row is usable only if this column holds a number (or, unless `present`, nothing). Returns the place
  /// of its values in RowValues::required.
  size_t require_number(const std::string& column, bool present);
  void require_present(const std::string& column);  ///< ... only if this column holds something
  void leave_out(const FilterOptions& unless);      ///< ... only if it passes; the others are not bad, but do not count

  const FieldEncoding& encoding(size_t field) const { return encodings_[field]; }
  const NumberRule& numbers(size_t field) const { return numbers_[field]; }
  /// Its cells are numbers, and its tokens their buckets.
  bool makes_buckets(size_t field) const { return numbers_[field].transform().makes_buckets(); }
  /// Its cells are those of a raw column, not of one that is derived.
  bool reads_cells(size_t field) const;
  /// The number in a cell of a field, NaN where it is missing. False where it is none, or too large for a model.
  bool number(std::string_view cell, double& value) const {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    if (cell.empty() || (!missing_tokens_.empty() && is_missing_token(cell))) return value = kNone, true;
    double x = kNone;
    const bool good = parse_number(cell, x);
    value = x;
    return good && std::fabs(x) <= std::numeric_limits<float>::max();
  }
  const Schema& schema() const { return schema_; }

 private:
  class Batch;
  Schema schema_;
  std::vector<FieldEncoding> encodings_;                     // beside schema_.fields()
  std::vector<NumberRule> numbers_;                          // likewise
  std::vector<std::shared_ptr<const FieldSource>> sources_;  // likewise; null where the data.yaml has no such field
  std::vector<size_t> leader_;                               // of a paired sequence, else its own index
  std::vector<LabelOptions> labels_;
  std::string weight_, group_, time_;
  std::vector<std::string> missing_tokens_;
  struct Required {
    std::string column;
    bool present;
  };
  std::vector<Required> required_numbers_;
  std::vector<std::string> required_cells_;
  std::vector<std::pair<ThresholdOptions, size_t>> filters_;  // with their place in RowValues::required
};

/// Appends what rows hold beside ids, dense numbers and sequences: vectors, texts and, where `labels`, labels, weight,
/// group and time.
void copy_rest(const RowParser& parser, const RowValues& values, std::span<const int32_t> rows, bool labels,
               EncodedBatch& out);

}  // namespace interplay
