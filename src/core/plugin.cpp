#include <interplay/core/plugin.h>

#include <dlfcn.h>

#include <algorithm>

#include <interplay/base/abi.h>
#include <interplay/base/error.h>
#include <interplay/base/registry.h>

#include "core/elf_symbols.h"

#define INTERPLAY_TEXT_(x) #x
#define INTERPLAY_TEXT(x) INTERPLAY_TEXT_(x)

namespace interplay {
namespace {

constexpr std::string_view kAbiPrefix = "interplay_abi_";

// interplay_abi_0_2_0_torch_2_15_0_1a2b3c4d -> Interplay 0.2.0, LibTorch 2.15.0, headers 1a2b3c4d
std::string version_text(std::string_view symbol) {
  const auto torch = symbol.find("_torch_");
  const auto hash = symbol.rfind('_');
  if (torch == symbol.npos || hash < torch + 7) return std::string(symbol);
  std::string interplay_version(symbol.substr(kAbiPrefix.size(), torch - kAbiPrefix.size()));
  std::string torch_version(symbol.substr(torch + 7, hash - torch - 7));
  std::ranges::replace(interplay_version, '_', '.');
  std::ranges::replace(torch_version, '_', '.');
  return fmt::format("Interplay {}, LibTorch {}, headers {}", interplay_version, torch_version,
                     symbol.substr(hash + 1));
}

void check_abi(const std::filesystem::path& file) {
  const auto symbols = detail::undefined_symbols(file);
  const auto is_abi = [](const std::string& name) { return name.starts_with(kAbiPrefix); };
  const auto found = std::ranges::find_if(symbols, is_abi);
  INTERPLAY_CHECK(
      found != symbols.end(),
      "plugin {}: this shared library registers nothing with Interplay; build it with interplay_add_plugin() "
      "from a source that has an INTERPLAY_REGISTER...",
      file.string());
  for (const auto& name : symbols) {
    INTERPLAY_CHECK(!is_abi(name) || name == abi_symbol(),
                    "plugin {}: built for {}; this is {}; rebuild the plugin against this version", file.string(),
                    version_text(name), version_text(abi_symbol()));
  }
}

// A plugin finds Interplay's symbols, and LibTorch's, among those of the program. Where this library was itself loaded
// privately (by an interpreter, say), they are not there yet.
void make_own_symbols_global() {
  Dl_info own{};
  if (::dladdr(reinterpret_cast<const void*>(&load_plugin), &own) != 0 && own.dli_fname) {
    ::dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
  }
}

}  // namespace

std::string abi_symbol() { return INTERPLAY_TEXT(INTERPLAY_ABI_SYMBOL); }

void load_plugin(const std::filesystem::path& file) {
  std::error_code unused;
  INTERPLAY_CHECK(std::filesystem::exists(file, unused), "plugin {}: there is no such file", file.string());
  INTERPLAY_CHECK(std::filesystem::is_regular_file(file, unused), "plugin {}: not a file", file.string());
  const auto absolute = std::filesystem::canonical(file);
  check_abi(absolute);
  make_own_symbols_global();
  // Its own symbols stay private, so that two plugins cannot take each other's. The handle is dropped on purpose:
  // objects of the plugin's classes may outlive any owner that could be named here.
  if (!::dlopen(absolute.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    const char* const reason = ::dlerror();
    throw Error(fmt::format("plugin {}: {}", absolute.string(), reason ? reason : "it cannot be loaded"));
  }
  std::vector<std::string> clashes;
  for (const auto* registry : all_registries()) {
    for (auto& clash : registry->clashes()) clashes.push_back(std::move(clash));
  }
  INTERPLAY_CHECK(clashes.empty(), "plugin {}: {}", absolute.string(), fmt::join(clashes, "; "));
}

}  // namespace interplay
