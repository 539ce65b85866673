#pragma once

#include <filesystem>
#include <string>

#include <interplay/core/bundle.h>
#include <interplay/data/encoder.h>

namespace interplay::tool {

/// `--data`, or where it is empty the data that the run was trained on.
std::filesystem::path data_of(const std::string& data, const Bundle& bundle);

/// Throws Error unless the field of `--by` is a categorical one of the schema.
void check_by(const std::string& by, const Schema& schema);

/// What an id of a categorical field is called in tables: its token, `(unseen)`, or `id 7` where it was hashed.
std::string value_name(const Encoder& encoder, const Field& field, int32_t id);

}  // namespace interplay::tool
