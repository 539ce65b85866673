#include "search/retrain.h"

#include <cmath>

#include <interplay/base/log.h>

#include "search/choice.h"

namespace interplay {

Config field_names(const Interaction& interaction) {
  std::vector<Config> names;
  for (const auto& field : interaction.fields) names.push_back(Config::scalar(field, true));
  return Config::sequence(std::move(names));
}

Config kept_sets(const std::vector<Interaction>& interactions) {
  std::vector<Config> sets;
  for (const auto& i : interactions) {
    if (i.kept) sets.push_back(field_names(i));
  }
  return Config::sequence(std::move(sets));
}

void RetrainOptions::check(const SearchRun& run, bool by_valid) const {
  INTERPLAY_CHECK_DATA(!retrain || with(by_valid) != "both" || has_valid_rows(run),
                       "{}: has no validation rows, which are to choose between re-training with gates and plainly "
                       "(search.retrain_with: both); prepare data with a valid split, or say gates or plain",
                       run.data().string());
}

void retrain(SearchRun& run, SearchFindings& found, const RetrainOptions& options, bool by_valid, const Config& gated,
             const Config& plain, const std::function<void(Trainer&)>& started) {
  const std::string with = options.with(by_valid);
  found.retrain = with == "plain" ? plain : gated;
  run.found(found);
  if (!options.retrain) return;
  StageResult best = run.stage({.name = "retrain", .experiment = found.retrain, .started = started});
  if (with == "both") {
    const StageResult other = run.stage({.name = "retrain_plain", .experiment = plain});
    for (const StageResult& stage : {best, other}) {
      INTERPLAY_CHECK_DATA(std::isfinite(stage.valid_logloss),
                           "{}: has no log loss of the valid rows, which was to choose (search.retrain_with: both)",
                           run.directory(stage).string());
    }
    log::info("re-trained with gates, log loss on valid {:.6f}; plainly, {:.6f}", best.valid_logloss,
              other.valid_logloss);
    if (other.valid_logloss < best.valid_logloss) best = other, found.retrain = plain;
  }
  found.result = best.directory;
  run.found(found);
}

}  // namespace interplay
