#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/lm/chat.h>
#include <interplay/lm/prompt_template.h>
#include <interplay/lm/tokenizer.h>
#include <interplay/systems/rella.h>

#include "systems/lab/text_pattern.h"

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
  /// Whether `{vector}` says where vectors go: behind each event and behind the row's own item.
  bool has_vectors() const { return event_.names("vector"); }
  /// Messages of system and user that ask about a row with so many past events, the first of them first. `vectors`: the
  /// number that stands for each event's vector, -1 where it has none; the row's own item is 0. Without them `{vector}`
  /// is left out.
  std::vector<lm::ChatMessage> messages(size_t events, const Cell& row, const EventCell& event,
                                        const std::vector<int64_t>* vectors = nullptr) const;

 private:
  std::string line(size_t index, const EventCell& event, const std::vector<int64_t>* vectors) const;
  lm::PromptTemplate system_, user_, event_;
  std::map<std::string, std::map<std::string, std::string, std::less<>>, std::less<>> words_;
  std::map<std::string, TextPattern, std::less<>> shorten_;
};

/// Token ids of messages. A place of vector n becomes the id `vocabulary + n`, beyond all tokens.
std::vector<int64_t> encode_prompt(const lm::ChatFrame& frame, const lm::Tokenizer& tokenizer,
                                   std::span<const lm::ChatMessage> messages);

/// What stands for the vector of an event: 1 + its place among those that have one, ascending; -1: it has none.
template <class Event>
int64_t vector_number(std::span<const Event> events, Event event) {
  const auto found = std::lower_bound(events.begin(), events.end(), event);
  return found == events.end() || *found != event ? -1 : found - events.begin() + 1;
}

/// A prompt of at most so many tokens (0: any number): of a longer one whole events are left out, those first that tell
/// least. `told`: places of events, in the order in which they are told, which may be shortened; `encode` makes tokens
/// of them. Throws Error(data) where a prompt without events is still too long.
std::vector<int64_t> fit_prompt(std::vector<uint32_t>& told, bool nearest_first, int64_t max_tokens,
                                const std::function<std::vector<int64_t>(std::span<const uint32_t> told)>& encode);

/// A template of an experiment; Error at `at` where it is missing or cannot be one.
lm::PromptTemplate needed_template(const Config& at, const std::string& text);

}  // namespace interplay
