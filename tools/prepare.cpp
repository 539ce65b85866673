// interplay prepare DATA.yaml --out DIR: raw files to prepared data.
#include <filesystem>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/prepare.h>

#include "command.h"

namespace interplay::tool {
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
  INTERPLAY_CHECK(used > 0 && scale > 0 && value > 0, "--memory {}: expected a size such as 800M or 2G", text);
  return int64_t(value * scale);
}

int64_t parse_bad_rows(const std::string& text) {
  if (text == "stop") return 0;
  int64_t limit = -1;
  if (text.starts_with("skip:")) limit = Config::scalar(text.substr(5)).as<int64_t>();
  INTERPLAY_CHECK(limit >= 0, "--bad-rows {}: expected stop, or skip:N to leave out up to N rows", text);
  return limit;
}

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::string data, out, memory = "2G", bad_rows = "stop", vocabulary_from;
    std::vector<std::string> sets;
    bool force = false;
  };
  auto a = std::make_shared<Arguments>();
  app.add_option("DATA", a->data, "data.yaml: files, label, fields")->required();
  app.add_option("--out", a->out, "directory to make")->required();
  app.add_option("--memory", a->memory, "bound on resident memory")->capture_default_str();
  app.add_option("--bad-rows", a->bad_rows, "stop, or skip:N: leave out up to N bad rows and list them in rejected.tsv")
      ->capture_default_str();
  app.add_option("--vocabulary-from", a->vocabulary_from,
                 "prepared data or run whose ids stay valid; new tokens are appended");
  app.add_option("--set", a->sets, "KEY=VALUE, on top of the file (may be given again)");
  app.add_flag("--force", a->force, "replace --out if it exists");
  return [a] {
    Config data = Config::load(a->data);
    for (const auto& s : a->sets) data.set(s);
    if (!data.has("root")) {  // paths are relative to the folder of the file that names them
      data.set("root", Config::scalar(std::filesystem::absolute(a->data).parent_path().string(), true));
    }
    INTERPLAY_CHECK(a->force || !std::filesystem::exists(a->out),
                    "{}: exists already; give another --out, or --force to replace it", a->out);
    const auto report =
        prepare(data, a->out, {parse_bytes(a->memory), parse_bad_rows(a->bad_rows), a->vocabulary_from});
    fmt::print("{}: {} train, {} valid, {} test rows{} in {}\n", a->out, report.train_rows, report.valid_rows,
               report.test_rows, report.rejected_rows > 0 ? fmt::format(", {} rejected", report.rejected_rows) : "",
               human_seconds(report.seconds));
  };
}

const AddCommand command("prepare", "raw files to prepared data", add);

}  // namespace
}  // namespace interplay::tool
