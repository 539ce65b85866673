#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <interplay/search/search.h>

namespace interplay {

/// How what was found is trained anew.
struct RetrainOptions {
  bool retrain = true;
  std::optional<std::string> retrain_with;
  void visit(auto&& field) {
    field("retrain", retrain, "train what was found");
    field(
        "retrain_with", retrain_with,
        "gates: what is kept is normalised and weighed by gates of its own, as in the papers; plain: the experiment "
        "with what is kept, and nothing else; both: the one with the smaller log loss on valid is the result. Nothing: "
        "both where the valid split chooses what is kept, else gates",
        OneOf{{"gates", "plain", "both"}});
  }
  /// Throws Error(data) where both are asked for and there are no validation rows to tell.
  void check(const SearchRun& run, bool by_valid) const;
  std::string with(bool by_valid) const { return retrain_with.value_or(by_valid ? "both" : "gates"); }
};

Config field_names(const Interaction& interaction);              ///< its fields, a list
Config kept_sets(const std::vector<Interaction>& interactions);  ///< the fields of those that are kept: a list of lists

/// Trains `gated`, `plain` or both, and completes `found` with the experiment that is the result and, where it was
/// trained, its stage.
void retrain(SearchRun& run, SearchFindings& found, const RetrainOptions& options, bool by_valid, const Config& gated,
             const Config& plain, const std::function<void(Trainer&)>& started = {});

}  // namespace interplay
