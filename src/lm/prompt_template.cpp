#include <interplay/lm/prompt_template.h>

#include <algorithm>

#include <interplay/base/error.h>

namespace interplay::lm {

PromptTemplate::PromptTemplate(std::string_view text) {
  const auto excerpt = [&](size_t at) { return text.substr(at, 20); };
  Piece piece;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c != '{' && c != '}') {
      piece.before += c;
      continue;
    }
    if (at + 1 < text.size() && text[at + 1] == c) {
      piece.before += c;
      ++at;
      continue;
    }
    const size_t end = c == '{' ? text.find_first_of("{}\n", at + 1) : text.npos;
    INTERPLAY_CHECK(end != text.npos && text[end] == '}',
                    "the brace at '{}' belongs to no {{name}}; a brace of the text itself is written twice",
                    excerpt(at));
    piece.name = text.substr(at + 1, end - at - 1);
    INTERPLAY_CHECK(!piece.name.empty(), "'{}': {{}} names nothing; write {{name}}", excerpt(at));
    if (!names(piece.name)) names_.push_back(piece.name);
    pieces_.push_back(std::move(piece));
    piece = Piece();
    at = end;
  }
  if (!piece.before.empty()) pieces_.push_back(std::move(piece));
}

bool PromptTemplate::names(std::string_view name) const {
  return std::find(names_.begin(), names_.end(), name) != names_.end();
}

std::string PromptTemplate::fill(const std::function<std::string(std::string_view name)>& value) const {
  std::string out;
  for (const Piece& piece : pieces_) {
    out += piece.before;
    if (!piece.name.empty()) out += value(piece.name);
  }
  return out;
}

}  // namespace interplay::lm
