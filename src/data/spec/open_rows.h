#pragma once

#include <memory>

#include <interplay/data/reader.h>

#include "data/spec/data_spec.h"

namespace interplay {

/// Reads raw rows in the format of a data.yaml, with the columns of the tables that it joins. These lie in the folder
/// of the first of the files, and are read whole as far as columns of theirs are wanted.
std::shared_ptr<Reader> open_rows(const DataSpec& spec, const ReadRequest& request);

}  // namespace interplay
