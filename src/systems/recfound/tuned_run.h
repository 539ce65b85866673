#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/lm/tuned_decoder.h>

#include "systems/recfound/task.h"

namespace interplay::recfound {

/// Files of a run beside those of lm::TunedFolder.
constexpr const char* kMetricsFile = "metrics.jsonl";
constexpr const char* kSummaryFile = "summary.json";
constexpr const char* kPageFile = "report.html";
constexpr const char* kSnapshots = "snapshots";

/// The decoder that a file of tasks names, adapted as it says, with nothing learnt yet.
lm::TunedDecoder adapted_decoder(const TuneOptions& options, const std::vector<Task>& tasks);
/// What tuned.json says of a run.
lm::TunedFolder folder_of(const TuneOptions& options, const std::vector<Task>& tasks, const std::filesystem::path& out);

/// Adapters and router as they were after a step, by name: `snapshots/STEP.safetensors`.
std::filesystem::path snapshot_file(const std::filesystem::path& run, int64_t step);
void save_snapshot(const std::filesystem::path& run, int64_t step, const lm::TunedDecoder& model);
/// Steps of which there are snapshots, ascending.
std::vector<int64_t> snapshots(const std::filesystem::path& run);

}  // namespace interplay::recfound
