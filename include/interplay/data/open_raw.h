#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <interplay/data/reader.h>
#include <interplay/data/schema.h>

namespace interplay {

/// Reads raw files in the format that the schema's data were prepared from (Schema::source).
INTERPLAY_API std::shared_ptr<Reader> open_raw(const Schema& schema, const ReadRequest& request);

}  // namespace interplay
