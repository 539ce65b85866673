#include "systems/autograph/node_texts.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include <interplay/base/error.h>

#include "systems/lab/parse_template.h"
#include "systems/lab/text_pattern.h"

namespace interplay::autograph {
namespace {

/// One taste: counts values of a column, user by user.
class Taste {
 public:
  Taste(const std::string& name, const Config& at, const lm::PromptTemplate& text) {
    read_options(o_, at);
    if (o_.column.empty()) o_.column = name;
    if (!text.names(name))
      at.fail(fmt::format("the template has no {{{}}} (places: {})", name, fmt::join(text.names(), ", ")));
    if (!o_.shorten.empty()) pattern_.emplace(o_.shorten, at["shorten"]);
  }
  const std::string& column() const { return o_.column; }

  void add(size_t node, std::string_view cell) {
    if (counts_.size() <= node) counts_.resize(node + 1);
    for (;;) {
      const size_t end = o_.separator.empty() ? cell.npos : cell.find(o_.separator);
      const auto part = cell.substr(0, end);
      std::string value = pattern_ ? pattern_->without_matches(part) : std::string(part);
      if (!value.empty()) ++counts_[node][value], ++of_all_[value];
      if (end == cell.npos) return;
      cell.remove_prefix(end + o_.separator.size());
    }
  }
  /// "Drama, Comedy": the most frequent first; of equally frequent ones what is more frequent with all, then by name.
  std::string of(size_t node, const std::function<std::string(const std::string&)>& word) const {
    if (node >= counts_.size()) return "";
    std::vector<std::pair<std::string, int64_t>> by(counts_[node].begin(), counts_[node].end());
    const auto rank = [&](const auto& value) { return std::pair(value.second, of_all_.at(value.first)); };
    std::stable_sort(by.begin(), by.end(), [&](const auto& a, const auto& b) { return rank(a) > rank(b); });
    std::string out;
    for (size_t i = 0; i < by.size() && int64_t(i) < o_.most; ++i)
      out += (i ? ", " : "") + word(by[i].first) + o_.after;
    return out;
  }

 private:
  TasteOptions o_;
  std::optional<TextPattern> pattern_;
  std::vector<std::map<std::string, int64_t>> counts_;  // by node
  std::map<std::string, int64_t> of_all_;
};

std::map<std::string, Taste> tastes_of(const NodeOptions& o, const lm::PromptTemplate& text) {
  std::map<std::string, Taste> out;
  for (const auto& name : o.taste.keys()) out.emplace(name, Taste(name, o.taste[name], text));
  return out;
}

using Words = std::map<std::string, std::map<std::string, std::string>, std::less<>>;

Words words_of(const NodeOptions& o, const lm::PromptTemplate& text) {
  Words out;
  for (const auto& name : o.words.keys()) {
    const Config words = o.words[name];
    if (!text.names(name))
      words.fail(fmt::format("the template has no {{{}}} (places: {})", name, fmt::join(text.names(), ", ")));
    for (const auto& value : words.keys()) out[name][value] = words[value].as<std::string>();
  }
  return out;
}

}  // namespace

std::vector<std::string> NodeTexts::columns(const NodeOptions& o, const Config& at) {
  const auto text = parse_template(at["template"], o.text);
  std::vector<std::string> out{o.field};
  const auto add = [&](const std::string& name) {
    if (!name.empty() && std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  };
  const auto tastes = tastes_of(o, text);
  for (const auto& [name, taste] : tastes) add(taste.column());
  for (const auto& name : text.names()) {
    if (!tastes.contains(name)) add(name);
  }
  add(o.title);
  return out;
}

NodeTexts::NodeTexts(const EventLog& log, const NodeOptions& o, const Config& at) {
  const auto text = parse_template(at["template"], o.text);
  auto tastes = tastes_of(o, text);
  const Words words = words_of(o, text);
  const auto word = [&](std::string_view name, std::string value) {
    const auto of = words.find(name);
    if (of == words.end()) return value;
    const auto known = of->second.find(value);
    return known == of->second.end() ? value : known->second;
  };
  const size_t key = log.column(o.field), title = log.column(o.title.empty() ? o.field : o.title);
  std::unordered_map<uint32_t, size_t> place;  // of a value's code
  std::vector<uint32_t> first;                 // event in which it comes first
  for (const uint32_t event : log.samples("train")) {
    const uint32_t code = log.code(key, event);
    if (log.token(key, code).empty()) continue;
    const auto [it, fresh] = place.emplace(code, keys_.size());
    if (fresh) {
      keys_.emplace_back(log.token(key, code));
      titles_.emplace_back(log.cell(title, event));
      first.push_back(event);
    }
    if (log.label(event) < 0.5f) continue;
    for (auto& [name, taste] : tastes) taste.add(it->second, log.cell(log.column(taste.column()), event));
  }
  if (o.text.empty()) return;
  for (size_t i = 0; i < keys_.size(); ++i) {
    texts_.push_back(text.fill([&](std::string_view name) {
      const auto taste = tastes.find(std::string(name));
      if (taste != tastes.end())
        return taste->second.of(i, [&](const std::string& value) { return word(name, value); });
      return word(name, std::string(log.cell(log.column(name), first[i])));
    }));
  }
}

}  // namespace interplay::autograph
