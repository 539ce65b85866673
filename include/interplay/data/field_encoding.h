#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <interplay/base/options.h>

namespace interplay {

/// How a raw value of one field becomes an id or a number: what Field::encoding holds.
struct FieldEncoding {
  /// The part that decides what an id or number means, and so is part of Schema::fingerprint().
  struct Values {
    Config transform = Config::scalar("none", true);  ///< of a number: a name of transforms(), or a map with options
    std::optional<double> missing;                    ///< takes the place of a missing number
    double shift = 0, scale = 1;                      ///< fitted: (x - shift) / scale
    int64_t hash_buckets = 0;                         ///< > 0: id = 1 + hash % buckets, and there is no vocabulary
    std::string tokens;  ///< fitted: checksum of the table's tokens in the order of their ids; of a text, of what
                         ///< makes its tokens

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

  std::string_view token(std::string_view cell) const {
    return first_of.empty() ? cell : cell.substr(0, cell.find(first_of));
  }
};

/// As Field::encoding holds it: what differs from a plain field's, so that schema.yaml stays short.
INTERPLAY_API Config to_config(const FieldEncoding& encoding);

}  // namespace interplay
