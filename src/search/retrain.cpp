#include "search/retrain.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/log.h>

#include "search/choice.h"

namespace interplay {
namespace {

double valid_loss(const SearchRun& run, const StageResult& stage) {
  const auto file = run.directory(stage) / "summary.json";
  const auto json = nlohmann::json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  const bool known = json.is_object() && json.contains("valid") && json["valid"].contains("logloss") &&
                     json["valid"]["logloss"].is_number();
  INTERPLAY_CHECK_DATA(known, "{}: has no log loss of the valid rows, which was to choose (search.retrain_with: both)",
                       file.string());
  return json["valid"]["logloss"].get<double>();
}

}  // namespace

void retrain(SearchRun& run, SearchFindings& found, const RetrainOptions& options, bool by_valid, const Config& gated,
             const Config& plain, const std::function<void(Trainer&)>& started) {
  const std::string with = options.with(by_valid);
  found.retrain = with == "plain" ? plain : gated;
  run.found(found);
  if (!options.retrain) return;
  if (with == "both") check_valid(run);
  StageResult best = run.stage({.name = "retrain", .experiment = found.retrain, .started = started});
  if (with == "both") {
    const StageResult other = run.stage({.name = "retrain_plain", .experiment = plain});
    const double loss = valid_loss(run, best), plain_loss = valid_loss(run, other);
    log::info("re-trained with gates, log loss on valid {:.6f}; plainly, {:.6f}", loss, plain_loss);
    if (plain_loss < loss) best = other, found.retrain = plain;
  }
  found.result = best.directory;
  run.found(found);
}

}  // namespace interplay
