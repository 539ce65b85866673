// interplay search EXP.yaml --data DIR --out RUN: which interactions, functions and widths a model needs.
#include <cmath>

#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/search/search.h>

#include "command.h"

namespace interplay::tool {
namespace {

std::string number(double value) { return std::isfinite(value) ? fmt::format("{:.6f}", value) : "n/a"; }

std::string stage_table(const std::vector<StageResult>& stages) {
  std::vector<std::vector<std::string>> rows{
      {"stage", "AUC", "logloss", "parameters", "weights", "train rows/s", "steps"}};
  for (const auto& s : stages) {
    rows.push_back({s.name, number(s.auc), number(s.logloss), std::to_string(s.parameters),
                    human_bytes(double(s.bytes)), fmt::format("{:.0f}", s.rows_per_s), std::to_string(s.steps)});
  }
  return table(rows);
}

/// `kept 3 of 15 interactions (20.0%): order 2: 3 of 15 (20.0%)`
std::string kept_line(const std::vector<Interaction>& interactions) {
  const auto share = [](int64_t kept, int64_t all) {
    return fmt::format("{} of {} ({:.1f}%)", kept, all, 100 * double(kept) / double(std::max<int64_t>(1, all)));
  };
  std::map<std::string, std::pair<int64_t, int64_t>> parts;  // kept, all
  std::pair<int64_t, int64_t> whole;
  for (const auto& i : interactions) {
    const std::string part = fmt::format("order {}{}", i.fields.size(), i.function == "inner" ? "" : " " + i.function);
    for (auto* at : {&whole, &parts[part]}) at->first += i.kept, ++at->second;
  }
  std::vector<std::string> texts;
  for (const auto& [part, counts] : parts) texts.push_back(part + ": " + share(counts.first, counts.second));
  return fmt::format("kept {}; {}", share(whole.first, whole.second), fmt::join(texts, ", "));
}

std::function<void()> add(CLI::App& app) {
  struct Arguments : ExperimentArguments {
    std::string keep;
    bool json = false;
  };
  auto a = std::make_shared<Arguments>();
  a->add(app);
  app.add_flag("--resume", a->resume, "go on with the search in --out: finished stages stay, the last one goes on");
  app.add_option("--keep", a->keep, "share of the interactions to keep, as 0.3; the same as --set search.keep=0.3");
  app.add_flag("--json", a->json, "print search.json");
  return [a, &app] {
    Config experiment = a->load(app);
    if (!a->keep.empty()) experiment.set("search.keep", Config::scalar(a->keep));
    SearchOptions options{.data = a->data_of(experiment), .out = a->out_of(), .resume = a->resume, .test = !a->no_test};
    std::unique_ptr<OnInterrupt> interrupt;
    options.started = [&](Trainer& trainer) {
      interrupt = std::make_unique<OnInterrupt>([&trainer] { trainer.stop(); });
    };
    options.finished = [&](Trainer&) { interrupt.reset(); };
    const SearchSummary s = search_run(experiment, options);
    if (a->json) {
      fmt::print("{}", read_file(options.out / "search.json"));
      return;
    }
    fmt::print("{}", stage_table(s.stages));
    if (!s.findings.interactions.empty()) fmt::print("{}\n", kept_line(s.findings.interactions));
    fmt::print("{0}: re-train with `interplay train {0}/retrain.yaml`; see {0}/search.html\n", a->out);
  };
}

const AddCommand command("search", "find the interactions and widths a model needs, and re-train it", add);

}  // namespace
}  // namespace interplay::tool
