#include "systems/rella/rella_text.h"

#include <algorithm>

#include <interplay/base/error.h>

#include "systems/lab/parse_template.h"

namespace interplay {
namespace {

constexpr std::string_view kMark = "\xEF\xBF\xBC";  // U+FFFC, which stands for an object in a text: kMark 3 kMark

/// Names of templates but for those that stand for something else, each once.
std::vector<std::string> names_of(std::initializer_list<const lm::PromptTemplate*> texts, std::string_view own) {
  std::vector<std::string> out;
  for (const auto* text : texts) {
    for (const auto& name : text->names()) {
      if (name != own && name != "vector" && std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
    }
  }
  return out;
}

std::string mark(int64_t vector) { return vector < 0 ? "" : fmt::format("{}{}{}", kMark, vector, kMark); }

/// What a column says is no place of a vector.
std::string without_marks(std::string text) {
  for (size_t at; (at = text.find(kMark)) != std::string::npos;) text.erase(at, kMark.size());
  return text;
}

int64_t times(const lm::PromptTemplate& text, std::string_view name) {
  return std::count_if(text.pieces().begin(), text.pieces().end(), [&](const auto& p) { return p.name == name; });
}

}  // namespace

lm::PromptTemplate needed_template(const Config& at, const std::string& text) {
  if (text.empty()) at.fail("missing; a text is needed here");
  return parse_template(at, text);
}

RellaText::RellaText(const RellaOptions::Prompt& o, const Config& at)
    : system_(needed_template(at["system"], o.system)),
      user_(needed_template(at["user"], o.user)),
      event_(needed_template(at["event"], o.event)) {
  if (!user_.names("history")) at["user"].fail("has no {history}: where do the events go?");
  for (const auto& [key, text] : {std::pair{"system", &system_}, {"user", &user_}, {"event", &event_}}) {
    for (const auto& piece : text->pieces()) {
      if (piece.before.find(kMark) != std::string::npos)
        at[key].fail("has the character U+FFFC, which stands for vectors; say {vector} where one goes");
    }
  }
  if (system_.names("vector")) at["system"].fail("{vector} stands behind an item: in `event` and in `user`");
  const int64_t of_event = times(event_, "vector"), of_item = times(user_, "vector");
  if (of_event + of_item > 0 && (of_event != 1 || of_item != 1))
    at[of_event != 1 ? "event" : "user"].fail(fmt::format(
        "says {{vector}} {} times; expected once in `event`, for each event's item, and once in `user`, for "
        "the row's own, or nowhere",
        of_event != 1 ? of_event : of_item));
  for (const auto& name : o.words.keys()) {
    const Config words = o.words[name];
    for (const auto& value : words.keys()) words_[name][value] = words[value].as<std::string>();
  }
  for (const auto& name : o.shorten.keys()) {
    const Config cut = o.shorten[name];
    if (!event_.names(name))
      cut.fail(fmt::format("prompt.event does not name the column '{}' (columns named: {})", name,
                           fmt::join(event_.names(), ", ")));
    shorten_.try_emplace(name, cut.as<std::string>(), cut);
  }
}

std::vector<std::string> RellaText::row_names() const { return names_of({&system_, &user_}, "history"); }
std::vector<std::string> RellaText::event_names() const { return names_of({&event_}, "index"); }

std::string RellaText::word(std::string_view name, std::string_view cell) const {
  const auto known = words_.find(name);
  if (known == words_.end()) return std::string(cell);
  const auto word = known->second.find(cell);
  return word == known->second.end() ? std::string(cell) : word->second;
}

std::string RellaText::line(size_t index, const EventCell& event, const std::vector<int64_t>* vectors) const {
  return event_.fill([&](std::string_view name) {
    if (name == "index") return std::to_string(index + 1);
    if (name == "vector") return vectors ? mark((*vectors)[index]) : "";
    const auto cut = shorten_.find(name);
    auto whole = word(name, event(index, name));
    if (vectors) whole = without_marks(std::move(whole));
    return cut == shorten_.end() ? whole : cut->second.without_matches(whole);
  });
}

std::vector<lm::ChatMessage> RellaText::messages(size_t events, const Cell& row, const EventCell& event,
                                                 const std::vector<int64_t>* vectors) const {
  INTERPLAY_ASSERT(!vectors || vectors->size() == events);
  std::string lines;
  for (size_t i = 0; i < events; ++i) {
    if (i > 0) lines += "\n";
    lines += line(i, event, vectors);
  }
  const auto value = [&](std::string_view name) {
    auto whole = word(name, row(name));
    return vectors ? without_marks(std::move(whole)) : whole;
  };
  const auto system = system_.fill(value);
  const auto user = user_.fill([&](std::string_view name) {
    if (name == "vector") return vectors ? mark(0) : "";
    return name == "history" ? lines : value(name);
  });
  return {{"system", system}, {"user", user}};
}

std::vector<int64_t> encode_prompt(const lm::ChatFrame& frame, const lm::Tokenizer& tokenizer,
                                   std::span<const lm::ChatMessage> messages) {
  return frame.encode(tokenizer, messages, [&](std::string_view text, std::vector<int64_t>& ids) {
    for (bool marked = false;; marked = !marked) {
      const size_t end = text.find(kMark);
      const std::string_view part = text.substr(0, end);
      if (marked) {
        ids.push_back(tokenizer.size() + std::stoll(std::string(part)));
      } else {
        const auto more = tokenizer.encode(part);
        ids.insert(ids.end(), more.begin(), more.end());
      }
      if (end == std::string_view::npos) return;
      text.remove_prefix(end + kMark.size());
    }
  });
}

std::vector<int64_t> fit_prompt(std::vector<uint32_t>& told, bool nearest_first, int64_t max_tokens,
                                const std::function<std::vector<int64_t>(std::span<const uint32_t> told)>& encode) {
  while (true) {
    auto ids = encode(told);
    if (max_tokens <= 0 || int64_t(ids.size()) <= max_tokens) return ids;
    INTERPLAY_CHECK_DATA(!told.empty(),
                         "a prompt without a past event has {} tokens already; expected {} at most "
                         "(max_tokens)",
                         ids.size(), max_tokens);
    told.erase(nearest_first ? told.end() - 1 : told.begin());
  }
}

}  // namespace interplay
