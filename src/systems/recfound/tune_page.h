#pragma once

#include <string>
#include <vector>

#include <interplay/base/config.h>
#include <interplay/lm/tuned_decoder.h>

#include "systems/recfound/task.h"

namespace interplay::recfound {

/// report.html of a run: how the rows of steps were shared, validation ratios, losses, and what tasks make of experts.
/// `metrics`: the text of metrics.jsonl.
std::string tune_page(const std::string& title, const Config& config, const std::vector<Task>& tasks,
                      lm::TunedDecoder model, const std::string& metrics);

}  // namespace interplay::recfound
