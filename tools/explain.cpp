// interplay explain RUN --data DIR: which fields and pairs a run's scores come from, row by row, and where it does
// worst.
#include <algorithm>
#include <cmath>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/explain/explanation.h>

#include "command.h"

namespace fs = std::filesystem;

namespace interplay::tool::explain_command {
namespace {

using Rows = std::vector<std::vector<std::string>>;

struct Arguments : ExplainOptions {
  std::string run, data_given, out;
  size_t top = 20;
  bool json = false;
};

std::string signed_number(double v, int digits = 5) { return fmt::format("{:+.{}f}", v, digits); }
std::string range(const Interval& i, int digits = 5) {
  return fmt::format("{:+.{}f} to {:+.{}f}", i.low, digits, i.high, digits);
}

/// A head, and as many rows as wanted; what is left out is said.
void print(const char* title, Rows rows, size_t most) {
  const size_t all = rows.size() - 1;
  if (all > most) rows.resize(most + 1);
  fmt::print("\n{}\n{}", title, table(rows));
  if (all > most) fmt::print("({} more: --top {}, or --json)\n", all - most, all);
}

void print_importances(const char* title, const std::vector<Importance>& list, size_t most) {
  Rows rows{{"field", "logloss gained", "95% interval", "AUC lost", "95% interval"}};
  for (const auto& i : list) {
    const bool is_field = i.group.fields.front() == i.group.name;
    rows.push_back({is_field ? fmt::format("{}", fmt::join(i.group.fields, " + ")) : i.group.name,
                    signed_number(i.loss.value), range(i.loss), signed_number(i.auc.value), range(i.auc)});
  }
  print(title, std::move(rows), most);
}

void print_pairs(const Explanation& e, size_t most) {
  const bool own = e.pairs_by == "model";
  Rows rows{{"pair", own ? "gate or weight" : "strength"}};
  if (!own) rows[0].push_back("H");
  for (const auto& p : e.pairs) {
    rows.push_back({p.first + " x " + p.second, fmt::format("{:.5f}", p.strength)});
    if (!own) rows.back().push_back(fmt::format("{:.4f}", p.h));
  }
  print(own ? "pairs, by what the model keeps for each" : "pairs, by what they say together (H-statistic, in logits)",
        std::move(rows), most);
}

void print_row(const ExplainedRow& r, size_t most) {
  const auto& a = r.attribution;
  std::vector<size_t> order(a.fields.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t x, size_t y) { return std::abs(a.fields[x].second) > std::abs(a.fields[y].second); });
  Rows rows{{"field", "part of the logit", "value"}};
  for (const size_t i : order) rows.push_back({a.fields[i].first, signed_number(a.fields[i].second), r.values[i]});
  const auto title = fmt::format("row {}: p {:.4f}, logit {:+.5f} = {:+.5f} of the mean row {:+.5f} of the fields{}",
                                 r.row, r.p, a.logit, a.baseline, a.logit - a.baseline,
                                 a.complete ? "" : fmt::format(" (off by {:.2g})", a.error));
  print(title.c_str(), std::move(rows), most);
}

void print_curves(const std::vector<EffectCurve>& curves) {
  for (const auto& c : curves) {
    Rows rows{{c.field, "mean p", "95% interval"}};
    for (const auto& p : c.points)
      rows.push_back({fmt::format("{:.6g}", p.value), fmt::format("{:.5f}", p.p.value),
                      fmt::format("{:.5f} to {:.5f}", p.p.low, p.p.high)});
    print(fmt::format("mean p by {}", c.field).c_str(), std::move(rows), c.points.size());
  }
}

void print_slices(const Explanation& e, size_t most) {
  Rows loss{{"slice", "rows", "logloss excess", "interval"}},
      gap{{"slice", "rows", "mean p", "observed", "gap", "interval"}};
  for (size_t i = 0; i < e.slices->by_loss.size(); ++i) {
    const auto& s = e.slices->by_loss[i];
    loss.push_back({s.field + " = " + e.by_loss_values[i], std::to_string(s.rows), signed_number(s.excess.value),
                    range(s.excess)});
  }
  for (size_t i = 0; i < e.slices->by_gap.size(); ++i) {
    const auto& s = e.slices->by_gap[i];
    gap.push_back({s.field + " = " + e.by_gap_values[i], std::to_string(s.rows), fmt::format("{:.4f}", s.mean_p),
                   fmt::format("{:.4f}", s.observed), signed_number(s.gap.value, 4), range(s.gap, 4)});
  }
  fmt::print("\n{} slices looked at; intervals are of 95% for all of them together\n", e.slices->looked_at);
  if (loss.size() == 1) return;
  print("worst by log loss, less that of the other rows", std::move(loss), most);
  print("worst by calibration: mean p less observed", std::move(gap), most);
}

void print_all(const Explanation& e, size_t most) {
  fmt::print("{} split, {}\n{}: AUC {:.5f} ({:.5f} to {:.5f}), logloss {:.5f} ({:.5f} to {:.5f})\n", e.split,
             e.rows == e.of_rows ? fmt::format("{} rows", e.rows) : fmt::format("{} of {} rows", e.rows, e.of_rows),
             e.model, e.standing.auc.value, e.standing.auc.low, e.standing.auc.high, e.standing.logloss.value,
             e.standing.logloss.low, e.standing.logloss.high);
  print_importances("fields, by what is lost where their values are shuffled", e.fields, most);
  if (!e.groups.empty()) print_importances("groups", e.groups, most);
  if (!e.pairs_by.empty()) print_pairs(e, most);
  for (const auto& r : e.attributions) print_row(r, most);
  print_curves(e.curves);
  if (e.slices) print_slices(e, most);
}

void explain(Arguments& a) {
  if (!a.out.empty()) {
    INTERPLAY_CHECK(!fs::exists(a.out) || fs::is_directory(a.out), "{}: is a file; give another --out", a.out);
  }
  a.data = a.data_given;
  if (a.data_given.empty()) {
    const Config config = Bundle::open(a.run).config();
    INTERPLAY_CHECK(config.has("data"), "{}: does not say which data it was trained on; give --data DIR", a.run);
    a.data = config["data"].as<std::string>();
  }
  const Explanation e = explain_run(a.run, a);
  const std::string json = explanation_json(e);
  if (!a.out.empty()) {
    make_directories(a.out);
    write_file(fs::path(a.out) / "explain.json", json);
    write_file(fs::path(a.out) / "explain.html", explanation_html(e));
  }
  if (a.json) {
    fmt::print("{}", json);
    return;
  }
  print_all(e, a.top);
  if (!a.out.empty()) fmt::print("\nsee {}/explain.html\n", a.out);
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("RUN", a->run, "run directory")->required();
  app.add_option("--data", a->data_given, "prepared data; by default what the run was trained on");
  app.add_option("--split", a->split, "train, valid or test")->capture_default_str();
  app.add_option("--label", a->label, "of a run with several labels, the one that is explained");
  app.add_option("--rows", a->rows, "rows drawn from the split; 0 = all")->capture_default_str()->check(at_least(0));
  app.add_option("--repeats", a->importance.repeats, "times that a field is shuffled")
      ->capture_default_str()
      ->check(at_least(1));
  app.add_option("--replicates", a->importance.replicates, "of the bootstrap that intervals are made of")
      ->capture_default_str()
      ->check(at_least(2));
  app.add_option(
      "--groups", a->groups,
      "fields that are shuffled together too: item=item_id,genre;user=user_id,age, or a YAML file with a map "
      "from name to fields");
  app.add_flag("--pairs", a->pairs,
               "pairs of fields: the model's own gates or weights where it has them, else H-statistics");
  app.add_option("--pair-rows", a->pair.rows, "rows of an H-statistic; it costs their square for each pair")
      ->capture_default_str()
      ->check(at_least(2));
  app.add_option("--row", a->explained,
                 "a row of the split, from 0, whose score is given to its fields (may be given again)")
      ->allow_extra_args(false)
      ->check(at_least(0));
  app.add_flag("--curves", a->curves, "how the mean probability moves with each numeric field");
  app.add_flag("--slices", a->slices, "values of categorical fields whose rows the model does worst on");
  app.add_option("--min-rows", a->slice.min_rows, "of a slice")->capture_default_str()->check(at_least(2));
  app.add_option("--top", a->top, "lines of each table")->capture_default_str()->check(at_least(1));
  app.add_option("--seed", a->importance.seed, "of the rows drawn, the shuffles and the bootstrap")
      ->capture_default_str()
      ->check(at_least(0));
  app.add_option("--out", a->out, "folder for explain.html and explain.json");
  app.add_flag("--json", a->json, "print JSON");
  return [a] { explain(*a); };
}

const AddCommand command("explain", "why a run scores as it does: fields, pairs, single rows, worst slices", add);

}  // namespace
}  // namespace interplay::tool::explain_command
