#pragma once

#include <arrow/type_fwd.h>

#include <interplay/data/raw_batch.h>

namespace interplay {

/// A column of an Arrow array as raw cells. Text is shared, not copied; everything else is printed: integers and whole
/// floats as integers, other floats shortest, NaN as missing, booleans as 1 and 0, dates and times as seconds since
/// 1970, dictionaries as their values, lists of these as lists. Throws Error(data) naming the type of anything else.
RawColumn to_raw_column(const std::string& name, const std::shared_ptr<arrow::Array>& array);

}  // namespace interplay
