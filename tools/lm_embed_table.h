#pragma once

#include <string>

#include <interplay/lm/roles.h>

namespace interplay::tool {

/// A table whose texts become vectors by key.
struct EmbeddedTable {
  std::string file, format, column, key, out;
  bool force = false;
};

/// Embeds the text of each distinct key once, and writes the vectors as Parquet. `encode` gives what is not known yet.
void embed_table(const EmbeddedTable& table, lm::TextEncoder& encoder);

}  // namespace interplay::tool
