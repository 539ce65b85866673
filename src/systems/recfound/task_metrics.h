#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/config.h>
#include <interplay/lm/tuned_folder.h>

namespace interplay::recfound {

/// A metric of a task, by name: of embedding mrr@K, ndcg@K and recall@K, of a row's passages ranked by cosine; of
/// generation accuracy (or exact: the answer is the right one), substring (it contains it), f1 and macro_f1.
struct INTERPLAY_API TaskMetric {
  std::string name;  ///< as written
  std::string kind;
  int64_t k = 0;  ///< of those of embedding
  /// Throws Error at `at` for a name that the family does not have.
  static TaskMetric parse(const std::string& name, lm::TaskFamily family, const Config& at);
};

/// Where the positives of a row stand among its passages, from 1, equal ones at their mean; and how many there are.
struct RankedRow {
  std::vector<double> positions;  ///< ascending
};
/// `scores`: of a row's passages, of which the first `positives` are those that are looked for.
INTERPLAY_API RankedRow ranked(std::span<const float> scores, int64_t positives);
INTERPLAY_API double ranking_value(const TaskMetric& metric, std::span<const RankedRow> rows);

/// An answer and the right one.
struct Answered {
  std::string said, right;
};
/// `answers`: all that there are (may be empty: any); `positive`: of f1. An answer that is none of them counts as a
/// wrong one: of two as the other, of more as the first, or the second where the first is right.
INTERPLAY_API double answer_value(const TaskMetric& metric, std::span<const Answered> rows,
                                  std::span<const std::string> answers, const std::string& positive);

/// White space around it left out.
std::string trimmed(std::string_view text);

}  // namespace interplay::recfound
