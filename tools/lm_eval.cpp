// interplay lm eval MODEL..: what tuned models make of their tasks, and who is the better one.
#include <cmath>

#include <nlohmann/json.hpp>

#include <interplay/systems/recfound.h>

#include "lm.h"

namespace interplay::tool::lm_eval_command {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::vector<std::string> models;
  std::string tasks;
  TaskEvaluationOptions options;
  bool json = false;
};

struct Spread {
  double mean = 0, deviation = 0;
  explicit Spread(const std::vector<double>& values) {
    for (const double v : values) mean += v / double(values.size());
    for (const double v : values) deviation += (v - mean) * (v - mean);
    deviation = values.size() > 1 ? std::sqrt(deviation / double(values.size() - 1)) : 0;
  }
};

void print(const std::vector<TaskEvaluation>& found) {
  for (const auto& model : found) {
    std::vector<std::vector<std::string>> rows{{"task", "family", "rows", "metric", "value"}};
    for (const auto& task : model.tasks) {
      for (const auto& [name, value] : task.metrics)
        rows.push_back({task.name, task.family, std::to_string(task.rows), name, fmt::format("{:.4f}", value)});
    }
    fmt::print("{}\n{}", model.model, table(rows));
    if (found.size() > 1) fmt::print("\n");
  }
  if (found.size() < 2) return;
  const auto ranks = task_ranks(found);
  std::vector<std::vector<std::string>> rows{{"model"}};
  for (const auto& task : found[0].tasks) rows[0].push_back(fmt::format("{} {}", task.name, task.metrics[0].first));
  rows[0].insert(rows[0].end(), {"average rank", "its spread"});
  for (size_t m = 0; m < found.size(); ++m) {
    std::vector<std::string> row{found[m].model};
    for (const auto& task : found[m].tasks) row.push_back(fmt::format("{:.4f}", task.metrics[0].second));
    const Spread rank(ranks[m]);
    row.push_back(fmt::format("{:.2f}", rank.mean));
    row.push_back(fmt::format("{:.2f}", rank.deviation));
    rows.push_back(std::move(row));
  }
  fmt::print("{}", table(rows));
}

Json to_json(const std::vector<TaskEvaluation>& found) {
  const auto ranks = task_ranks(found);
  Json out = Json::array();
  for (size_t m = 0; m < found.size(); ++m) {
    Json tasks = Json::array();
    for (size_t t = 0; t < found[m].tasks.size(); ++t) {
      const auto& task = found[m].tasks[t];
      Json metrics = Json::object();
      for (const auto& [name, value] : task.metrics) metrics[name] = value;
      tasks.push_back({{"name", task.name},
                       {"family", task.family},
                       {"rows", task.rows},
                       {"metrics", metrics},
                       {"rank", ranks[m][t]}});
    }
    const Spread rank(ranks[m]);
    out.push_back(
        {{"model", found[m].model}, {"average_rank", rank.mean}, {"rank_deviation", rank.deviation}, {"tasks", tasks}});
  }
  return out;
}

void run(Arguments& a) {
  a.options.tasks = a.tasks;
  std::vector<TaskEvaluation> found;
  for (const auto& model : a.models) found.push_back(evaluate_tasks(model, a.options));
  if (a.json) return fmt::print("{}\n", to_json(found).dump(1));
  print(found);
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("MODEL", a->models, "runs of `lm tune` or `lm merge`; with --tasks any decoder")->required();
  app.add_option("--tasks", a->tasks, "file of tasks, in place of those that a run was tuned for");
  app.add_option("--split", a->options.split, "train, valid or test")
      ->check(CLI::IsMember({"train", "valid", "test"}))
      ->capture_default_str();
  app.add_option("--rows", a->options.rows, "of each task, the first ones; 0 = all")
      ->check(at_least(0))
      ->capture_default_str();
  app.add_option("--precision", a->options.precision, "of the weights; by default as the tasks' file says")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}));
  app.add_flag("--json", a->json, "for machines");
  return [a] { run(*a); };
}

const AddCommand command("lm eval", "what tuned models make of their tasks, with average ranks", add);

}  // namespace
}  // namespace interplay::tool::lm_eval_command
