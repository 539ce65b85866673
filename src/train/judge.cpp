#include "train/judge.h"

#include <algorithm>

#include <interplay/data/loader.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/retrieval.h>
#include <interplay/train/term_means.h>

#include "train/wanted_metrics.h"

namespace interplay {

using Json = nlohmann::ordered_json;

namespace {

constexpr double kImprovement = 1e-6;  // a gain below this is none (FuxiCTR's protocol)

}  // namespace

std::vector<MetricValue> Judge::measure(Stepper& stepper, const Dataset& valid, const Dataset& train,
                                        const std::function<void()>& before_batch) const {
  const auto& labels = valid.schema().labels();
  TermMeans terms(stepper.objective(), stepper.device());
  PredictOptions how{options_.eval_batch_size, stepper.device(),
                     negative_offsets(options_.negative_rate, options_.negative_label, labels), stepper.precision(),
                     "evaluate"};
  how.before_batch = before_batch;
  how.each = [&](const Output& out, const Batch& batch) { terms.add(out, batch); };
  const Predictions predictions = predict(stepper.model(), valid, how);
  const WantedMetrics wanted(options_);
  std::vector<MetricValue> values;
  if (!predictions.logit.empty()) values = evaluate(predictions, wanted.of_rows, labels);
  if (!wanted.of_catalogue.empty()) {
    const auto found = evaluate_retrieval(stepper.model(), valid, train, wanted.of_catalogue, options_.retrieval,
                                          options_.eval_batch_size, before_batch);
    values.insert(values.end(), found.begin(), found.end());
  }
  for (auto& value : terms.values()) values.push_back(std::move(value));
  return values;
}

void Judge::begin() {
  waited_ = 0;
  best_ = -1;
  best_score_ = -std::numeric_limits<double>::infinity();
}

bool Judge::enter(EpochReport& report) {
  report.monitor = monitor_value(report.metrics, options_.monitor);
  report.improved = report.monitor > best_score_ + kImprovement;
  if (report.improved) best_score_ = report.monitor;
  waited_ = report.improved ? 0 : waited_ + 1;
  const bool keep = report.improved || options_.keep == "last";
  if (keep) best_ = int64_t(evaluations_.size());
  evaluations_.push_back(report);
  return keep;
}

Json Judge::state() const {
  Json reports = Json::array();
  for (const auto& e : evaluations_) reports.push_back(to_json(e));
  return {{"waited", waited_}, {"best", best_}, {"best_score", number_or_null(best_score_)}, {"evaluations", reports}};
}

void Judge::restore(const Json& s) {
  waited_ = s.at("waited"), best_ = s.at("best");
  if (!s.at("best_score").is_null()) best_score_ = s.at("best_score");
  for (const auto& e : s.at("evaluations")) evaluations_.push_back(epoch_report(e));
  if (best_ < -1 || best_ >= int64_t(evaluations_.size()))
    throw Error("the best evaluation is none of those that there were", ErrorKind::data);
}

}  // namespace interplay
