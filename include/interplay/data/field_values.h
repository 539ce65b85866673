#pragma once

#include <cstdint>
#include <vector>

#include <interplay/data/features.h>
#include <interplay/data/schema.h>

namespace interplay {

class Dataset;

/// What a categorical field or a sequence made of some rows: how far it knows them.
struct FieldValues {
  int64_t values = 0;   ///< one a row, or the entries of a sequence
  int64_t unknown = 0;  ///< that share the last row of the table: missing, or not in the vocabulary

  double share() const { return values > 0 ? double(unknown) / double(values) : 0; }
  FieldValues& operator+=(const FieldValues& other) {
    values += other.values, unknown += other.unknown;
    return *this;
  }
};

/// Of each field of the schema, in its order; of other kinds none.
INTERPLAY_API std::vector<FieldValues> count_values(const Features& x, const Schema& schema);
/// The same of a whole split, or of about `most` of its rows, evenly over it.
INTERPLAY_API std::vector<FieldValues> count_values(const Dataset& rows, int64_t most);

}  // namespace interplay
