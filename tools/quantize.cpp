// interplay quantize RUN --tables TYPE --out RUN: a run whose tables take fewer bits.
#include <filesystem>
#include <optional>
#include <string>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bootstrap.h>
#include <interplay/core/predictions.h>
#include <interplay/core/quantise_bundle.h>
#include <interplay/data/row_facts.h>
#include <interplay/serve/scorer.h>

#include "command.h"

namespace interplay::tool::quantize_command {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string run, out, tables = "int8", data, split = "test";
  bool force = false;
};

void compare(const Arguments& a, const Bundle& before, const Dataset& rows) {
  const auto& names = before.schema().labels();
  const auto told = [&](const std::string& run) {
    return Predictions{.logit = Scorer::load(run).logits(rows),
                       .label = row_facts(rows.select(before.schema())).label,
                       .labels = int64_t(names.size())};
  };
  const Predictions was = told(a.run), is = told(a.out);
  std::vector<std::vector<std::string>> lines{
      {"label", "AUC before", "AUC after", "after less before", "95% interval"}};
  for (size_t t = 0; t < names.size(); ++t) {
    const auto p = was.of_label(int64_t(t)), q = is.of_label(int64_t(t));
    const auto d = bootstrap_auc_difference({.label = p->label, .logit_a = q->logit, .logit_b = p->logit});
    lines.push_back({names[t], fmt::format("{:.6f}", d.auc_b), fmt::format("{:.6f}", d.auc_a),
                     fmt::format("{:+.6f}", d.difference), fmt::format("{:+.6f} to {:+.6f}", d.low, d.high)});
  }
  fmt::print("{} {}, {} rows\n{}", a.data, a.split, rows.rows(), table(lines));
}

void run(const Arguments& a) {
  std::error_code ignored;
  INTERPLAY_CHECK(!fs::equivalent(a.run, a.out, ignored), "--out {}: is the run itself; give another --out", a.out);
  check_out(a.out, a.force);
  const Bundle before = Bundle::open(a.run);
  std::optional<Dataset> rows;  // opened before anything is written
  if (!a.data.empty()) {
    before.check_data(a.data);
    rows = Dataset::open(a.data, a.split);
  }
  const QuantisedBytes tables = quantise_bundle(before, a.tables, a.out);
  const auto size = [](const std::string& run) { return fs::file_size(fs::path(run) / Bundle::kWeights); };
  const auto line = [](const char* what, auto was, auto is) -> std::vector<std::string> {
    return {what, std::to_string(was), std::to_string(is), fmt::format("{:.2f}", double(was) / double(is))};
  };
  fmt::print("{}: tables in {}\n{}", a.out, a.tables,
             table({{"bytes", "before", "after", "times smaller"},
                    line("tables", tables.before, tables.after),
                    line("all weights", size(a.run), size(a.out))}));
  if (rows) compare(a, before, *rows);
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("RUN", a->run, "run directory")->required();
  app.add_option("--tables", a->tables, "type of the tables' numbers: int8 (with a scale a row), fp16 or bf16")
      ->capture_default_str()
      ->check(CLI::IsMember(nn::quantised_types()));
  app.add_option("--out", a->out, "directory of the new run")->required();
  app.add_option("--data", a->data, "prepared data, on which both are compared");
  app.add_option("--split", a->split, "of the data")->capture_default_str();
  app.add_flag("--force", a->force, "replace what is there");
  return [a] { run(*a); };
}

const AddCommand command("quantize", "a run whose tables take fewer bits", add);

}  // namespace
}  // namespace interplay::tool::quantize_command
