#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <interplay/base/api.h>
#include <interplay/base/config.h>

namespace interplay {

/// A regular expression (ICU's) whose matches are left out of texts of any length: what it has to remember while it
/// matches lies on the heap and is bounded, as is its time. Immutable: any thread may use it.
class INTERPLAY_API TextPattern {
 public:
  explicit TextPattern(const std::string& pattern);           ///< Error(config) where it is none
  TextPattern(const std::string& pattern, const Config& at);  ///< `at`: where it is written, which the Error names
  /// Error(data) where a match takes more memory or time than it may.
  std::string without_matches(std::string_view text) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace interplay
