// interplay search EXP.yaml --data DIR --out RUN: which interactions, functions and widths a model needs.
#include <algorithm>

#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/search/search.h>

#include "command.h"
#include "on_interrupt.h"

namespace interplay::tool {
namespace {

using Json = nlohmann::ordered_json;

std::string number(const Json& value) { return value.is_number() ? fmt::format("{:.6f}", value.get<double>()) : "n/a"; }

/// `kept 3 of 15 interactions (20.0%)`, and where there are several orders or functions, the share of each.
std::string kept_line(const Json& interactions) {
  struct Count {
    int64_t kept = 0, all = 0;
    std::string text() const { return fmt::format("{} of {}", kept, all); }
    std::string share() const { return fmt::format("({:.1f}%)", 100 * double(kept) / double(all)); }
  };
  Count whole;
  std::map<std::string, Count> parts;
  for (const auto& i : interactions) {
    const auto function = i.at("function").get<std::string>();
    const auto order = i.at("order").get<int64_t>();
    std::string part = order == 2 ? "pairs" : order == 3 ? "triples" : fmt::format("sets of {}", order);
    if (function != "inner") part += " (" + function + ")";
    for (auto* count : {&whole, &parts[part]}) count->kept += i.at("kept").get<bool>(), ++count->all;
  }
  std::string line = fmt::format("kept {} interactions {}", whole.text(), whole.share());
  if (parts.size() == 1) return line + "\n";
  const char* between = ": ";
  for (const auto& [part, count] : parts) {
    line += fmt::format("{}{} {} {}", between, part, count.text(), count.share());
    between = ", ";
  }
  return line + "\n";
}

}  // namespace

std::string search_table(const std::filesystem::path& search) {
  const Json json = Json::parse(read_file(search / "search.json"));
  const Json& stages = json.at("stages");
  const bool untested =
      std::any_of(stages.begin(), stages.end(), [](const Json& s) { return s.at("split") == "valid"; });
  const std::string of = untested ? "valid " : "";  // rows that chose something
  std::vector<std::vector<std::string>> rows{
      {"stage", of + "AUC", of + "logloss", "parameters", "weights", "train rows/s", "steps", "run"}};
  for (const auto& s : stages) {
    rows.push_back({s.at("name"), number(s.at("auc")), number(s.at("logloss")), s.at("parameters").dump(),
                    human_bytes(s.at("bytes").get<double>()), fmt::format("{:.0f}", s.at("rows_per_s").get<double>()),
                    s.at("steps").dump(), (search / s.at("directory").get<std::string>()).string()});
  }
  const bool chosen = json.at("result").is_string() && stages.size() > 1 &&
                      stages.back().at("name").get<std::string>().starts_with("retrain_");
  const std::string result = chosen ? fmt::format("the result, by the log loss on valid: {}\n",
                                                  (search / json.at("result").get<std::string>()).string())
                                    : "";
  return table(rows) + (json.at("interactions").empty() ? "" : kept_line(json.at("interactions"))) + result;
}

}  // namespace interplay::tool

namespace interplay::tool::search_command {
namespace {

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
    use_threads(experiment);
    SearchOptions options{.data = a->data_of(experiment), .out = a->out_of(), .resume = a->resume, .test = !a->no_test};
    std::unique_ptr<OnInterrupt> interrupt;
    options.started = [&](Trainer& trainer) { interrupt = std::make_unique<OnInterrupt>(trainer.stopper()); };
    options.finished = [&](Trainer&) { interrupt.reset(); };
    search_run(experiment, options);
    if (a->json) {
      fmt::print("{}", read_file(options.out / "search.json"));
    } else {
      fmt::print("{0}re-train with `interplay train {1}/retrain.yaml`; see {1}/search.html\n",
                 search_table(options.out), a->out);
    }
  };
}

const AddCommand command("search", "find the interactions and widths a model needs, and re-train it", add);

}  // namespace
}  // namespace interplay::tool::search_command
