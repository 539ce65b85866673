#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <interplay/data/reader.h>
#include <interplay/data/schema.h>

namespace interplay {

/// Reads raw files in the format that the schema's data were prepared from (Schema::source); where that was Parquet and
/// the files are .csv or .tsv, or the other way round, in theirs.
INTERPLAY_API std::shared_ptr<Reader> open_raw(const Schema& schema, const ReadRequest& request);

}  // namespace interplay
