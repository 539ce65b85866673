#pragma once

#include <string>
#include <vector>

#include <interplay/core/bootstrap.h>
#include <interplay/explain/sampled_rows.h>

namespace interplay {

/// What a model loses where a row no longer says what a group of fields is.
struct Importance {
  FieldGroup group;
  Interval loss;  ///< mean log loss gained
  Interval auc;   ///< AUC lost
};

struct ImportanceOptions {
  int64_t repeats = 5;       ///< permutations, whose mean is taken
  int64_t replicates = 500;  ///< of the bootstrap
  uint64_t seed = 1;
  std::string progress{};  ///< title of the progress line; empty = none
};

/// Permutation importance (Breiman 2001, "Random forests", sec. 10; Fisher, Rudin and Dominici 2019): each row gets the
/// fields of a group from a row drawn without replacement, all fields of the group from the same one, and what the
/// model loses is what it had of them. A field is worth no more than what others do not tell as well: of two copies
/// each may have little.
///
/// Intervals are 95% intervals of the paired bootstrap over rows: in each replicate the rows as they are and all
/// permutations are judged on the same rows. They say how sure the figure is for this model; another seed of training
/// is another model. What a group loses depends on its fields and the seed, not on the others asked for.
INTERPLAY_API std::vector<Importance> permutation_importance(const LabelLogit& logit, const SampledRows& rows,
                                                             const std::vector<FieldGroup>& groups,
                                                             const ImportanceOptions& options = {});

/// AUC and log loss of the rows as they are, each with its 95% interval.
struct Standing {
  Interval auc, logloss;
};
INTERPLAY_API Standing standing(const LabelLogit& logit, const SampledRows& rows,
                                const ImportanceOptions& options = {});

}  // namespace interplay
