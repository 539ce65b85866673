#pragma once

#include <filesystem>

#include <interplay/bench/workload.h>
#include <interplay/data/dataset.h>

namespace interplay::bench {

/// Made-up data of Criteo's shape (39 fields) below setting.scratch, made where they are not there yet.
std::filesystem::path criteo_raw(const Setting& setting, int64_t rows);       ///< holds data.yaml and the texts
std::filesystem::path criteo_prepared(const Setting& setting, int64_t rows);  ///< setting.data where given

/// An experiment: `model`, one epoch, Adam on the rows a step touched; then setting.sets on top, and every default.
Config experiment(const Setting& setting, const std::string& model);

}  // namespace interplay::bench
