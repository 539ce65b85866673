#include <interplay/core/metric.h>

#include <algorithm>
#include <cmath>

namespace interplay {

namespace {

void check_lengths(const Predictions& p) {
  INTERPLAY_CHECK(p.labels == 1, "evaluate: predictions of {} labels; give their names, or those of one (of_label())",
                  p.labels);
  const auto check = [&](const char* what, size_t size, bool optional) {
    INTERPLAY_CHECK(size == p.logit.size() || (optional && size == 0),
                    "evaluate: {} {}s beside {} logits; give one of each a row", size, what, p.logit.size());
  };
  check("label", p.label.size(), false);
  check("weight", p.weight.size(), true);
  check("group id", p.group.size(), true);
}

void check_values(const Predictions& p) {
  for (size_t i = 0; i < p.logit.size(); ++i) {
    if (!std::isfinite(p.logit[i])) {
      throw Error(fmt::format("evaluate: the logit of row {} is {}; the model has diverged: lower the learning rate or "
                              "clip gradients",
                              i, p.logit[i]),
                  ErrorKind::numeric);
    }
    INTERPLAY_CHECK_DATA(p.label[i] >= 0.0f && p.label[i] <= 1.0f,
                         "evaluate: the label of row {} is {}; expected 0 or 1", i, p.label[i]);
  }
  for (size_t i = 0; i < p.weight.size(); ++i) {
    INTERPLAY_CHECK_DATA(p.weight[i] >= 0.0f && std::isfinite(p.weight[i]),
                         "evaluate: the weight of row {} is {}; expected a number >= 0", i, p.weight[i]);
  }
}

const MetricValue& find(const std::vector<MetricValue>& values, const std::string& name, const Config& monitor) {
  const auto it = std::find_if(values.begin(), values.end(), [&](const auto& v) { return v.name == name; });
  if (it == values.end()) {
    std::vector<std::string> names;
    for (const auto& v : values) names.push_back(v.name);
    const MonitoredName parsed = parse_monitored(name);
    if (parsed.is_term())
      monitor.fail(
          fmt::format("the model gives no term '{}' where rows are evaluated ({}); one that is monitored has to be "
                      "given in eval mode too",
                      parsed.of, names.empty() ? "nothing is" : fmt::format("evaluated: {}", fmt::join(names, ", "))));
    monitor.fail(
        fmt::format("'{}' is not among the metrics evaluated ({}); add it to them", name, fmt::join(names, ", ")));
  }
  if (std::isnan(it->value)) {
    monitor.fail(
        fmt::format("{} is undefined here: {}; monitor another metric or mend the data", it->display, it->reason));
  }
  return *it;
}

}  // namespace

Metric::~Metric() = default;

std::string Metric::why_undefined(const Predictions& p) const {
  if (p.rows() == 0) return "there are no rows";
  if (!p.weight.empty() && std::all_of(p.weight.begin(), p.weight.end(), [](float w) { return w == 0; })) {
    return "all weights are 0";
  }
  return "all labels are of one class";
}

double Metric::merit(double value) const { return higher_is_better() ? value : -value; }

Registry<Metric>& metrics() {
  static auto* registry = new Registry<Metric>("metric");  // leaked: registrations may outlive static destruction
  return *registry;
}

std::vector<MetricValue> evaluate(const Predictions& predictions, const Config& wanted) {
  check_lengths(predictions);
  check_values(predictions);
  std::vector<MetricValue> values;
  for (const Config& one : wanted.is_map() ? std::vector{wanted} : wanted.items()) {
    const auto metric = metrics().make(one);
    MetricValue v;
    v.name = name_in(one);
    v.display = metric->display();
    v.value = metric->compute(predictions);
    v.merit = metric->merit(v.value);
    if (std::isnan(v.value)) v.reason = metric->why_undefined(predictions);
    values.push_back(std::move(v));
  }
  return values;
}

std::vector<MetricValue> evaluate(const Predictions& predictions, const Config& wanted,
                                  const std::vector<std::string>& label_names) {
  const int64_t labels = predictions.labels;
  std::vector<MetricValue> mean, each;
  for (int64_t t = 0; t < labels; ++t) {
    auto values = evaluate(*predictions.of_label(t), wanted);
    if (labels == 1) return values;
    const std::string& name = label_names.at(size_t(t));
    if (mean.empty()) mean = values;
    for (size_t i = 0; i < values.size(); ++i) {
      auto& m = mean[i];
      if (t == 0) m.value = m.merit = 0, m.reason.clear();
      m.value += values[i].value / double(labels);
      m.merit += values[i].merit / double(labels);
      if (m.reason.empty() && !values[i].reason.empty())
        m.reason = fmt::format("of label '{}', {}", name, values[i].reason);
      values[i].name += ":" + name;
      values[i].display += ":" + name;
      each.push_back(std::move(values[i]));
    }
  }
  mean.insert(mean.end(), each.begin(), each.end());
  return mean;
}

std::string metrics_line(const std::vector<MetricValue>& values) {
  std::vector<std::string> parts;
  for (const auto& v : values) {
    const auto same =
        std::count_if(values.begin(), values.end(), [&](const auto& w) { return w.display == v.display; });
    const std::string title = same > 1 ? fmt::format("{} ({})", v.display, v.name) : v.display;
    parts.push_back(std::isnan(v.value) ? fmt::format("{}: n/a", title) : fmt::format("{}: {:.6f}", title, v.value));
  }
  return fmt::format("[Metrics] {}", fmt::join(parts, " - "));
}

std::vector<std::string> monitored_names(const Config& monitor) {
  if (monitor.is_map() && monitor.size() > 0) return monitor.keys();
  if (!monitor.is_scalar()) monitor.fail("expected a metric's name or a map of weights such as {auc: 1, logloss: -1}");
  return {monitor.as<std::string>()};
}

constexpr std::string_view kTerm = "term";

MonitoredName parse_monitored(const std::string& name) {
  const size_t colon = name.find(':');
  if (colon == name.npos) return {.metric = name};
  MonitoredName out{.metric = name.substr(0, colon), .of = name.substr(colon + 1)};
  if (out.metric == kTerm) out.metric.clear();
  return out;
}

std::string name_of_term(const std::string& term) { return fmt::format("{}:{}", kTerm, term); }

double monitor_value(const std::vector<MetricValue>& values, const Config& monitor) {
  const auto names = monitored_names(monitor);
  if (monitor.is_scalar()) return find(values, names[0], monitor).merit;
  double sum = 0;
  for (const auto& name : names) sum += monitor[name].as<double>() * find(values, name, monitor).value;
  return sum;
}

}  // namespace interplay
