#pragma once

#include <string>
#include <vector>

#include <interplay/base/options.h>
#include <interplay/base/registry.h>

namespace interplay {

/// A part of a configuration file that is read into an option struct. Whoever reads one declares it, beside the
/// reading:
///
///     INTERPLAY_SECTION("train", TrainOptions, "`train:` of an experiment");
///
/// and `interplay help train` prints it. Sections of one name are printed together, before the registry whose kind has
/// that name: `optimizer` is what every rule takes beside its own options.
struct Section {
  std::string name;
  std::string doc;  ///< one line: which part of which file
  std::vector<OptionLine> (*options)();
};

/// Every section declared so far, by name and then in the order of their docs. Safe to call from any thread.
INTERPLAY_API std::vector<Section> all_sections();

namespace detail {
struct SectionDeclaration {
  INTERPLAY_API SectionDeclaration(const char* name, const char* doc, std::vector<OptionLine> (*options)()) noexcept;
};
}  // namespace detail

}  // namespace interplay

#define INTERPLAY_SECTION(name, type, doc)                                                                          \
  [[maybe_unused]] const ::interplay::detail::SectionDeclaration INTERPLAY_CONCAT(interplay_section_, __COUNTER__)( \
      name, doc, [] { return ::interplay::describe_options<type>(); })
