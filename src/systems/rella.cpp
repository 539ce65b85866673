#include <interplay/systems/rella.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <Eigen/Core>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/section.h>
#include <interplay/lm/prompt_template.h>
#include <interplay/nn/safetensors.h>

#include "data/event_log.h"
#include "systems/pca.h"
#include "systems/text_pattern.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

INTERPLAY_SECTION("prompts", RellaOptions, "the prompts of model `rella`, as configs/ml-1m/prompts.yaml");

/// A template and the columns of the log that fill its places.
struct Filled {
  lm::PromptTemplate text;
  std::map<std::string, size_t, std::less<>> columns;
};

}  // namespace

struct Rella::State {
  RellaOptions options;
  std::string item;  // the column of the items' names
  std::optional<EventLog> log;
  size_t item_column = 0, topic_column = 0;
  std::vector<uint32_t> event_of_item;  // [items]: one that is about it
  Filled item_text, system, user, event;
  std::map<std::string, std::map<std::string, std::string, std::less<>>, std::less<>> words;
  std::map<std::string, TextPattern, std::less<>> shorten;
  uint64_t checksum = 0;

  std::string value(const Filled& filled, std::string_view name, uint32_t event_row) const {
    const auto cell = std::string(log->cell(filled.columns.find(name)->second, event_row));
    const auto known = words.find(name);
    if (known == words.end()) return cell;
    const auto word = known->second.find(cell);
    return word == known->second.end() ? cell : word->second;
  }

  /// Of the event at place `index` of a history.
  std::string line(size_t index, uint32_t event_row) const {
    return event.text.fill([&](std::string_view name) {
      if (name == "index") return std::to_string(index + 1);
      const auto cut = shorten.find(name);
      const auto whole = value(event, name, event_row);
      return cut == shorten.end() ? whole : cut->second.without_matches(whole);
    });
  }
};

namespace {

lm::PromptTemplate parse_template(const Config& at, const std::string& text) {
  if (text.empty()) at.fail("missing; a text is needed here");
  try {
    return lm::PromptTemplate(text);
  } catch (const Error& problem) {
    at.fail(problem.what());
  }
}

void add_columns(const lm::PromptTemplate& text, const std::set<std::string>& own, std::vector<std::string>& columns) {
  for (const auto& name : text.names()) {
    if (!own.contains(name) && std::find(columns.begin(), columns.end(), name) == columns.end())
      columns.push_back(name);
  }
}

RellaOptions read_experiment(const Config& experiment) {
  RellaOptions o;
  read_options(o, experiment, "ReLLa's experiment");
  if (o.data.empty()) experiment["data"].fail("missing; which data.yaml says what the events are?");
  if (o.lengths.empty()) experiment["lengths"].fail("expected at least one number of events");
  return o;
}

Config load_data(const Config& experiment, const RellaOptions& o) {
  const fs::path source = experiment.source();
  const fs::path file = fs::path(o.data).is_absolute() ? fs::path(o.data) : source.parent_path() / o.data;
  Config data = Config::load(file);
  if (!o.root.empty()) data.set("root", Config::scalar(fs::absolute(source.parent_path() / o.root).string(), true));
  return data;
}

}  // namespace

Rella::Rella(const Config& experiment, int threads) {
  const auto state = std::make_shared<State>();
  State& s = *state;
  s.options = read_experiment(experiment);
  const RellaOptions& o = s.options;
  const Config data = load_data(experiment, o), prompt = experiment["prompt"];
  const std::string& item = s.item = EventLog::item_column(data, o.history);

  s.item_text.text = parse_template(experiment["item_text"], o.item_text);
  s.system.text = parse_template(prompt["system"], o.prompt.system);
  s.user.text = parse_template(prompt["user"], o.prompt.user);
  s.event.text = parse_template(prompt["event"], o.prompt.event);
  if (!s.user.text.names("history")) prompt["user"].fail("has no {history}: where do the events go?");
  std::vector<std::string> columns = {item};
  if (o.topic.empty()) experiment["topic"].fail("missing; which column is counted in histories?");
  if (o.topic != item) columns.push_back(o.topic);
  add_columns(s.item_text.text, {}, columns);
  add_columns(s.system.text, {}, columns);
  add_columns(s.user.text, {"history"}, columns);
  add_columns(s.event.text, {"index"}, columns);
  for (const auto& column : o.prompt.words.keys()) {
    const Config words = o.prompt.words[column];
    if (std::find(columns.begin(), columns.end(), column) == columns.end())
      words.fail(fmt::format("no text names the column '{}' (columns named: {})", column, fmt::join(columns, ", ")));
    for (const auto& value : words.keys()) s.words[column][value] = words[value].as<std::string>();
  }
  for (const auto& column : o.prompt.shorten.keys()) {
    const Config cut = o.prompt.shorten[column];
    if (!s.event.text.names(column))
      cut.fail(fmt::format("prompt.event does not name the column '{}' (columns named: {})", column,
                           fmt::join(s.event.text.names(), ", ")));
    try {
      s.shorten.emplace(column, cut.as<std::string>());
    } catch (const Error& problem) {
      cut.fail(problem.what());
    }
  }
  s.log = EventLog::read(data, columns, o.history, threads, o.bad_rows);
  for (Filled* filled : {&s.item_text, &s.system, &s.user, &s.event}) {
    for (const auto& name : filled->text.names()) {
      if (std::find(columns.begin(), columns.end(), name) != columns.end()) filled->columns[name] = s.log->column(name);
    }
  }
  for (const auto& [column, words] : s.words) {
    std::set<std::string_view> values;
    const size_t place = s.log->column(column);
    for (uint32_t code = 1; code < s.log->tokens(place); ++code) values.insert(s.log->token(place, code));
    const bool any =
        std::any_of(words.begin(), words.end(), [&](const auto& word) { return values.contains(word.first); });
    if (!any)
      prompt["words"][column].fail(fmt::format("none of its values ({}) is one of the column's, as '{}'",
                                               fmt::join(prompt["words"][column].keys(), ", "),
                                               values.empty() ? "" : *values.begin()));
  }
  s.item_column = s.log->column(item);
  s.topic_column = s.log->column(o.topic);
  s.event_of_item.resize(size_t(s.log->tokens(s.item_column)) - 1);
  for (int64_t event = s.log->events() - 1; event >= 0; --event) {
    const uint32_t code = s.log->code(s.item_column, uint32_t(event));
    if (code > 0) s.event_of_item[code - 1] = uint32_t(event);
  }
  s.checksum = s.log->checksum();
  state_ = state;
  for (const auto& text : item_texts()) s.checksum = hash64(text, s.checksum);
}

const RellaOptions& Rella::options() const { return state_->options; }
std::span<const uint32_t> Rella::samples(std::string_view split) const { return state_->log->samples(split); }
int64_t Rella::events() const { return state_->log->events(); }
float Rella::label(uint32_t event) const { return state_->log->label(event); }
std::span<const uint32_t> Rella::history(uint32_t event) const { return state_->log->history(event); }
uint64_t Rella::checksum() const { return state_->checksum; }
int64_t Rella::items() const { return int64_t(state_->event_of_item.size()); }

std::span<const uint32_t> Rella::recent(uint32_t event, int64_t k) const {
  const auto all = history(event);
  return all.last(std::min(all.size(), size_t(k)));
}

int64_t Rella::item(uint32_t event) const { return int64_t(state_->log->code(state_->item_column, event)) - 1; }

const std::string& Rella::item_column() const { return state_->item; }
std::string_view Rella::item_name(uint32_t event) const { return state_->log->cell(state_->item_column, event); }

std::vector<std::string> Rella::item_texts() const {
  const State& s = *state_;
  std::vector<std::string> texts;
  for (const uint32_t event : s.event_of_item) {
    texts.push_back(s.item_text.text.fill([&](std::string_view name) { return s.value(s.item_text, name, event); }));
  }
  return texts;
}

int64_t Rella::topics(std::span<const uint32_t> events) const {
  std::vector<uint32_t> codes;
  for (const uint32_t event : events) codes.push_back(state_->log->code(state_->topic_column, event));
  std::sort(codes.begin(), codes.end());
  return std::unique(codes.begin(), codes.end()) - codes.begin();
}

RetrievedHistories Rella::retrieve(const at::Tensor& vectors, const std::vector<std::string>& splits, int64_t k) const {
  INTERPLAY_CHECK(vectors.dim() == 2 && vectors.size(0) == items(),
                  "retrieval needs one vector for each of {} items, found a tensor of shape [{}]", items(),
                  fmt::join(vectors.sizes(), ", "));
  auto reduced = principal_components(vectors, state_->options.retrieval.dimension);  // [items, D']
  reduced = (reduced / reduced.norm(2, 1, true).clamp_min(1e-12)).contiguous();       // a zero vector stays zero
  const int64_t width = reduced.size(1);
  const Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> v(
      reduced.data_ptr<float>(), items(), width);
  RetrievedHistories found;
  for (const auto& split : splits) {
    const auto samples = this->samples(split);
    const auto nearest = at::full({int64_t(samples.size()), k}, -1, at::kInt);  // [N, K]
    int32_t* const out = nearest.data_ptr<int32_t>();
    at::parallel_for(0, int64_t(samples.size()), 256, [&](int64_t begin, int64_t end) {
      std::vector<std::pair<float, uint32_t>> near;  // similarity, event
      for (int64_t n = begin; n < end; ++n) {
        const int64_t target = item(samples[size_t(n)]);
        const auto past = history(samples[size_t(n)]);
        near.clear();
        for (size_t i = 0; i < past.size(); ++i) {
          const int64_t other = item(past[i]);
          near.emplace_back(target < 0 || other < 0 ? 0.0f : v.row(target).dot(v.row(other)), uint32_t(i));
        }
        const auto last = near.begin() + std::min<int64_t>(k, int64_t(near.size()));
        std::partial_sort(near.begin(), last, near.end(), std::greater<>());  // equally near: the later first
        for (auto it = near.begin(); it != last; ++it) out[n * k + (it - near.begin())] = int32_t(past[it->second]);
      }
    });
    found.add(split, nearest);
  }
  found.describe("data", fmt::format("{:016x}", checksum()));
  found.describe("dimension", std::to_string(width));
  return found;
}

std::vector<uint32_t> Rella::ordered(uint32_t sample, std::span<const int32_t> nearest) const {
  if (state_->options.retrieval.order == "similarity") return {nearest.begin(), nearest.end()};
  std::vector<uint32_t> events;
  for (const uint32_t event : history(sample)) {
    if (std::find(nearest.begin(), nearest.end(), int32_t(event)) != nearest.end()) events.push_back(event);
  }
  return events;
}

std::vector<lm::ChatMessage> Rella::prompt(uint32_t sample, std::span<const uint32_t> history) const {
  const State& s = *state_;
  std::string lines;
  for (size_t i = 0; i < history.size(); ++i) {
    if (i > 0) lines += "\n";
    lines += s.line(i, history[i]);
  }
  const auto of_row = [&](const Filled& filled) {
    return filled.text.fill([&](std::string_view name) {
      return name == "history" && &filled == &s.user ? lines : s.value(filled, name, sample);
    });
  };
  return {{"system", of_row(s.system)}, {"user", of_row(s.user)}};
}

bool RetrievedHistories::has(std::string_view split) const {
  return std::any_of(splits_.begin(), splits_.end(), [&](const auto& entry) { return entry.first == split; });
}

std::span<const int32_t> RetrievedHistories::nearest(std::string_view split, int64_t sample, int64_t k) const {
  INTERPLAY_CHECK(k <= length_, "{} events of a sample are asked for, but {} were retrieved; retrieve that many", k,
                  length_);
  for (const auto& [name, events] : splits_) {
    if (name != split) continue;
    INTERPLAY_ASSERT(sample >= 0 && sample < events.size(0));
    const int32_t* const row = events.data_ptr<int32_t>() + sample * length_;
    return {row, size_t(std::find(row, row + k, -1) - row)};
  }
  std::vector<std::string> names;
  for (const auto& entry : splits_) names.push_back(entry.first);
  throw Error(fmt::format("no histories of split '{}' were retrieved (splits: {})", split, fmt::join(names, ", ")));
}

void RetrievedHistories::add(const std::string& split, at::Tensor events) {
  INTERPLAY_ASSERT(events.dim() == 2 && events.scalar_type() == at::kInt);
  length_ = events.size(1);
  splits_.emplace_back(split, events.contiguous());
}

void RetrievedHistories::describe(const std::string& key, const std::string& value) {
  description_.emplace_back(key, value);
}

void RetrievedHistories::save(const fs::path& file) const {
  nn::save_safetensors(file, {splits_.begin(), splits_.end()}, {description_.begin(), description_.end()});
}

RetrievedHistories RetrievedHistories::load(const fs::path& file, const Rella& rella) {
  const nn::Safetensors stored(file);
  stored.check();
  RetrievedHistories out;
  const auto data = stored.metadata().find("data");
  const auto check = [&](bool good, const std::string& what) {
    INTERPLAY_CHECK_DATA(good, "{}: {}; run `interplay lm retrieve` again", file.string(), what);
  };
  check(data != stored.metadata().end() && data->second == fmt::format("{:016x}", rella.checksum()),
        "these histories are of other data, or of items with other texts");
  for (const auto& [split, events] : stored.tensors()) {
    check(events.dim() == 2 && events.scalar_type() == at::kInt && events.size(1) > 0 &&
              events.size(0) == int64_t(rella.samples(split).size()),
          fmt::format("'{}' is no table of the events of that split", split));
    check(events.numel() == 0 || (events.min().item<int32_t>() >= -1 && events.max().item<int32_t>() < rella.events()),
          fmt::format("'{}' names events that there are not", split));
    check(out.length_ == 0 || out.length_ == events.size(1), "its splits have different numbers of events");
    out.add(split, events);
  }
  for (const auto& entry : stored.metadata()) out.description_.emplace_back(entry);
  return out;
}

}  // namespace interplay
