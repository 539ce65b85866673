#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <interplay/base/options.h>
#include <interplay/data/schema.h>

namespace interplay {

/// How a raw value of one field becomes an id or a number: what Field::encoding holds.
struct FieldEncoding {
  /// The part that decides what an id or number means, and so is part of Schema::fingerprint().
  struct Values {
    std::string transform =
        "none";  ///< numeric: none | log1p | standardise | min_max; categorical: none | log_square_bucket
    std::optional<double> missing;  ///< takes the place of a missing number
    double shift = 0, scale = 1;    ///< fitted: (x - shift) / scale
    int64_t hash_buckets = 0;       ///< > 0: id = 1 + hash % buckets, and there is no vocabulary
    std::string tokens;             ///< fitted: checksum of the table's tokens in the order of their ids

    void visit(auto&& field) {
      field("transform", transform, "what is done to a number");
      field("missing", missing, "takes the place of a missing number");
      field("shift", shift, "subtracted from a number");
      field("scale", scale, "then divides it");
      field("hash_buckets", hash_buckets, "ids by hash, this many");
      field("tokens", tokens, "checksum of the vocabulary");
    }
  };
  std::string column;     ///< the raw column it reads
  std::string first_of;   ///< the token is what a cell holds before this; empty: the whole cell
  std::string separator;  ///< sequence, vector: between the entries of a plain cell
  std::string weights;    ///< sequence: the column with a weight an entry
  bool history = false;   ///< the column is made from earlier events when data are prepared
  Values values;

  void visit(auto&& field) {
    field("column", column, "raw column");
    field("first_of", first_of, "the token ends where this begins");
    field("separator", separator, "between entries");
    field("weights", weights, "column of weights");
    field("history", history, "made from earlier events");
    field("values", values, "what decides the meaning of an id or number");
  }

  bool is_bucket() const { return values.transform == "log_square_bucket"; }
  std::string_view token(std::string_view cell) const {
    return first_of.empty() ? cell : cell.substr(0, cell.find(first_of));
  }
};

/// As Field::encoding holds it: what differs from a plain field's, so that schema.yaml stays short.
inline Config to_config(const FieldEncoding& encoding) {
  const Config full = write_options(encoding), plain = write_options(FieldEncoding());
  Config out;
  for (const auto& key : full.keys()) {
    if (key == "values" || full[key] == plain[key]) continue;
    out.set_key(key, full[key]);
  }
  for (const auto& key : full["values"].keys()) {
    if (!(full["values"][key] == plain["values"][key])) out.set("values." + key, full["values"][key]);
  }
  return out;
}

inline int64_t computed_log_square_bucket(double x) {
  if (x <= 2) return int64_t(std::max(x, -0x1p53));
  const double logarithm = std::log(x);
  return int64_t(std::floor(logarithm * logarithm));
}

/// Those of 0, 1, 2 ...: most numbers of a log are small counts, and a logarithm takes longer than all else.
inline const std::array<int16_t, 4096> kSmallBuckets = [] {
  std::array<int16_t, 4096> buckets{};
  for (size_t x = 0; x < buckets.size(); ++x) buckets[x] = int16_t(computed_log_square_bucket(double(x)));
  return buckets;
}();

/// FuxiCTR's bucket for Criteo: floor(ln(x)^2) above 2, else the integer part of x.
inline int64_t log_square_bucket(double x) {
  if (x >= 0 && x < double(kSmallBuckets.size())) {
    const auto whole = size_t(x);
    if (double(whole) == x) return kSmallBuckets[whole];
  }
  return computed_log_square_bucket(x);
}

/// What a finite raw number becomes.
inline double transformed(const FieldEncoding::Values& values, double x) {
  if (values.transform == "log1p") x = std::copysign(std::log1p(std::fabs(x)), x);
  return (x - values.shift) / values.scale;
}

/// A raw number, NaN where there is none, as models see it.
inline float dense_value(const FieldEncoding::Values& values, double x) {
  if (!std::isnan(x)) return float(transformed(values, x));
  return values.missing ? float(transformed(values, *values.missing)) : 0.0f;
}

}  // namespace interplay
