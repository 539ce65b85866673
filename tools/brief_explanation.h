#pragma once

#include <filesystem>

#include <interplay/train/report.h>

namespace interplay::tool {

struct BriefExplanationOptions {
  std::filesystem::path run, data;
  double seconds = 5;  ///< that it may take, about
};

/// For the page of a run that has just been trained: which fields it scores by and where it does worst, on as many
/// rows as there is time for. Where there is no time, or the run cannot be explained, says so, and what to do.
ReportExplanation brief_explanation(const RunReport& report, const BriefExplanationOptions& options);

}  // namespace interplay::tool
