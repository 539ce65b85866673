// interplay: prepare, train, evaluate, predict. One subcommand a file; results to stdout, all else to stderr.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <limits>
#include <system_error>

#include <ATen/Parallel.h>
#include <malloc.h>
#include <unistd.h>

#include <interplay/base/abi.h>
#include <interplay/base/environment.h>
#include <interplay/base/error.h>
#include <interplay/base/log.h>
#include <interplay/base/printable.h>
#include <interplay/base/progress.h>
#include <interplay/core/plugin.h>
#include <interplay/search/search.h>

#include "command.h"
#include "standard_streams.h"

namespace interplay::tool {
namespace {

bool has_entry(char* const* environment, std::string_view name) {
  for (; *environment; ++environment) {
    const std::string_view entry = *environment;
    if (entry.starts_with(name) && entry.substr(name.size()).starts_with('=')) return true;
  }
  return false;
}

bool is_said(char* const* environment, const EnvironmentSetting& setting) {
  return has_entry(environment, setting.name) || (setting.unless && has_entry(environment, setting.unless));
}

/// Some libraries read their settings before main(): so the program starts itself once more, before any library runs,
/// with recommended_environment(). What the environment says already is left alone. `prepare`, which has promised to
/// keep within --memory, does not trade memory for time.
void suit_environment(int count, char** arguments, char** environment) {
  constexpr size_t kMost = 4000, kLongest = 256, kSettings = 8;
  static char* extended[kMost + kSettings + 1];
  static char added[kSettings][kLongest];
  const auto settings = recommended_environment();
  if (is_said(environment, settings.front())) return;  // set by hand, or this is the second start
  size_t n = 0, own = 0;
  for (; environment[n]; ++n) {
    if (n == kMost) return;
    extended[n] = environment[n];
  }
  bool keeps_memory = true;
  for (int i = 1; i < count; ++i) keeps_memory = keeps_memory && std::string_view(arguments[i]) != "prepare";
  for (const auto& setting : settings) {
    if (is_said(environment, setting) || (setting.keeps_memory && !keeps_memory)) continue;
    if (own == kSettings || std::strlen(setting.name) + std::strlen(setting.value) + 2 > kLongest) return;
    extended[n++] = std::strcat(std::strcat(std::strcpy(added[own++], setting.name), "="), setting.value);
  }
  ::execve("/proc/self/exe", arguments, extended);  // where it fails, things go on as they are
}
__attribute__((section(".preinit_array"), used)) void (*const preinit)(int, char**, char**) = suit_environment;

const CLI::App& program_of(const CLI::App& app) { return app.get_parent() ? program_of(*app.get_parent()) : app; }

bool is_number(const std::string& cell) {
  return !cell.empty() && cell.find_first_not_of("0123456789.,+-e% kMG/s") == std::string::npos;
}

}  // namespace

std::vector<Command>& commands() {
  static auto* const all = new std::vector<Command>;
  return *all;
}

std::string table(const std::vector<std::vector<std::string>>& texts) {
  auto rows = texts;  // names and tokens come from files
  for (auto& row : rows) {
    for (auto& cell : row) {
      cell = printable(cell);
      for (const auto& [line, escaped] : {std::pair('\n', "\\n"), {'\t', "\\t"}}) {
        for (size_t at; (at = cell.find(line)) != cell.npos;) cell.replace(at, 1, escaped);
      }
    }
  }
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

void check_out(const std::filesystem::path& out, bool force) {
  namespace fs = std::filesystem;
  INTERPLAY_CHECK(force || !fs::exists(out), "{}: exists already; give another --out, or --force to replace it",
                  out.string());
  if (!fs::is_directory(out) || fs::is_empty(out)) return;
  INTERPLAY_CHECK(fs::exists(out / "manifest.json"),
                  "{}: holds files that no command made, which --force does not replace; give another --out",
                  out.string());
}

void set_all(Config& config, const std::vector<std::string>& sets) {
  for (const auto& s : sets) {
    config.set(s);
    if (!s.starts_with("root=")) continue;
    const auto root = std::filesystem::absolute(config["root"].as<std::string>());
    config.set("root", Config::scalar(root.string(), true));
  }
}

CLI::Validator at_least(int64_t low) {
  return CLI::Validator(
      [low](const std::string& text) {
        int64_t value = 0;
        const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool whole = status == std::errc() && end == text.data() + text.size();
        return whole && value >= low ? "" : fmt::format("expected a whole number from {} on, found '{}'", low, text);
      },
      "");
}

void ExperimentArguments::add(CLI::App& app) {
  app.add_option("EXPERIMENT", experiment, "experiment file: model, train, optimizer, seed")->required();
  app.add_option("--data", data, "prepared data; the file's `data:` by default");
  app.add_option("--out", out, "run directory to make");
  app.add_option("--set", sets, "KEY=VALUE, as train.epochs=3, on top of the file (may be given again)")
      ->allow_extra_args(false);
  app.add_option("--interactions", interactions,
                 "only the interactions that this file keeps: the search.json or retrain.yaml of a search");
  app.add_flag("--no-test", no_test, "do not look at the test split: for choosing hyper-parameters");
  app.add_option("--seed", seed, "on top of the file");
}

Config ExperimentArguments::load(const CLI::App& app) const {
  Config config = Config::load(experiment);
  if (!interactions.empty()) config.set("model.interactions", read_interactions(interactions));
  for (const auto& assignment : sets) config.set(assignment);
  if (seed >= 0) config.set("seed", Config::scalar(std::to_string(seed)));
  const auto* const threads = program_of(app).get_option("--threads");
  if (threads->count() > 0 && threads->as<int>() > 0) config.set("threads", Config::scalar(threads->as<std::string>()));
  return config;
}

void use_threads(const Config& experiment) {
  if (!experiment.has("threads")) return;
  const auto threads = experiment["threads"].as<int64_t>();
  if (threads < 0 || threads > 4096) experiment["threads"].fail(fmt::format("{} threads are not possible", threads));
  if (threads > 0) at::set_num_threads(int(threads));
}

std::filesystem::path ExperimentArguments::data_of(const Config& config) const {
  INTERPLAY_CHECK(!data.empty() || config.has("data"), "--data DIR is required: the prepared data (or `data:` in {})",
                  experiment);
  return data.empty() ? config["data"].as<std::string>() : data;
}

std::filesystem::path ExperimentArguments::out_of() const {
  INTERPLAY_CHECK(!out.empty(), "--out RUN is required: the directory in which the run is kept");
  return out;
}

/// What is wrong with the command line. CLI11 knows what it could not use, but neither names the nearest nor finds
/// words for a reader.
std::string explain(const CLI::App& app, const CLI::ParseError& problem) {
  // The innermost command that was named, and the path to it.
  std::vector<const CLI::App*> path{&app};
  while (!path.back()->get_subcommands().empty()) path.push_back(path.back()->get_subcommands()[0]);
  const CLI::App& at = *path.back();
  std::vector<std::string> names;
  for (const auto* command : at.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  const bool incomplete = !names.empty();
  const auto close_to = [](const std::string& word, const std::vector<std::string>& known) {
    const std::string close = nearest(word, known);
    return close.empty() ? "" : fmt::format("; did you mean {}?", close);
  };
  const std::vector<std::string> unused = app.remaining(true);
  const auto option =
      std::find_if(unused.begin(), unused.end(), [](const std::string& word) { return word.starts_with("-"); });
  std::string typed;
  for (size_t i = 1; i < path.size(); ++i) typed += path[i]->get_name() + " ";
  if (incomplete && !unused.empty() && option != unused.begin()) {
    return fmt::format("there is no subcommand '{}{}'{} (subcommands: {})", typed, unused[0],
                       close_to(unused[0], names), fmt::join(names, ", "));
  }
  std::string what = problem.what();
  if (option != unused.end()) {
    std::vector<std::string> known;
    for (const CLI::App* command : path) {
      for (const CLI::Option* o : command->get_options()) {
        for (const auto& name : o->get_lnames()) known.push_back("--" + name);
      }
    }
    what = fmt::format("there is no option {}{}", *option, close_to(*option, known));
  } else if (!unused.empty()) {
    what = fmt::format("'{}' is one word too many", unused[0]);
  } else if (incomplete) {
    what = fmt::format("a subcommand is missing: {}", fmt::join(names, ", "));
  } else if (what.starts_with("Could not convert: ")) {
    const size_t value = what.find(" = ");
    what = fmt::format("{}: '{}' is not a whole number", what.substr(19, value - 19), what.substr(value + 3));
  } else if (const size_t many = what.find(": At Most 1 required but received "); many != std::string::npos) {
    what = what.substr(0, many) + ": is given more than once";
  } else if (const size_t missing = what.find(": 1 required "); missing != std::string::npos) {
    what = what.substr(0, missing) + ": its value is missing";
  }
  return fmt::format("{} (see `interplay {}--help`)", what, typed);
}

int run(int count, char** words) {
  CLI::App app{"Interplay: native training of click-through-rate models", "interplay"};
  app.set_version_flag("--version",
                       fmt::format("interplay {} (LibTorch {})", INTERPLAY_VERSION, INTERPLAY_TORCH_VERSION));
  app.require_subcommand(1);
  app.fallthrough();
  Common common;
  app.add_option("--threads", common.threads, "threads to use; 0 = what the experiment says, else one a core")
      ->check(at_least(0));
  app.add_flag("--quiet", common.quiet, "only warnings and results");
  app.add_option("--plugin", common.plugins, "library with further models, losses, ... (may be given again)")
      ->allow_extra_args(false);
  std::sort(commands().begin(), commands().end(),
            [](const Command& a, const Command& b) { return std::string(a.name) < b.name; });
  std::vector<std::pair<CLI::App*, std::function<void()>>> runs;
  for (const auto& command : commands()) {  // a command sorts before those that are its own
    const std::string_view name = command.name;
    const size_t space = name.find(' ');
    CLI::App* const parent = space == name.npos ? &app : app.get_subcommand(std::string(name.substr(0, space)));
    CLI::App* const sub = parent->add_subcommand(std::string(name.substr(space + 1)), command.doc);
    sub->footer("And --threads, --quiet, --plugin: see `interplay --help`.");
    if (command.add) {
      runs.emplace_back(sub, command.add(*sub));
    } else {
      sub->require_subcommand(1);
    }
  }
  try {
    app.parse(count, words);
  } catch (const CLI::ParseError& problem) {
    if (problem.get_exit_code() == 0) {  // help, version
      app.exit(problem, std::cout, std::cerr);
      return finish_standard_output();
    }
    throw Error(explain(app, problem));
  }
  if (common.quiet) {
    log::set_level(log::Level::warning);
    Progress::enable(false);
  }
  if (common.threads > 0) at::set_num_threads(common.threads);
  for (const auto& plugin : common.plugins) load_plugin(plugin);
  int status = 0;
  try {
    for (const auto& [sub, action] : runs) {
      if (sub->parsed()) action();
    }
  } catch (const ExitStatus& verdict) {
    status = verdict.status;
  } catch (const std::system_error& problem) {
    if (!std::ferror(stdout)) throw;
    return failed_standard_output(problem.code().value());
  }
  const int written = finish_standard_output();
  return written != 0 ? written : status;
}

}  // namespace interplay::tool

/// What a step frees is taken again by the next one: given back to the system, it would be cleared, page by page, each
/// time. The thresholds are the largest that glibc takes; whoever sets its environment variables knows better.
static void keep_freed_memory() {
#ifdef __GLIBC__
  if (std::getenv("MALLOC_MMAP_THRESHOLD_") || std::getenv("MALLOC_TRIM_THRESHOLD_")) return;
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
}

int main(int count, char** words) {
  keep_freed_memory();
  interplay::tool::open_standard_streams();
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
