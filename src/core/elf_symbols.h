#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace interplay::detail {

/// Names of the dynamic symbols that a shared library asks others for. The file is only read, never run; nothing it
/// says is trusted. Throws Error naming the file where it is not a whole 64-bit shared library of this machine's kind.
std::vector<std::string> undefined_symbols(const std::filesystem::path& file);

}  // namespace interplay::detail
