#pragma once

#include <string>

#include <interplay/base/config.h>

namespace interplay {

/// The data.yaml that an experiment names in `data:`, relative to its own file; with `root`, which is relative to it
/// too, in place of the data.yaml's. Throws Error at `data` where it is missing.
Config load_experiment_data(const Config& experiment, const std::string& data, const std::string& root);

}  // namespace interplay
