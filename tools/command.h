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

/// A subcommand is a file that says how to parse it and what to run. It adds itself.
struct Command {
  const char* name;
  const char* doc;
  std::function<void()> (*add)(CLI::App& app);  ///< declares options; returns what to run after parsing
};
std::vector<Command>& commands();

struct AddCommand {
  AddCommand(const char* name, const char* doc, std::function<void()> (*add)(CLI::App&)) {
    commands().push_back({name, doc, add});
  }
};

/// Rows of text as an aligned table: first row = heads, numbers to the right.
std::string table(const std::vector<std::vector<std::string>>& rows);

/// For whole numbers from `low` on.
CLI::Validator at_least(int64_t low);

/// `--set KEY=VALUE` and `--seed` on top of a file.
Config load_experiment(const std::filesystem::path& file, const std::vector<std::string>& sets, int64_t seed);

/// Calls `stop` on the first Ctrl-C or SIGTERM, from a thread that may do anything; a second Ctrl-C ends the process.
class OnInterrupt {
 public:
  explicit OnInterrupt(std::function<void()> stop);
  ~OnInterrupt();
};

}  // namespace interplay::tool
