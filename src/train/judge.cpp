#include "train/judge.h"

#include <algorithm>

#include <interplay/data/loader.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/retrieval.h>

#include "train/wanted_metrics.h"

namespace interplay {

using Json = nlohmann::ordered_json;

namespace {

constexpr double kImprovement = 1e-6;  // a gain below this is none (FuxiCTR's protocol)

/// Means over rows of what a model learns beside the labels.
class TermMeans {
 public:
  explicit TermMeans(const Stepper& stepper) : stepper_(stepper) {}

  void add(const Output& out, const Batch& given) {
    if (out.terms.empty()) return;
    const Batch b = stepper_.device().is_cpu() ? given : given.to(stepper_.device());
    for (const auto& part : stepper_.objective().terms(out, b)) {
      const std::string name = name_of_term(part.name);
      auto known = std::find_if(sums_.begin(), sums_.end(), [&](const auto& t) { return t.first.name == name; });
      if (known == sums_.end()) known = sums_.insert(known, {MetricValue{name, display_of(name), 0}, 0});
      known->first.value += double(b.rows()) * part.value.item<double>();
      known->second += double(b.rows());
    }
  }

  void append_to(std::vector<MetricValue>& values) const {
    for (auto [mean, rows] : sums_) {
      mean.value /= rows;
      mean.merit = -mean.value;
      values.push_back(std::move(mean));
    }
  }

 private:
  const Stepper& stepper_;
  std::vector<std::pair<MetricValue, double>> sums_;  // and the rows
};

}  // namespace

std::vector<MetricValue> Judge::measure(Stepper& stepper, const Dataset& valid, const Dataset& train,
                                        const std::function<void()>& before_batch) const {
  const auto& labels = valid.schema().labels();
  TermMeans terms(stepper);
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
  terms.append_to(values);
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
