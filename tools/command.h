#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <interplay/base/config.h>

namespace interplay::tool {

/// What every subcommand understands.
struct Common {
  int threads = 0;  ///< 0 = what the experiment says, or as many as there are cores
  bool quiet = false;
  std::vector<std::filesystem::path> plugins;
};

/// A subcommand is a file that says how to parse it and what to run. It adds itself. A name of two words, as
/// "lm embed", is a subcommand of the first, which is a command without `add`: it holds others and runs nothing itself.
struct Command {
  const char* name;
  const char* doc;
  std::function<void()> (*add)(CLI::App& app);  ///< declares options; returns what to run after parsing
};
std::vector<Command>& commands();

/// Thrown by a command that did what it was asked to, for an exit status other than 0: a verdict, not an error.
struct ExitStatus {
  int status;
};

struct AddCommand {
  AddCommand(const char* name, const char* doc, std::function<void()> (*add)(CLI::App&)) {
    commands().push_back({name, doc, add});
  }
};

/// Rows of text as an aligned table: first row = heads, numbers to the right.
std::string table(const std::vector<std::vector<std::string>>& rows);

/// The stages of a search and how much it kept, from its search.json.
std::string search_table(const std::filesystem::path& search);

/// Throws Error where `out` is there already and `force` does not say that it may be replaced, or where it is a folder
/// of files that no command made.
void check_out(const std::filesystem::path& out, bool force);

/// --bad-rows: 0 for stop, N for skip:N. Throws Error for anything else.
int64_t parse_bad_rows(const std::string& text);

/// Sets each KEY=VALUE in a config. A `root` is typed here, and so relative to here; in a file it is relative to that.
void set_all(Config& config, const std::vector<std::string>& sets);

/// For whole numbers from `low` on.
CLI::Validator at_least(int64_t low);

/// What `train` and `search` both take: an experiment file, and what is said on top of it.
struct ExperimentArguments {
  std::string experiment, data, out, interactions;
  std::vector<std::string> sets;
  int64_t seed = -1;
  bool no_test = false, resume = false;
  void add(CLI::App& app);
  /// The file with --set, --seed, --interactions and the program's --threads on top of it.
  Config load(const CLI::App& app) const;
  /// Throws Error where --data (or `data:` in the file) or --out is missing.
  std::filesystem::path data_of(const Config& experiment) const;
  std::filesystem::path out_of() const;
};

/// Takes as many threads as `threads:` says; 0, or nothing, leaves them as they are.
void use_threads(const Config& experiment);

}  // namespace interplay::tool
