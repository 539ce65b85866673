#pragma once

#include <filesystem>
#include <string>

#include <interplay/base/api.h>

namespace interplay {

/// Loads a shared library whose models, losses, metrics, optimizers and readers register themselves. Build one with
/// CMake's `interplay_add_plugin(name file.cpp)`.
///
///     load_plugin("build/libnfm.so");
///     auto model = make_model(Config::parse("{name: nfm}"), schema);
///
/// Before any of its code runs, the file is looked into: throws Error naming the file where it is not a shared library,
/// not a plugin, or built for another Interplay (both versions are named). After loading, throws Error where it took a
/// name that was taken already (both files are named); that registry then refuses to make anything, since which of the
/// two was meant cannot be known.
///
/// A plugin is never unloaded, since objects of its classes may live on; loading one again does nothing.
/// Thread safety: none; load plugins before starting threads that use the registries.
INTERPLAY_API void load_plugin(const std::filesystem::path& file);

/// Name of the ABI symbol that this library defines and that its plugins must ask for.
INTERPLAY_API std::string abi_symbol();

}  // namespace interplay
