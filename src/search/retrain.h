#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <interplay/search/search.h>

namespace interplay {

/// One way to train what was found.
struct Retraining {
  std::string with;  ///< its name, a value of retrain_with
  Config experiment;
  std::function<void(Trainer&)> started = {};
};

/// How what was found is trained anew.
struct RetrainOptions {
  bool retrain = true;
  std::optional<std::string> retrain_with;
  std::vector<std::string> ways{"gates", "plain"};  ///< that the search knows
  void visit(auto&& field) {
    field("retrain", retrain, "train what was found");
    auto values = ways;
    values.push_back("best");
    field("retrain_with", retrain_with, text(), OneOf{std::move(values)});
  }
  /// Throws Error(data) where the best is asked for and there are no validation rows to tell.
  void check(const SearchRun& run, bool by_valid) const;
  std::string with(bool by_valid) const { return retrain_with.value_or(by_valid ? "best" : "gates"); }

 private:
  std::string text() const;
};

Config field_names(const Interaction& interaction);              ///< its fields, a list
Config kept_sets(const std::vector<Interaction>& interactions);  ///< the fields of those that are kept: a list of lists

/// Trains what was found in the one of `ways` that the options name, or in all of them, and completes `found` with the
/// experiment that is the result and, where it was trained, its stage. The way that is named has to be one of
/// `ways`.
void retrain(SearchRun& run, SearchFindings& found, const RetrainOptions& options, bool by_valid,
             const std::vector<Retraining>& ways);

}  // namespace interplay
