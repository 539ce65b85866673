#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>
#include <interplay/bench/workload.h>

namespace interplay::bench {

/// Made-up data of Criteo's shape (39 fields) below setting.scratch, made where they are not there yet.
INTERPLAY_API std::filesystem::path criteo_raw(const Setting& setting,
                                               int64_t rows);  ///< holds data.yaml and the texts
INTERPLAY_API std::filesystem::path criteo_prepared(const Setting& setting,
                                                    int64_t rows);  ///< setting.data where given

/// An experiment: `model`, one epoch, Adam on the rows a step touched; then setting.sets on top, and every default.
INTERPLAY_API Config experiment(const Setting& setting, const std::string& model);

/// A run of `model` on criteo_raw()'s rows, its weights as drawn; made anew each time, in a folder named `name`.
INTERPLAY_API std::filesystem::path criteo_run(const Setting& setting, const std::string& model, int64_t rows,
                                               const std::string& name);

/// I1 to I13 and C1 to C26.
INTERPLAY_API std::vector<std::string> criteo_columns();

/// A user and its candidates as raw cells: criteo_columns()' first ones once, and the others row after row.
struct CriteoRequest {
  std::vector<std::string> text;  ///< what the cells are views of
  std::vector<std::string_view> user, candidates;
};

/// Some requests of `candidates` rows each, from criteo_raw()'s test rows: the user's cells are those of the first.
INTERPLAY_API std::vector<CriteoRequest> criteo_requests(const Setting& setting, int64_t rows, int64_t user_columns,
                                                         int64_t candidates);

}  // namespace interplay::bench
