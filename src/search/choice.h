#pragma once

#include <map>
#include <string>
#include <vector>

#include <interplay/core/interactions.h>
#include <interplay/search/search.h>
#include <interplay/train/evaluator.h>

namespace interplay {

/// How many gates to keep, as held-out rows say: the trained model is evaluated with all gates but the strongest n
/// masked, for n from none to all, and the smallest n is chosen whose loss is within one standard error of the least.
/// A gate's strength is its size times the standard deviation of what it opens: the deviation of what it adds to a
/// logit, which is how much the loss would rise without it as long as that is little (Le Cun et al. 1990, "Optimal
/// brain damage"). A gate that nothing has moved yet is large, but what is behind it still varies little.
///
/// Meanwhile the running statistics of all norms are those of the weights as they are: over few steps they lag behind.
/// The destructor puts gates and statistics back.
class ValidChoice {
 public:
  /// Of the trainer's model as it is; asked to stop, choose() throws Error(interrupted).
  ValidChoice(Trainer& trainer, const Dataset& train, const Dataset& valid);
  ~ValidChoice();
  ValidChoice(const ValidChoice&) = delete;
  ValidChoice& operator=(const ValidChoice&) = delete;

  /// Gates of one parameter group, whose `names` are in the model's order, and leaves those that are not chosen masked.
  /// `among`: leaves gates that are false in it aside, as if they were not there.
  KeptCurve choose(const std::string& group, const std::vector<std::string>& names,
                   const std::vector<bool>& among = {});

 private:
  void refit_norms(const Dataset& train);
  std::vector<float> losses(const std::string& progress);  // by valid row
  void check_stop() const;

  Trainer& trainer_;
  Dataset valid_;
  std::vector<float> weight_;                     // of the valid rows, or empty
  std::map<std::string, at::Tensor> as_trained_;  // gates and buffers
};

/// The log loss of each row, the mean over its labels.
INTERPLAY_API std::vector<float> row_losses(const Predictions& rows);

/// Logistic recalibration, label by label: a z + b in place of z, a >= 0, by the least log loss of these rows
/// themselves. What a mask does to the scale of all logits, training anew would mend. Logits that are all alike, and
/// labels of one class, stay as they are.
INTERPLAY_API void recalibrate(Predictions& rows);

/// Numbers to keep that are tried of so many gates: all up to 32, then each an eighth more, and `gates`.
INTERPLAY_API std::vector<int64_t> tried_numbers(int64_t gates);

/// The points, best and chosen number, given the losses of the rows at each tried number.
INTERPLAY_API KeptCurve curve_of(const std::vector<int64_t>& kept, const std::vector<std::vector<float>>& losses,
                                 const std::vector<float>& weight = {});

/// The rows of a split, as the search's model reads them.
Dataset open_split(const SearchRun& run, const char* split);
bool has_valid_rows(const SearchRun& run);
/// Throws Error where there are no validation rows to choose by.
void check_valid(const SearchRun& run);
/// Marks as kept the interactions that the curve chose, by their names.
void keep_chosen(std::vector<Interaction>& interactions, const KeptCurve& curve);
/// `by 9000 valid rows: log loss 0.35123, 0.00012 above the best (standard error 0.00034; 7 kept)`
std::string curve_text(const KeptCurve& curve);

}  // namespace interplay
