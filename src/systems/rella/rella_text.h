#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/lm/chat.h>
#include <interplay/lm/prompt_template.h>
#include <interplay/systems/rella.h>

#include "systems/rella/text_pattern.h"

namespace interplay {

/// What ReLLa's prompts say, wherever the cells come from: a log of events, or rows that want a score. Immutable, for
/// any thread.
class RellaText {
 public:
  using Cell = std::function<std::string_view(std::string_view name)>;  ///< "": missing
  using EventCell = std::function<std::string_view(size_t event, std::string_view name)>;

  /// Throws Error at `at`, where `options` were written.
  RellaText(const RellaOptions::Prompt& options, const Config& at);

  std::vector<std::string> row_names() const;    ///< that cells of the row are asked for, each once
  std::vector<std::string> event_names() const;  ///< ... and of past events
  const std::map<std::string, std::map<std::string, std::string, std::less<>>, std::less<>>& words() const {
    return words_;
  }
  std::string word(std::string_view name, std::string_view cell) const;  ///< what a value is called
  /// Messages of system and user that ask about a row with so many past events, the first of them first.
  std::vector<lm::ChatMessage> messages(size_t events, const Cell& row, const EventCell& event) const;

 private:
  std::string line(size_t index, const EventCell& event) const;
  lm::PromptTemplate system_, user_, event_;
  std::map<std::string, std::map<std::string, std::string, std::less<>>, std::less<>> words_;
  std::map<std::string, TextPattern, std::less<>> shorten_;
};

/// A template of an experiment; Error at `at` where it is missing or cannot be one.
lm::PromptTemplate parse_template(const Config& at, const std::string& text);

}  // namespace interplay
