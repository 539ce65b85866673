#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <interplay/search/search.h>

#include "search/gates.h"

namespace interplay {

/// What search.json holds. A number that is not known is null.
INTERPLAY_API nlohmann::ordered_json search_json(const std::string& search, const std::string& data,
                                                 const SearchFindings& findings, const std::vector<StageResult>& stages,
                                                 const std::vector<KeptCurve>& curves = {});

/// curves.json of a stage; none where there is no such file. A curve's stage is left out.
INTERPLAY_API void write_curves(const std::filesystem::path& file, const std::vector<KeptCurve>& curves);
INTERPLAY_API std::vector<KeptCurve> read_curves(const std::filesystem::path& file);

/// The course of the gates of one stage, and what decided which of them are kept: the last threshold, or one by the
/// share or number that was asked for, or a list of them.
struct StageCourse {
  std::string stage, gates;  // as in GrdaSummary
  GateCourse course;
  double threshold = 0;
  std::optional<std::set<std::string>> kept = {};  // names; nothing: by the threshold
};
/// The page of a search: what search.json holds, beside the experiment and the courses. It loads nothing.
INTERPLAY_API std::string search_html(const nlohmann::ordered_json& search, const std::string& config,
                                      const std::vector<StageCourse>& courses);

/// What summary.json and the files of a finished stage say.
StageResult read_stage(const std::filesystem::path& search, const std::string& directory);

}  // namespace interplay
