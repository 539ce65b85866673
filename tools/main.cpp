// interplay: prepare, train, evaluate, predict. One subcommand a file; results to stdout, all else to stderr.
#include <csignal>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <iostream>
#include <thread>

#include <ATen/Parallel.h>
#include <unistd.h>

#include <interplay/base/abi.h>
#include <interplay/base/error.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/plugin.h>

#include "command.h"

namespace interplay::tool {
namespace {

int wake_pipe[2];

void on_signal(int signal) {
  std::signal(signal, SIG_DFL);  // the next one ends the process
  const char byte = 0;
  [[maybe_unused]] const auto written = ::write(wake_pipe[1], &byte, 1);
}

bool is_number(const std::string& cell) {
  return !cell.empty() && cell.find_first_not_of("0123456789.,+-e% kMG/s") == std::string::npos;
}

}  // namespace

std::vector<Command>& commands() {
  static auto* const all = new std::vector<Command>;
  return *all;
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> width;
  for (const auto& row : rows) {
    width.resize(std::max(width.size(), row.size()));
    for (size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  }
  std::vector<bool> right(width.size(), rows.size() > 1);
  for (size_t r = 1; r < rows.size(); ++r) {
    for (size_t c = 0; c < rows[r].size(); ++c)
      right[c] = right[c] && (is_number(rows[r][c]) || rows[r][c] == "n/a" || rows[r][c] == "-");
  }
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t c = 0; c < rows[r].size(); ++c) {
      line += c > 0 ? "  " : "";
      line += right[c] ? fmt::format("{:>{}}", rows[r][c], width[c]) : fmt::format("{:<{}}", rows[r][c], width[c]);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += line + "\n";
    if (r == 0) {
      for (size_t c = 0; c < width.size(); ++c) out += (c > 0 ? "  " : "") + std::string(width[c], '-');
      out += "\n";
    }
  }
  return out;
}

Config load_experiment(const std::filesystem::path& file, const std::vector<std::string>& sets, int64_t seed) {
  Config config = Config::load(file);
  for (const auto& assignment : sets) config.set(assignment);
  if (seed >= 0) config.set("seed", Config::scalar(std::to_string(seed)));
  return config;
}

OnInterrupt::OnInterrupt(std::function<void()> stop) {
  if (::pipe(wake_pipe) != 0) return;
  std::thread([stop = std::move(stop)] {
    char byte;
    if (::read(wake_pipe[0], &byte, 1) == 1) {
      log::info("stopping after this step; a checkpoint will be written (Ctrl-C again ends at once)");
      stop();
    }
  }).detach();
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

OnInterrupt::~OnInterrupt() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  ::close(wake_pipe[1]);  // the reader ends
}

int run(int count, char** words) {
  CLI::App app{"Interplay: native training of click-through-rate models", "interplay"};
  app.set_version_flag("--version",
                       fmt::format("interplay {} (LibTorch {})", INTERPLAY_VERSION, INTERPLAY_TORCH_VERSION));
  app.require_subcommand(1);
  app.fallthrough();
  Common common;
  app.add_option("--threads", common.threads, "threads to use; 0 = one a core")->check(CLI::NonNegativeNumber);
  app.add_flag("--quiet", common.quiet, "only warnings and results");
  app.add_option("--plugin", common.plugins, "library with further models, losses, ... (may be given again)");
  std::sort(commands().begin(), commands().end(),
            [](const Command& a, const Command& b) { return std::string(a.name) < b.name; });
  std::vector<std::pair<CLI::App*, std::function<void()>>> runs;
  for (const auto& command : commands()) {
    CLI::App* const sub = app.add_subcommand(command.name, command.doc);
    runs.emplace_back(sub, command.add(*sub));
  }
  try {
    app.parse(count, words);
  } catch (const CLI::ParseError& problem) {
    const int status = app.exit(problem, std::cout, std::cerr);
    return status == 0 ? 0 : 2;
  }
  if (common.quiet) {
    log::set_level(log::Level::warning);
    Progress::enable(false);
  }
  if (common.threads > 0) at::set_num_threads(common.threads);
  for (const auto& plugin : common.plugins) load_plugin(plugin);
  for (const auto& [sub, action] : runs) {
    if (sub->parsed()) action();
  }
  return 0;
}

}  // namespace interplay::tool

int main(int count, char** words) {
  try {
    return interplay::tool::run(count, words);
  } catch (const interplay::Error& problem) {
    interplay::log::write(interplay::log::Level::error, std::string("error: ") + problem.what());
    return problem.exit_status();
  } catch (const std::bad_alloc&) {
    interplay::log::write(interplay::log::Level::error,
                          "error: out of memory; use smaller batches, or a smaller --memory");
    return 3;
  } catch (const std::exception& problem) {  // LibTorch, Arrow, the file system: their first line says what happened
    const std::string text = problem.what();
    interplay::log::write(interplay::log::Level::error, "error: " + text.substr(0, text.find('\n')));
    return 3;
  }
}
