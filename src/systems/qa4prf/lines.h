#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>

namespace interplay::qa4prf {

/// Where a line stands, for messages: file, number.
struct Place {
  const std::string& file;
  int64_t line;
  std::string text() const;  ///< docs.tsv:17
};

/// Calls `use` for each line of a text file that is not blank, packed or not (FILE, or FILE.gz where FILE is not
/// there). Throws Error(data) naming the place of a line that is no UTF-8 or longer than 64 MB.
INTERPLAY_API void each_line(const std::filesystem::path& file,
                             const std::function<void(std::string_view line, const Place& place)>& use,
                             const std::function<void(int64_t bytes_done, int64_t bytes_total)>& progress = {});

/// The parts of a line between tabs, or, with `blanks`, between runs of tabs and spaces.
std::vector<std::string_view> parts_of(std::string_view line, bool blanks);

/// Throws Error(data) unless `id` can stand in a TREC run: not empty, no white space.
void check_id(std::string_view id, const char* of, const Place& place);

}  // namespace interplay::qa4prf
