// interplay eval RUN...: metrics of one run, or a table of several; slices by field; paired comparison.
#include <cctype>
#include <charconv>
#include <cmath>
#include <fstream>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/core/bootstrap.h>
#include <interplay/core/bundle.h>
#include <interplay/data/encoder.h>
#include <interplay/data/loader.h>
#include <interplay/train/evaluator.h>

#include "command.h"

namespace interplay::tool {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::vector<std::string> runs, metrics, against;
  std::string data, split = "test", by, scores;
  int64_t batch_size = 4096, min_rows = 1;
  std::string precision = "fp32";
  bool json = false, compare = false, interval = false;
};

struct Result {
  std::string run, model;
  int64_t parameters = 0, rows = 0;
  double train_rows_per_s = NAN, train_seconds = NAN, seconds = 0;
  std::vector<MetricValue> metrics;
  Predicted predicted;
  std::optional<AucDifference> from_half;  ///< its AUC less that of no knowledge, 0.5
};

Config wanted(const Arguments& a, bool group) {
  std::vector<std::string> names = a.metrics;
  if (names.empty()) {
    names = {"auc", "logloss"};
    if (group) names.push_back("gauc");
    for (const char* more : {"ne", "calibration", "pr_auc", "rmse"}) names.push_back(more);
  }
  std::vector<Config> list;
  for (const auto& n : names) list.push_back(Config::scalar(n, true));
  return Config::sequence(list);
}

std::filesystem::path data_of(const Arguments& a, const Bundle& bundle) {
  if (!a.data.empty()) return a.data;
  INTERPLAY_CHECK(bundle.config().has("data"), "{}: does not say which data it was trained on; give --data DIR",
                  bundle.directory().string());
  return bundle.config()["data"].as<std::string>();
}

void check_slices(const Arguments& a, const Schema& data) {
  const Field& field = data.field(a.by);
  INTERPLAY_CHECK(field.kind == FieldKind::categorical, "--by {}: the field is {}; only categorical fields make slices",
                  a.by, to_string(field.kind));
}

Result evaluate_run(const std::string& run, const Arguments& a) {
  const Bundle bundle = Bundle::open(run);
  const auto data = data_of(a, bundle);
  bundle.check_data(data);
  const Dataset whole = Dataset::open(data, a.split), dataset = whole.select(bundle.schema());
  if (!a.by.empty()) check_slices(a, whole.schema());  // before the long part
  const auto model = bundle.model();
  Result r{run, bundle.config()["model"]["name"].as<std::string>(), parameter_count(*model), dataset.rows()};
  r.predicted = predict(*model, dataset,
                        {a.batch_size, at::kCPU, bundle.logit_offset(), nn::parse_precision(a.precision), "evaluate"});
  r.seconds = r.predicted.seconds;
  r.metrics = r.predicted.evaluate(wanted(a, !r.predicted.group.empty()), bundle.schema().labels());
  const auto summary = bundle.directory() / "summary.json";
  if (std::filesystem::exists(summary)) {
    const auto json = Json::parse(read_file(summary));
    r.train_rows_per_s = json.at("rows_per_s").get<double>();
    r.train_seconds = json.at("seconds").get<double>();
  }
  return r;
}

Json number(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }

Json to_json(const std::vector<MetricValue>& values) {
  Json out = Json::object();
  for (const auto& v : values) out[v.name] = number(v.value);
  return out;
}

std::string six(double v) { return std::isfinite(v) ? fmt::format("{:.6f}", v) : "n/a"; }

/// As far as labels can tell.
bool same_rows(const Result& a, const Result& b) { return a.predicted.label == b.predicted.label; }

void print_table(const std::vector<Result>& results, const Arguments& a) {
  const bool same =
      std::all_of(results.begin(), results.end(), [&](const Result& r) { return same_rows(r, results[0]); });
  std::vector<std::vector<std::string>> rows{{"model"}};
  for (const auto& m : results[0].metrics) rows[0].push_back(m.display);
  if (results[0].from_half) rows[0].push_back("AUC, 95% interval");
  if (!same) rows[0].push_back("rows");
  for (const char* head : {"parameters", "train rows/s", "train s", "run"}) rows[0].push_back(head);
  for (const auto& r : results) {
    std::vector<std::string> row{r.model};
    for (const auto& m : results[0].metrics) {
      const auto same =
          std::find_if(r.metrics.begin(), r.metrics.end(), [&](const auto& v) { return v.name == m.name; });
      row.push_back(same == r.metrics.end() ? "n/a" : six(same->value));
    }
    if (r.from_half) row.push_back(fmt::format("{:.4f} to {:.4f}", 0.5 + r.from_half->low, 0.5 + r.from_half->high));
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
  const auto data = data_of(a, bundle);
  const Dataset dataset = Dataset::open(data, a.split);
  const Field& field = dataset.schema().field(a.by);
  const Encoder encoder = Encoder::load(data);
  std::map<int32_t, Slice> by_id;
  Loader loader(dataset, LoaderOptions{.batch_size = 65536, .shuffle = false});
  loader.start(0, 0);
  int64_t row = 0;
  for (Batch b; loader.next(b);) {
    const auto ids = b.features.ids.select(1, field.column).contiguous();
    for (int64_t i = 0; i < ids.size(0); ++i) by_id[ids.const_data_ptr<int32_t>()[i]].rows.push_back(row++);
  }
  std::vector<Slice> out;
  for (auto& [id, slice] : by_id) {
    const std::string token = encoder.token(field.table, id);
    slice.value = token.empty() ? (id + 1 == field.rows ? "(unseen)" : fmt::format("id {}", id)) : token;
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
        r.predicted.pick(slice.rows).evaluate(wanted(a, !r.predicted.group.empty()), bundle.schema().labels());
    std::vector<std::string> row{slice.value, std::to_string(slice.rows.size())};
    for (const auto& v : values) row.push_back(six(v.value));
    rows.push_back(std::move(row));
    json.push_back({{"value", slice.value}, {"rows", slice.rows.size()}, {"metrics", to_json(values)}});
  }
  if (!a.json) fmt::print("\n{}{}", a.runs.size() > 1 ? r.run + "\n" : "", table(rows));
  return json;
}

/// A whole line as one finite number.
std::optional<float> to_score(std::string_view line) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!line.empty() && blank(line.back())) line.remove_suffix(1);
  while (!line.empty() && blank(line.front())) line.remove_prefix(1);
  if (line.size() > 1 && line[0] == '+' && line[1] != '-') line.remove_prefix(1);
  double value = 0;  // what is too small for a float is 0
  const auto [end, status] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (status != std::errc() || end != line.data() + line.size() || !std::isfinite(float(value))) return std::nullopt;
  return float(value);
}

/// What a column of scores may be called, as in the files that `predict` writes: one name, which is no number.
bool is_score_name(std::string_view line) {
  return !line.empty() && (std::isalpha(static_cast<unsigned char>(line[0])) || line[0] == '_') &&
         line.find_first_of(",;|\t\" ") == line.npos && line != "nan" && line != "inf" && line != "NaN" &&
         line != "NA" && line != "null" && line != "NULL";
}

/// One finite number a line, below the name of the column where the first line is one.
std::vector<float> read_scores(const std::string& file) {
  std::vector<float> scores;
  std::ifstream in(file);
  INTERPLAY_CHECK_DATA(in.good(), "--against {}: cannot be read", file);
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    if (++number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    while (!line.empty() && line.back() == '\r') line.pop_back();
    if (number == 1 && is_score_name(line)) continue;
    const auto score = to_score(line);
    INTERPLAY_CHECK_DATA(score,
                         "--against {}:{}: '{}' is not a finite number; expected one score a line and nothing else",
                         file, number, line);
    scores.push_back(*score);
  }
  return scores;
}

Json compare(const Result& a, const std::string& name, const std::vector<float>& other, bool quiet) {
  const auto d = bootstrap_auc_difference(a.predicted.label, a.predicted.logit, other);
  if (!quiet) {
    fmt::print("AUC {} - {}: {:+.6f}, 95% interval {:+.6f} to {:+.6f} (paired bootstrap, {} replicates)\n", a.run, name,
               d.difference, d.low, d.high, d.replicates);
  }
  return {{"a", a.run},   {"b", name},      {"difference", d.difference},
          {"low", d.low}, {"high", d.high}, {"replicates", d.replicates}};
}

void evaluate_all(const Arguments& a) {
  INTERPLAY_CHECK(!a.compare || a.runs.size() > 1, "--compare: there is one run; name two or more");
  INTERPLAY_CHECK(a.scores.empty() || a.runs.size() == 1, "--scores: there are {} runs; name one", a.runs.size());
  std::vector<std::vector<float>> scores;
  for (const auto& file : a.against) scores.push_back(read_scores(file));
  std::vector<Result> results;
  for (const auto& run : a.runs) results.push_back(evaluate_run(run, a));
  const size_t expected = results[0].predicted.logit.size();
  for (size_t i = 0; i < scores.size(); ++i) {
    INTERPLAY_CHECK_DATA(scores[i].size() == expected, "--against {}: {} scores for {} rows", a.against[i],
                         scores[i].size(), expected);
  }
  if (!a.scores.empty()) {
    std::string lines;
    for (const float logit : results[0].predicted.logit) lines += fmt::format("{}\n", logit);
    write_file(a.scores, lines);
  }
  for (const auto& r : results) {
    INTERPLAY_CHECK_DATA(
        !a.compare || same_rows(r, results[0]),
        "--compare: the {} {} rows of {} are not the {} of {}; runs are compared on the same rows, which "
        "--data names for all of them",
        r.rows, a.split, r.run, results[0].rows, results[0].run);
  }
  for (auto& r : results) {
    // A constant says nothing: its AUC is 0.5 in every replicate.
    if (a.compare || a.interval)
      r.from_half =
          bootstrap_auc_difference(r.predicted.label, r.predicted.logit, std::vector<float>(r.predicted.logit.size()));
  }
  Json json = Json::array();
  for (const auto& r : results) {
    json.push_back({{"run", r.run},
                    {"model", r.model},
                    {"split", a.split},
                    {"rows", r.rows},
                    {"metrics", to_json(r.metrics)},
                    {"parameters", r.parameters},
                    {"train_rows_per_s", number(r.train_rows_per_s)},
                    {"train_seconds", number(r.train_seconds)},
                    {"eval_rows_per_s", std::round(double(r.rows) / r.seconds)}});
    if (r.from_half) json.back()["auc_interval"] = {0.5 + r.from_half->low, 0.5 + r.from_half->high};
  }
  if (!a.json) {
    if (results.size() > 1) {
      print_table(results, a);
    } else {
      fmt::print("{}\n{} rows of {} in {}, {} rows/s\n", metrics_line(results[0].metrics), results[0].rows, a.split,
                 human_seconds(results[0].seconds), human_count(double(results[0].rows) / results[0].seconds));
      if (const auto& d = results[0].from_half) {
        fmt::print("AUC, 95% interval: {:.6f} to {:.6f} (bootstrap, {} replicates)\n", 0.5 + d->low, 0.5 + d->high,
                   d->replicates);
      }
    }
  }
  if (!a.by.empty()) {
    for (size_t i = 0; i < results.size(); ++i)
      json[i]["by"] = {{"field", a.by}, {"slices", print_slices(results[i], a)}};
  }
  Json comparisons = Json::array();
  if (!a.json && (a.compare || !a.against.empty())) fmt::print("\n");
  if (a.compare) {
    for (size_t i = 1; i < results.size(); ++i)
      comparisons.push_back(compare(results[0], results[i].run, results[i].predicted.logit, a.json));
  }
  for (size_t i = 0; i < scores.size(); ++i)
    comparisons.push_back(compare(results[0], a.against[i], scores[i], a.json));
  if (!comparisons.empty()) json[0]["comparisons"] = comparisons;
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
  app.add_flag("--interval", a->interval, "bootstrap of each run's AUC, as --compare does too");
  app.add_option("--against", a->against,
                 "compares with scores from elsewhere, one a line, as `predict` writes them (may be given again)")
      ->allow_extra_args(false);
  app.add_option("--scores", a->scores, "writes the logits to this file, one a line");
  app.add_option("--batch-size", a->batch_size, "rows a batch")->capture_default_str()->check(at_least(1));
  app.add_option("--precision", a->precision, "of matrix products; fp32 gives the same scores everywhere")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}));
  app.add_flag("--json", a->json, "for machines");
  return [a] { evaluate_all(*a); };
}

const AddCommand command("eval", "metrics of a run on prepared data", add);

}  // namespace
}  // namespace interplay::tool
