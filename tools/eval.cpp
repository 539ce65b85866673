// interplay eval RUN...: metrics of one run, or a table of several; slices by field; paired comparison.
#include <chrono>
#include <cmath>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bootstrap.h>
#include <interplay/core/bundle.h>
#include <interplay/core/calibration.h>
#include <interplay/core/ranking_metric.h>
#include <interplay/data/encoder.h>
#include <interplay/data/row_facts.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/retrieval.h>
#include <interplay/train/term_means.h>
#include <interplay/train/train_options.h>

#include "command.h"
#include "run_data.h"
#include "scores.h"

namespace interplay::tool::eval_command {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::vector<std::string> runs, metrics, against;
  std::string data, split = "test", by, scores, label;
  int64_t batch_size = 4096, min_rows = 1;
  std::string precision = "fp32";
  bool json = false, compare = false, interval = false, raw = false;

  /// Something that a model without logits cannot tell.
  bool wants_scores() const {
    return compare || interval || !metrics.empty() || !by.empty() || !scores.empty() || !against.empty();
  }
};

struct Result {
  std::string run, model;
  int64_t parameters = 0, rows = 0;
  double train_rows_per_s = NAN, train_seconds = NAN, seconds = 0;
  std::vector<MetricValue> metrics;
  std::vector<MetricValue> before{};  ///< its calibration; empty where it has none
  std::string calibrator{};           ///< empty where it has none
  Predictions predictions;
  std::vector<std::string> labels;         ///< its own, in the order of `predictions`
  std::vector<AucDifference> from_half{};  ///< of each label compared: its AUC less that of no knowledge, 0.5

  /// The rows that have this label, and what was said of it.
  std::shared_ptr<const Predictions> of(const std::string& label) const {
    const auto found = std::find(labels.begin(), labels.end(), label);
    INTERPLAY_CHECK(found != labels.end(), "{}: learnt no label '{}' (labels: {})", run, label,
                    fmt::join(labels, ", "));
    return predictions.of_label(found - labels.begin());
  }
};

/// What intervals and comparisons are of: the label asked for, or all of the first run's.
std::vector<std::string> compared_labels(const Arguments& a, const Result& first) {
  return a.label.empty() ? first.labels : std::vector<std::string>{a.label};
}

/// Scores beside one label; which one has to be said where a run learnt several.
std::string scored_label(const Arguments& a, const Result& r, const char* option) {
  if (!a.label.empty()) return a.label;
  INTERPLAY_CHECK(r.labels.size() == 1, "{}: {} learnt the labels {}; say which one is meant: --label NAME", option,
                  r.run, fmt::join(r.labels, ", "));
  return r.labels[0];
}

/// Those of the metrics asked for that judge a ranked catalogue.
std::vector<std::string> of_catalogue(const Arguments& a) {
  std::vector<std::string> names;
  std::copy_if(a.metrics.begin(), a.metrics.end(), std::back_inserter(names), is_ranking_metric);
  return names;
}

Config wanted(const Arguments& a, bool group) {
  std::vector<std::string> names = a.metrics;
  if (names.empty()) {
    names = {"auc", "logloss"};
    if (group) names.push_back("gauc");
    for (const char* more : {"ne", "calibration", "pr_auc", "rmse"}) names.push_back(more);
  }
  std::vector<Config> list;
  for (const auto& n : names) {
    if (!is_ranking_metric(n)) list.push_back(Config::scalar(n, true));
  }
  return Config::sequence(list);
}

/// Of a finished run, from what it said of itself.
void read_speed(Result& r, const Bundle& bundle) {
  const auto summary = bundle.directory() / "summary.json";
  if (std::filesystem::exists(summary)) {
    const auto json = Json::parse(read_file(summary));
    r.train_rows_per_s = json.at("rows_per_s").get<double>();
    r.train_seconds = json.at("seconds").get<double>();
  }
}

/// What is calibrated to all negatives is too low for data that have some of them.
void warn_of_sampling(const std::string& run, const Calibration& calibration) {
  if (const double kept = calibration.options().sampled; kept < 1) {
    log::warning(
        "{}: its p are of all negatives, of which the data it was calibrated on have {}: on such data log loss and "
        "calibration look worse than they are (--raw leaves the calibration out)",
        run, kept);
  }
}

Result evaluate_run(const std::string& run, const Arguments& a) {
  const Bundle bundle = Bundle::open(run);
  const auto data = data_of(a.data, bundle);
  bundle.check_data(data);
  const Dataset whole = Dataset::open(data, a.split), dataset = whole.select(bundle.schema());
  if (!a.by.empty()) check_by(a.by, whole.schema());  // before the long part
  const auto model = bundle.model();
  Result r{.run = run,
           .model = bundle.config()["model"]["name"].as<std::string>(),
           .parameters = parameter_count(*model),
           .rows = dataset.rows(),
           .metrics = {},
           .predictions = {},
           .labels = bundle.schema().labels()};
  const auto begun = std::chrono::steady_clock::now();
  std::optional<Objective> objective;
  std::optional<TermMeans> terms;  // of a model without logits
  PredictOptions how{a.batch_size, at::kCPU, bundle.logit_offsets(), nn::parse_precision(a.precision), "evaluate"};
  how.each = [&](const Output& out, const Batch& batch) {
    if (out.logit.defined()) return;
    if (!terms) {
      TrainOptions options;
      read_options(options, bundle.config()["train"]);
      objective.emplace(options.loss, options.terms, bundle.schema().labels());
      terms.emplace(*objective);
    }
    terms->add(out, batch);
  };
  r.predictions = predict(*model, dataset, how);
  r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  if (r.predictions.logit.empty() && r.rows > 0) {
    INTERPLAY_CHECK(!a.wants_scores(),
                    "{}: the model gives no logits yet: it was pre-trained, and no rows can be scored by it", run);
    r.metrics = terms->values();
    read_speed(r, bundle);
    return r;
  }
  const Config names_of_rows = wanted(a, !r.predictions.group.empty());
  if (const auto calibration = a.raw ? nullptr : bundle.calibration()) {
    r.calibrator = calibration->options().method;
    r.before = evaluate(r.predictions, names_of_rows, r.labels);
    calibration->apply(r.predictions, dataset);
    warn_of_sampling(run, *calibration);
  }
  r.metrics = evaluate(r.predictions, names_of_rows, r.labels);
  if (const auto names = of_catalogue(a); !names.empty()) {
    RetrievalOptions options;
    read_options(options, bundle.config()["train"]["retrieval"]);
    const Dataset train = Dataset::open(data, "train").select(bundle.schema());
    for (auto& value : evaluate_retrieval(*model, dataset, train, names, options, a.batch_size))
      r.metrics.push_back(std::move(value));
  }
  read_speed(r, bundle);
  return r;
}

Json number(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }

Json to_json(const std::vector<MetricValue>& values) {
  Json out = Json::object();
  for (const auto& v : values) out[v.name] = number(v.value);
  return out;
}

std::string six(double v) { return std::isfinite(v) ? fmt::format("{:.6f}", v) : "n/a"; }

/// Equal, where a missing label is equal to another.
bool same_labels(std::span<const float> a, std::span<const float> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

/// As far as labels can tell: those that both have.
bool same_rows(const Result& a, const Result& b) {
  if (a.rows != b.rows) return false;
  if (a.labels == b.labels) return same_labels(a.predictions.label, b.predictions.label);
  for (const auto& label : a.labels) {
    if (std::find(b.labels.begin(), b.labels.end(), label) == b.labels.end()) continue;
    if (!same_labels(a.of(label)->label, b.of(label)->label)) return false;
  }
  return true;
}

std::string interval(const AucDifference& d) { return fmt::format("{:.4f} to {:.4f}", 0.5 + d.low, 0.5 + d.high); }

void print_table(const std::vector<Result>& results, const Arguments& a) {
  const bool same =
      std::all_of(results.begin(), results.end(), [&](const Result& r) { return same_rows(r, results[0]); });
  std::vector<std::vector<std::string>> rows{{"model"}};
  for (const auto& m : results[0].metrics) rows[0].push_back(m.display);
  const auto labels = compared_labels(a, results[0]);
  const std::string several = results[0].labels.size() > 1 ? ":" : "";
  if (!results[0].from_half.empty()) {
    for (const auto& label : labels)
      rows[0].push_back(fmt::format("AUC{}, 95% interval", several.empty() ? "" : several + label));
  }
  const bool calibrated =
      std::any_of(results.begin(), results.end(), [](const Result& r) { return !r.calibrator.empty(); });
  if (calibrated) rows[0].push_back("calibrated");
  if (!same) rows[0].push_back("rows");
  for (const char* head : {"parameters", "train rows/s", "train s", "run"}) rows[0].push_back(head);
  for (const auto& r : results) {
    std::vector<std::string> row{r.model};
    for (const auto& m : results[0].metrics) {
      const auto same =
          std::find_if(r.metrics.begin(), r.metrics.end(), [&](const auto& v) { return v.name == m.name; });
      row.push_back(same == r.metrics.end() ? "n/a" : six(same->value));
    }
    for (const auto& d : r.from_half) row.push_back(interval(d));
    if (calibrated) row.push_back(r.calibrator.empty() ? "no" : r.calibrator);
    if (!same) row.push_back(std::to_string(r.rows));
    row.push_back(std::to_string(r.parameters));
    row.push_back(std::isfinite(r.train_rows_per_s)
                      ? fmt::format("{:.{}f}", r.train_rows_per_s, r.train_rows_per_s < 100 ? 1 : 0)
                      : "n/a");
    row.push_back(std::isfinite(r.train_seconds) ? fmt::format("{:.1f}", r.train_seconds) : "n/a");
    row.push_back(r.run);
    rows.push_back(std::move(row));
  }
  fmt::print("{} split, {}\n{}", a.split, same ? fmt::format("{} rows", results[0].rows) : "not of the same rows",
             table(rows));
}

struct Slice {
  std::string value;
  std::vector<int64_t> rows;
};

/// Rows of each value of a field, most rows first.
std::vector<Slice> slices(const Arguments& a, const Bundle& bundle) {
  const auto data = data_of(a.data, bundle);
  const Dataset dataset = Dataset::open(data, a.split);
  const Field& field = dataset.schema().field(a.by);
  const Encoder encoder = Encoder::load(data);
  std::map<int32_t, Slice> by_id;
  int64_t row = 0;
  for (const int32_t id : ids_of(dataset, a.by)) by_id[id].rows.push_back(row++);
  std::vector<Slice> out;
  for (auto& [id, slice] : by_id) {
    slice.value = value_name(encoder, field, id);
    if (int64_t(slice.rows.size()) >= a.min_rows) out.push_back(std::move(slice));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Slice& x, const Slice& y) { return x.rows.size() > y.rows.size(); });
  return out;
}

Json print_slices(const Result& r, const Arguments& a) {
  const Bundle bundle = Bundle::open(r.run);
  std::vector<std::vector<std::string>> rows{{a.by, "rows"}};
  for (const auto& m : r.metrics) rows[0].push_back(m.display);
  Json json = Json::array();
  for (const auto& slice : slices(a, bundle)) {
    const auto values =
        evaluate(r.predictions.pick(slice.rows), wanted(a, !r.predictions.group.empty()), bundle.schema().labels());
    std::vector<std::string> row{slice.value, std::to_string(slice.rows.size())};
    for (const auto& v : values) row.push_back(six(v.value));
    rows.push_back(std::move(row));
    json.push_back({{"value", slice.value}, {"rows", slice.rows.size()}, {"metrics", to_json(values)}});
  }
  if (!a.json) fmt::print("\n{}{}", a.runs.size() > 1 ? r.run + "\n" : "", table(rows));
  return json;
}

/// Of all rows' scores, those of the rows that have the label.
std::vector<float> pick(const std::vector<float>& scores, const Predictions& of) {
  if (of.row.empty()) return scores;
  std::vector<float> out;
  for (const int64_t row : of.row) out.push_back(scores[size_t(row)]);
  return out;
}

/// `label` is named where there are several.
Json compare(const Result& a, const std::string& label, const std::string& name, std::span<const float> other,
             bool quiet) {
  const auto p = a.of(label);
  const auto d = bootstrap_auc_difference({p->label, p->logit, other, p->weight});
  const bool several = a.labels.size() > 1;
  if (!quiet) {
    fmt::print("AUC{} {} - {}: {:+.6f}, 95% interval {:+.6f} to {:+.6f} (paired bootstrap, {} replicates)\n",
               several ? ":" + label : "", a.run, name, d.difference, d.low, d.high, d.replicates);
  }
  Json json{{"a", a.run},   {"b", name},      {"difference", d.difference},
            {"low", d.low}, {"high", d.high}, {"replicates", d.replicates}};
  if (several) json["label"] = label;
  return json;
}

/// Refuses scores from elsewhere that are not one a row of the first run.
void check_scores(const Arguments& a, const Result& first, const std::vector<std::vector<float>>& scores) {
  for (size_t i = 0; i < scores.size(); ++i) {
    scored_label(a, first, "--against");
    INTERPLAY_CHECK_DATA(int64_t(scores[i].size()) == first.rows, "--against {}: {} scores for {} rows", a.against[i],
                         scores[i].size(), first.rows);
  }
}

void write_scores(const Arguments& a, const Result& r) {
  const std::string label = scored_label(a, r, "--scores");
  const auto t = size_t(std::find(r.labels.begin(), r.labels.end(), label) - r.labels.begin());
  INTERPLAY_CHECK(t < r.labels.size(), "--label {}: {} learnt no such label (labels: {})", label, r.run,
                  fmt::join(r.labels, ", "));
  std::string lines;
  for (size_t i = t; i < r.predictions.logit.size(); i += r.labels.size())
    lines += fmt::format("{}\n", r.predictions.logit[i]);
  write_file(a.scores, lines);
}

Json to_json(const Result& r, const Arguments& a) {
  Json json{{"run", r.run},
            {"model", r.model},
            {"split", a.split},
            {"rows", r.rows},
            {"metrics", to_json(r.metrics)},
            {"parameters", r.parameters},
            {"train_rows_per_s", number(r.train_rows_per_s)},
            {"train_seconds", number(r.train_seconds)},
            {"eval_rows_per_s", std::round(double(r.rows) / r.seconds)}};
  if (!r.calibrator.empty()) json["calibration"] = {{"method", r.calibrator}, {"before", to_json(r.before)}};
  const auto labels = compared_labels(a, r);
  for (size_t i = 0; i < r.from_half.size(); ++i) {
    const Json limits{0.5 + r.from_half[i].low, 0.5 + r.from_half[i].high};
    (r.labels.size() == 1 ? json["auc_interval"] : json["auc_interval"][labels[i]]) = limits;
  }
  return json;
}

void print_metrics(const Result& r, const Arguments& a) {
  fmt::print("{}\n", metrics_line(r.metrics));
  if (!r.calibrator.empty()) fmt::print("before calibration ({}): {}\n", r.calibrator, metrics_line(r.before));
  fmt::print("{} rows of {} in {}, {} rows/s\n", r.rows, a.split, human_seconds(r.seconds),
             human_count(double(r.rows) / r.seconds));
  const auto labels = compared_labels(a, r);
  for (size_t i = 0; i < r.from_half.size(); ++i) {
    const auto& d = r.from_half[i];
    fmt::print("AUC{}, 95% interval: {:.6f} to {:.6f} (bootstrap, {} replicates)\n",
               r.labels.size() > 1 ? ":" + labels[i] : "", 0.5 + d.low, 0.5 + d.high, d.replicates);
  }
}

/// The first run beside each other one, and beside scores from elsewhere.
Json comparisons(const std::vector<Result>& results, const std::vector<std::vector<float>>& scores,
                 const Arguments& a) {
  Json out = Json::array();
  if (!a.json && (a.compare || !a.against.empty())) fmt::print("\n");
  for (size_t i = 1; a.compare && i < results.size(); ++i) {
    for (const auto& label : compared_labels(a, results[0])) {
      const auto other = results[i].of(label);
      out.push_back(compare(results[0], label, results[i].run, other->logit, a.json));
    }
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    const std::string label = scored_label(a, results[0], "--against");
    out.push_back(compare(results[0], label, a.against[i], pick(scores[i], *results[0].of(label)), a.json));
  }
  return out;
}

/// What can be asked at all, of the runs as they were scored.
void check_results(const std::vector<Result>& results, const Arguments& a) {
  if (!a.label.empty()) results[0].of(a.label);
  for (const auto& r : results) {
    INTERPLAY_CHECK_DATA(
        !a.compare || same_rows(r, results[0]),
        "--compare: the {} {} rows of {} are not the {} of {}; runs are compared on the same rows, which "
        "--data names for all of them",
        r.rows, a.split, r.run, results[0].rows, results[0].run);
  }
}

void evaluate_all(const Arguments& a) {
  INTERPLAY_CHECK(!a.compare || a.runs.size() > 1, "--compare: there is one run; name two or more");
  INTERPLAY_CHECK(a.scores.empty() || a.runs.size() == 1, "--scores: there are {} runs; name one", a.runs.size());
  if (!a.scores.empty()) check_scores_file(a.scores);
  std::vector<std::vector<float>> scores;
  for (const auto& file : a.against) scores.push_back(read_scores(file));  // before the long part
  std::vector<Result> results;
  for (const auto& run : a.runs) results.push_back(evaluate_run(run, a));
  check_results(results, a);
  check_scores(a, results[0], scores);
  if (!a.scores.empty()) write_scores(a, results[0]);
  Json json = Json::array();
  for (auto& r : results) {
    for (const auto& label : compared_labels(a, results[0])) {
      if (!a.compare && !a.interval) break;
      const auto p = r.of(label);  // a constant says nothing: its AUC is 0.5 in every replicate
      const std::vector<float> nothing(p->logit.size());
      r.from_half.push_back(bootstrap_auc_difference({p->label, p->logit, nothing, p->weight}));
    }
    json.push_back(to_json(r, a));
  }
  if (!a.json) results.size() > 1 ? print_table(results, a) : print_metrics(results[0], a);
  if (!a.by.empty()) {
    for (size_t i = 0; i < results.size(); ++i)
      json[i]["by"] = {{"field", a.by}, {"slices", print_slices(results[i], a)}};
  }
  const Json compared = comparisons(results, scores, a);
  if (!compared.empty()) json[0]["comparisons"] = compared;
  if (a.json) fmt::print("{}\n", (json.size() == 1 ? json[0] : json).dump(1));
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("RUN", a->runs, "run directories; several make a table")->required();
  app.add_option("--data", a->data, "prepared data; those the run was trained on by default");
  app.add_option("--split", a->split, "train, valid or test")->capture_default_str();
  app.add_option("--metrics", a->metrics, "names, as auc,logloss,gauc")->delimiter(',')->allow_extra_args(false);
  app.add_option("--by", a->by, "metrics for each value of this field, too");
  app.add_option("--min-rows", a->min_rows, "leave out slices with fewer rows")->capture_default_str();
  app.add_flag("--compare", a->compare,
               "bootstrap of the AUC: of each run, and of the first against each other one (paired)");
  app.add_option("--label", a->label, "of several labels, the one that intervals, comparisons and scores are of");
  app.add_flag("--interval", a->interval, "bootstrap of each run's AUC, as --compare does too");
  app.add_option("--against", a->against,
                 "compares with scores from elsewhere, one a line, as `predict` writes them (may be given again)")
      ->allow_extra_args(false);
  app.add_option("--scores", a->scores, "writes the logits to this file, one a line");
  app.add_option("--batch-size", a->batch_size, "rows a batch")->capture_default_str()->check(at_least(1));
  app.add_option("--precision", a->precision, "of matrix products; fp32 gives the same scores everywhere")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}));
  app.add_flag("--raw", a->raw, "of logits as the model gives them: leaves a run's calibration out");
  app.add_flag("--json", a->json, "for machines");
  return [a] { evaluate_all(*a); };
}

const AddCommand command("eval", "metrics of a run on prepared data", add);

}  // namespace
}  // namespace interplay::tool::eval_command
