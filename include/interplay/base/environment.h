#pragma once

#include <span>

#include <interplay/base/api.h>

namespace interplay {

/// A variable of the environment that a process which trains or scores should be started with: the libraries below read
/// theirs before main(), so that setting it later does nothing.
struct EnvironmentSetting {
  const char* name;    ///< GOMP_SPINCOUNT
  const char* value;   ///< 20000
  const char* unless;  ///< another variable that says the same: where it is set, this one is not needed; or nullptr
  bool keeps_memory;   ///< trades memory for time: not for a process that has promised to keep within a limit
  const char* why;
};

/// What `interplay` starts itself with, where the environment does not say otherwise. A program of your own does
/// likewise, or is started from a script that sets them:
///
///     for (const auto& s : interplay::recommended_environment()) setenv(s.name, s.value, /*overwrite=*/0);
///     execv("/proc/self/exe", argv);   // once; a variable of your own tells the second start
///
/// Constant data: may be called at any time, also before main().
INTERPLAY_API std::span<const EnvironmentSetting> recommended_environment();

}  // namespace interplay
