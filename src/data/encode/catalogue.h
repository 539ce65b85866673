#pragma once

#include <set>
#include <string>

#include "data/spec/data_spec.h"

namespace interplay {

/// The distinct values of a field's `catalogue`, sorted: those of the column that it reads, or of `key`, as files of
/// vectors call theirs. Throws Error(data) naming the file.
std::set<std::string> catalogue_tokens(const DataSpec& spec, size_t field);

}  // namespace interplay
