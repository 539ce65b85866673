#include "search/retrain.h"

#include <algorithm>
#include <cmath>
#include <limits>

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

std::string RetrainOptions::text() const {
  std::string text =
      "gates: what is kept is normalised and weighed by gates of its own, as in the papers; plain: it is not, and "
      "nothing else is changed; ";
  if (std::find(ways.begin(), ways.end(), "sets") != ways.end()) {
    text += "sets: the experiment's own model with the sets of fields that are kept, under its own function; ";
  }
  return text +
         "best: each of these, and the one with the smallest log loss on valid is the result. Nothing: best where the "
         "valid split chooses what is kept, else gates";
}

void RetrainOptions::check(const SearchRun& run, bool by_valid) const {
  INTERPLAY_CHECK_DATA(!retrain || with(by_valid) != "best" || has_valid_rows(run),
                       "{}: has no validation rows, which are to choose how to re-train (search.retrain_with: best); "
                       "prepare data with a valid split, or say gates or plain",
                       run.data().string());
}

void retrain(SearchRun& run, SearchFindings& found, const RetrainOptions& options, bool by_valid,
             const std::vector<Retraining>& ways) {
  const std::string with = options.with(by_valid);
  std::vector<Retraining> tried;
  for (const Retraining& way : ways) {
    if (with == "best" || with == way.with) tried.push_back(way);
  }
  INTERPLAY_ASSERT(!tried.empty());  // the search has checked what it can
  found.retrain = tried.front().experiment;
  run.found(found);
  if (!options.retrain) return;
  const bool chooses = tried.size() > 1;
  double least = std::numeric_limits<double>::infinity();
  for (const Retraining& way : tried) {
    // the first is `retrain`, whichever it is
    const std::string name = &way == &tried.front() ? "retrain" : "retrain_" + way.with;
    const StageResult stage = run.stage({.name = name, .experiment = way.experiment, .started = way.started});
    INTERPLAY_CHECK_DATA(!chooses || std::isfinite(stage.valid_logloss),
                         "{}: has no log loss of the valid rows, which was to choose (search.retrain_with: best)",
                         run.directory(stage).string());
    if (chooses) log::info("re-trained with {}, log loss on valid {:.6f}", way.with, stage.valid_logloss);
    if (chooses && !(stage.valid_logloss < least)) continue;
    least = stage.valid_logloss;
    found.retrain = way.experiment;
    found.result = stage.directory;
  }
  run.found(found);
}

}  // namespace interplay
