#include "systems/rella/rella_text.h"

#include <algorithm>

#include <interplay/base/error.h>

namespace interplay {
namespace {

/// Names of templates but for one that stands for something else, each once.
std::vector<std::string> names_of(std::initializer_list<const lm::PromptTemplate*> texts, std::string_view own) {
  std::vector<std::string> out;
  for (const auto* text : texts) {
    for (const auto& name : text->names()) {
      if (name != own && std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
    }
  }
  return out;
}

}  // namespace

lm::PromptTemplate parse_template(const Config& at, const std::string& text) {
  if (text.empty()) at.fail("missing; a text is needed here");
  try {
    return lm::PromptTemplate(text);
  } catch (const Error& problem) {
    at.fail(problem.what());
  }
}

RellaText::RellaText(const RellaOptions::Prompt& o, const Config& at)
    : system_(parse_template(at["system"], o.system)),
      user_(parse_template(at["user"], o.user)),
      event_(parse_template(at["event"], o.event)) {
  if (!user_.names("history")) at["user"].fail("has no {history}: where do the events go?");
  for (const auto& name : o.words.keys()) {
    const Config words = o.words[name];
    for (const auto& value : words.keys()) words_[name][value] = words[value].as<std::string>();
  }
  for (const auto& name : o.shorten.keys()) {
    const Config cut = o.shorten[name];
    if (!event_.names(name))
      cut.fail(fmt::format("prompt.event does not name the column '{}' (columns named: {})", name,
                           fmt::join(event_.names(), ", ")));
    try {
      shorten_.emplace(name, cut.as<std::string>());
    } catch (const Error& problem) {
      cut.fail(problem.what());
    }
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

std::string RellaText::line(size_t index, const EventCell& event) const {
  return event_.fill([&](std::string_view name) {
    if (name == "index") return std::to_string(index + 1);
    const auto cut = shorten_.find(name);
    const auto whole = word(name, event(index, name));
    return cut == shorten_.end() ? whole : cut->second.without_matches(whole);
  });
}

std::vector<lm::ChatMessage> RellaText::messages(size_t events, const Cell& row, const EventCell& event) const {
  std::string lines;
  for (size_t i = 0; i < events; ++i) {
    if (i > 0) lines += "\n";
    lines += line(i, event);
  }
  const auto system = system_.fill([&](std::string_view name) { return word(name, row(name)); });
  const auto user =
      user_.fill([&](std::string_view name) { return name == "history" ? lines : word(name, row(name)); });
  return {{"system", system}, {"user", user}};
}

}  // namespace interplay
