#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <interplay/base/api.h>
#include <interplay/base/options.h>

namespace interplay::recfound {

struct S2SchedOptions {
  int64_t warmup = 32, window = 64;
  double tau = 1;
  void visit(auto&& field) {
    field("warmup", warmup, "the first step whose rows are chosen; before it tasks of a family count alike",
          Range{2, 1e9});
    field("window", window, "steps of whose ratios slopes are taken", Range{2, 1e9});
    field("tau", tau, "how soon a family whose slowest task gets worse is made to hold on to what converges",
          Range{0, 1e6});
  }
};

/// How much each task of a family should have of a step's rows, from how its validation loss falls (S2Sched of
/// RecFound; after CoBa, Gong et al. 2024, arXiv:2410.06741). Ratios rho_i(t) = l_i(t) / l_i(0) of a family of n tasks
/// give slopes, alpha_i of the last `window` ratios and A of the largest ratio at each step; then
///
///     RCS_i = softmax_i(n alpha_i / sum_j |alpha_j|)          tasks that converge slowly, or not, get more
///     ACS_i = softmax_i(-N alpha_i / sum_s |alpha_i(s)|)      tasks that diverge, by their own past, get less
///     DF    = min(1, M softmax_s(-tau M A(s) / sum |A|) at the last)
///     w_i   = softmax_i(n (DF RCS_i + (1 - DF) ACS_i)) size_i / mean size, made to sum to 1
///
/// and, where some w_i < 1 / (5 n), w_i = 0.8 w_i + 1 / (5 n). N slopes of a task are those since decision
/// max(0, t - window); of A all M are kept. Where all slopes are 0, or before `warmup`, tasks count alike.
///
/// Plain numbers in and out; used by one thread.
class INTERPLAY_API S2Scheduler {
 public:
  /// `families`: of each task, 0, 1, ...; `sizes`: its training rows.
  S2Scheduler(std::vector<int64_t> families, std::vector<double> sizes, const S2SchedOptions& options);

  /// What was measured after a step. NaN: nothing was, and the task keeps its last ratio (1 at first).
  void add(std::span<const double> ratios);

  struct Family {
    double group_slope = 0, forgetting = 1;  ///< A, DF
    std::vector<double> relative, absolute;  ///< RCS, ACS
    std::vector<double> before_size, after_size;
  };
  struct Decision {
    std::vector<double> slopes;    ///< of each task
    std::vector<Family> families;  ///< what they come to, in the order of a family's tasks; empty before `warmup`
    std::vector<double> weights;   ///< of each task; those of a family sum to 1
  };
  /// Of the step after those that were measured.
  const Decision& decision() const { return decision_; }
  /// All ratios so far, a step after another: what add() was given, with what was kept.
  const std::vector<std::vector<double>>& ratios() const { return ratios_; }

 private:
  void decide();
  Family weigh(int64_t family, const std::vector<size_t>& tasks);
  std::vector<double> last(size_t task) const;

  std::vector<std::vector<size_t>> tasks_;  // by family
  std::vector<double> sizes_;
  S2SchedOptions options_;
  std::vector<std::vector<double>> ratios_;  // [steps][tasks]
  std::vector<std::vector<double>> slopes_;  // [decisions][tasks]
  std::vector<std::vector<double>> groups_;  // [families][decisions]
  Decision decision_;
};

/// Least-squares slope of numbers against their places; zeros are left out and the rest closed up.
INTERPLAY_API double slope_of(std::span<const double> values);

/// `budget` things by weights (largest remainder; of equal ones the first), none more often than `available`. What then
/// is over is shared once more among those that have some left; what is over after that stays so. `weights` need not
/// sum to 1.
INTERPLAY_API std::vector<int64_t> allocate(std::span<const double> weights, int64_t budget,
                                            std::span<const int64_t> available);

}  // namespace interplay::recfound
