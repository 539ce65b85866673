#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <interplay/search/search.h>

#include "search/gates.h"

namespace interplay {

/// What search.json holds. A number that is not known is null.
INTERPLAY_API nlohmann::ordered_json search_json(const std::string& search, const std::string& data,
                                                 const SearchFindings& findings,
                                                 const std::vector<StageResult>& stages);

/// The course of the gates of one stage, and the threshold that decided which of them are kept: the last one, unless a
/// share or a number was asked for.
struct StageCourse {
  std::string stage, gates;  // as in GrdaSummary
  GateCourse course;
  double threshold = 0;
};
/// The page of a search: what search.json holds, beside the experiment and the courses. It loads nothing.
INTERPLAY_API std::string search_html(const nlohmann::ordered_json& search, const std::string& config,
                                      const std::vector<StageCourse>& courses);

/// What summary.json and the files of a finished stage say.
StageResult read_stage(const std::filesystem::path& search, const std::string& directory);

}  // namespace interplay
