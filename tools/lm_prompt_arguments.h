#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <interplay/lm/roles.h>
#include <interplay/lm/tokenizer.h>

#include "command.h"

namespace interplay::tool {

/// What subcommands of `lm` read prompts from: --prompt, again and again, or --prompt-file; --chat and --system say
/// what is put around them.
struct PromptArguments {
  std::vector<std::string> prompts;
  std::string file, system;
  bool chat = false;
  void add(CLI::App& app);
  /// The tokens of each. Throws Error where neither or both sources are given, or where a prompt cannot be read, naming
  /// its line or number.
  std::vector<lm::TokenIds> read(const std::filesystem::path& model, const lm::Tokenizer& tokenizer) const;
};

}  // namespace interplay::tool
