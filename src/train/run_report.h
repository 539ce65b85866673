#pragma once

#include <filesystem>

#include <interplay/train/report.h>
#include <interplay/train/run.h>

namespace interplay {

/// What is known of a run before its first step: title, configuration, what is monitored.
INTERPLAY_API RunReport begun_report(const Config& config);
/// What is known of it at the end, but for its splits.
void fill_report(RunReport& report, const RunSummary& summary, const Schema& schema, int64_t train_rows);
/// The card of prepared data, as far as a run with this schema reads them.
ReportData report_data(const std::filesystem::path& data, const Schema& schema, std::vector<SplitCounts> rows);
/// Headline and remarks, from all that the report has: whoever reads no further has read these.
INTERPLAY_API void conclude(RunReport& report);

}  // namespace interplay
