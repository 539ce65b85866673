#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>

namespace interplay::lm {

/// A text with places to fill in: `{name}`; a brace of the text itself is written twice. Immutable, for any thread.
///
///     const lm::PromptTemplate line("{title}: {rating} stars");
///     line.names();                                                  // title, rating
///     line.fill([&](std::string_view name) { return cells.at(name); });
class INTERPLAY_API PromptTemplate {
 public:
  PromptTemplate() = default;
  /// Throws Error(config) for a brace that is neither closed nor written twice, or a place without a name, quoting it.
  explicit PromptTemplate(std::string_view text);

  struct Piece {
    std::string before;  ///< text
    std::string name;    ///< of the place after it; empty at the end
  };
  const std::vector<Piece>& pieces() const { return pieces_; }      ///< in the order of the text
  const std::vector<std::string>& names() const { return names_; }  ///< of the places, each once, as they come
  bool names(std::string_view name) const;                          ///< whether there is such a place
  std::string fill(const std::function<std::string(std::string_view name)>& value) const;

 private:
  std::vector<Piece> pieces_;
  std::vector<std::string> names_;
};

}  // namespace interplay::lm
