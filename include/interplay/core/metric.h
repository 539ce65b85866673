#pragma once

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <interplay/base/registry.h>
#include <interplay/core/predictions.h>

namespace interplay {

/// One number that judges predictions. Sample weights are honoured everywhere: weight 2 equals the row written twice.
/// A metric that is undefined on the rows at hand (one class only, no group column) is NaN; why_undefined() says why in
/// plain words, and metrics_line() prints `n/a`. Immutable, so it may be used from any thread.
///
/// A new metric is one file:
///
///     class Brier final : public interplay::Metric { ... using Options = interplay::NoOptions; ... };
///     INTERPLAY_REGISTER(interplay::metrics(), "brier", Brier, "mean squared error of the probability");
class INTERPLAY_API Metric {
 public:
  virtual ~Metric();
  virtual double compute(const Predictions& predictions) const = 0;  ///< of one label
  virtual bool higher_is_better() const = 0;
  virtual std::string display()
      const = 0;  ///< its title: `AUC`, `logloss`, `gAUC`; where two are alike, their names stand beside them
  virtual std::string why_undefined(const Predictions& predictions) const;  ///< asked only where compute() gave NaN
  virtual double merit(double value) const;  ///< rises as predictions get better: value, or -value if lower is better
};

INTERPLAY_API Registry<Metric>& metrics();

struct MetricValue {
  std::string name = {};     ///< as registered: `auc`
  std::string display = {};  ///< as printed: `AUC`
  double value = std::numeric_limits<double>::quiet_NaN();
  double merit = std::numeric_limits<double>::quiet_NaN();  ///< what early stopping maximises: see Metric::merit
  std::string reason = {};                                  ///< why `value` is NaN; else empty
};

/// Computes what `wanted` names, in that order: a list of names or of {name: ..., options}; a name alone is a list of
/// one. Throws Error(numeric) naming the row of a logit that is not finite, Error(data) for a bad label or weight.
///
///     const auto values = evaluate({.logit = logit, .label = label}, Config::parse("[auc, logloss]"));
///     log::info("{}", metrics_line(values));   // [Metrics] AUC: 0.805664 - logloss: 0.445767
INTERPLAY_API std::vector<MetricValue> evaluate(const Predictions& predictions, const Config& wanted);
/// Of several labels each metric comes per label, its name carrying the label ("auc:click"), after the mean over the
/// labels under its own name; a label's metrics are those of the rows that have it.
INTERPLAY_API std::vector<MetricValue> evaluate(const Predictions& predictions, const Config& wanted,
                                                const std::vector<std::string>& label_names);
INTERPLAY_API std::string metrics_line(const std::vector<MetricValue>& values);

/// The number early stopping maximises. `monitor` is a metric's name, whose merit is taken (so `logloss` alone means
/// the negated logloss), or a map of weights, {auc: 1, logloss: -1}, whose weighted sum of raw values is taken.
/// Throws Error if a metric named there is not among `values` or is undefined on them.
INTERPLAY_API double monitor_value(const std::vector<MetricValue>& values, const Config& monitor);
INTERPLAY_API std::vector<std::string> monitored_names(const Config& monitor);  ///< the metrics a monitor reads

/// What a monitor names: a metric (`auc`), a metric of one label (`auc:click`), or the mean of what the model learns
/// beside the labels (`term:NAME`).
struct MonitoredName {
  std::string metric = {};  ///< empty where it is a term
  std::string of = {};      ///< the label or the term; empty: of no one label
  bool is_term() const { return metric.empty(); }
};
INTERPLAY_API MonitoredName parse_monitored(const std::string& name);
INTERPLAY_API std::string name_of_term(const std::string& term);  ///< `term:NAME`

}  // namespace interplay
