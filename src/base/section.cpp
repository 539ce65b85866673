#include <interplay/base/section.h>

#include <algorithm>
#include <mutex>
#include <tuple>

namespace interplay {
namespace {

struct Declared {
  std::mutex mutex;
  std::vector<Section> sections;
};

Declared& declared() {
  static auto* const all = new Declared;  // leaked: libraries declare while they load, in any order
  return *all;
}

}  // namespace

std::vector<Section> all_sections() {
  const std::lock_guard lock(declared().mutex);
  std::vector<Section> sections = declared().sections;
  std::sort(sections.begin(), sections.end(),
            [](const Section& a, const Section& b) { return std::tie(a.name, a.doc) < std::tie(b.name, b.doc); });
  return sections;
}

detail::SectionDeclaration::SectionDeclaration(const char* name, const char* doc,
                                               std::vector<OptionLine> (*options)()) noexcept {
  const std::lock_guard lock(declared().mutex);
  declared().sections.push_back({name, doc, options});
}

}  // namespace interplay
