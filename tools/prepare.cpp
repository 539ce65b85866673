// interplay prepare DATA.yaml --out DIR: raw files to prepared data.
#include <charconv>
#include <filesystem>
#include <tuple>

#include <nlohmann/json.hpp>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/prepare.h>

#include "command.h"

namespace interplay::tool {

int64_t parse_bad_rows(const std::string& text) {
  if (text == "stop") return 0;
  int64_t limit = -1;
  if (text.starts_with("skip:")) {
    const auto [end, status] = std::from_chars(text.data() + 5, text.data() + text.size(), limit);
    if (status != std::errc() || end != text.data() + text.size()) limit = -1;
  }
  INTERPLAY_CHECK(limit >= 0, "--bad-rows {}: expected stop, or skip:N to leave out up to N rows", text);
  return limit;
}

}  // namespace interplay::tool

namespace interplay::tool::prepare_command {
namespace {

int64_t parse_bytes(const std::string& text) {
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string unit = text.substr(used);
  const double scale = unit.empty() || unit == "B"   ? 1
                       : unit == "K" || unit == "KB" ? 1e3
                       : unit == "M" || unit == "MB" ? 1e6
                       : unit == "G" || unit == "GB" ? 1e9
                                                     : 0;
  INTERPLAY_CHECK(used > 0 && value * scale >= 1 && value * scale < 0x1p62,
                  "--memory {}: expected a size such as 800M or 2G", text);
  return int64_t(value * scale);
}

/// Rows and seconds of every stage: those of `count` and `encode` are of all rows, whatever the split.
std::string to_json(const PrepareReport& r, const std::string& out, int64_t rows) {
  nlohmann::ordered_json stages;
  for (const auto& [name, seconds] : {std::pair("order", r.order_seconds),
                                      {"count", r.count_seconds},
                                      {"fit", r.fit_seconds},
                                      {"encode", r.encode_seconds},
                                      {"sync", r.sync_seconds}}) {
    stages[name] = {{"seconds", seconds}, {"rows_per_s", seconds > 0 ? double(rows) / seconds : 0}};
  }
  return nlohmann::ordered_json{
      {"out", out},
      {"train_rows", r.train_rows},
      {"valid_rows", r.valid_rows},
      {"test_rows", r.test_rows},
      {"rejected_rows", r.rejected_rows},
      {"left_out_rows", r.left_out_rows},
      {"fields", r.fields},
      {"tables", r.tables},
      {"ids", r.ids},
      {"unseen_ids", {{"train", r.train_unseen}, {"valid", r.valid_unseen}, {"test", r.test_unseen}}},
      {"seconds", r.seconds},
      {"rows_per_s", double(rows) / r.seconds},
      {"stages", stages}}
      .dump(1);
}

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::string data, out, memory = "2G", bad_rows = "stop", vocabulary_from;
    std::vector<std::string> sets;
    bool no_new_tokens = false, force = false, json = false;
  };
  auto a = std::make_shared<Arguments>();
  app.add_option("DATA", a->data, "data.yaml: files, label, fields")->required();
  app.add_option("--out", a->out, "directory to make")->required();
  app.add_option("--memory", a->memory, "bound on resident memory")->capture_default_str();
  app.add_option("--bad-rows", a->bad_rows, "stop, or skip:N: leave out up to N bad rows and list them in rejected.tsv")
      ->capture_default_str();
  app.add_option("--vocabulary-from", a->vocabulary_from,
                 "prepared data or run whose ids stay valid; new tokens are appended");
  app.add_flag("--no-new-tokens", a->no_new_tokens,
               "what --vocabulary-from does not hold stays unseen, so that the run itself reads the data")
      ->needs("--vocabulary-from");
  app.add_option("--set", a->sets, "KEY=VALUE, on top of the file (may be given again)")->allow_extra_args(false);
  app.add_flag("--force", a->force, "replace --out if it exists");
  app.add_flag("--json", a->json, "for machines, with the time of every stage");
  return [a, &app] {
    Config data = Config::load(a->data);
    set_all(data, a->sets);
    check_out(a->out, a->force);
    const auto* const threads = app.get_parent()->get_option("--threads");
    const auto r = prepare(data, a->out,
                           {parse_bytes(a->memory), parse_bad_rows(a->bad_rows), a->vocabulary_from, !a->no_new_tokens,
                            threads->count() > 0 ? threads->as<int>() : 0});
    const int64_t rows = r.train_rows + r.valid_rows + r.test_rows;
    if (a->json) {
      fmt::print("{}\n", to_json(r, a->out, rows));
      return;
    }
    fmt::print("{}: {} train, {} valid, {} test rows; {} fields, {} ids in {} tables; {} rows/s, {}\n", a->out,
               r.train_rows, r.valid_rows, r.test_rows, r.fields, r.ids, r.tables,
               human_count(double(rows) / r.seconds), human_seconds(r.seconds));
    std::vector<std::string> unseen;
    for (const auto& [name, split_rows, share] : {std::tuple("train", r.train_rows, r.train_unseen),
                                                  {"valid", r.valid_rows, r.valid_unseen},
                                                  {"test", r.test_rows, r.test_unseen}}) {
      if (split_rows > 0) unseen.push_back(fmt::format("{:.1f}% of {}", 100 * share, name));
    }
    if (r.train_unseen + r.valid_unseen + r.test_unseen > 0) fmt::print("unseen ids: {}\n", fmt::join(unseen, ", "));
    if (r.left_out_rows > 0) fmt::print("{} rows left out by `filter` and `min_length`\n", r.left_out_rows);
    if (r.rejected_rows > 0) fmt::print("{} rows rejected, see {}/rejected.tsv\n", r.rejected_rows, a->out);
  };
}

const AddCommand command("prepare", "raw files to prepared data", add);

}  // namespace
}  // namespace interplay::tool::prepare_command
