#pragma once

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <interplay/base/stages.h>
#include <interplay/train/fit_report.h>
#include <interplay/train/stepper.h>

namespace interplay {

/// What steps came to, of all and since the last evaluation.
class Stretch {
 public:
  void add(const StepReport& step);
  void add(const StageSeconds& passed);
  /// Loss, terms, rows and seconds since the last evaluation.
  void tell(EpochReport& report) const;
  void begin();  ///< what is told of begins anew

  int64_t steps() const { return steps_; }    ///< since the last evaluation
  int64_t rows() const { return rows_; }      ///< of all
  int64_t tokens() const { return tokens_; }  ///< of all
  const StageSeconds& stages() const { return stages_; }

  nlohmann::ordered_json state() const;
  void restore(const nlohmann::ordered_json& state);

 private:
  double loss_sum_ = 0;
  struct TermSum {
    std::string name;
    double sum = 0;
    int64_t steps = 0;  // that had it
  };
  std::vector<TermSum> terms_;
  int64_t steps_ = 0, rows_ = 0, rows_before_ = 0, tokens_ = 0;
  StageSeconds stages_{}, stages_before_{};
};

}  // namespace interplay
