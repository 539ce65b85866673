#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "command.h"

namespace interplay::tool {

/// What subcommands of `lm` read texts from: --text, again and again, or --file with a text a line.
struct TextArguments {
  std::vector<std::string> texts;
  std::string file;
  void add(CLI::App& app);
  /// Throws Error where neither or both are given, or where the file holds no text.
  std::vector<std::string> read() const;
};

/// The text of a file, without the byte order mark that some editors put before it.
std::string read_text(const std::filesystem::path& file);

/// --threads of the program, for a subcommand of `lm`; 0 where it is not given.
int threads_of(const CLI::App& app);

}  // namespace interplay::tool
