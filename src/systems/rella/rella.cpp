#include <interplay/systems/rella.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/section.h>
#include <interplay/data/event_log.h>
#include <interplay/lm/prompt_template.h>
#include <interplay/nn/safetensors.h>

#include "systems/lab/experiment_data.h"
#include "systems/lab/item_vectors.h"
#include "systems/lab/principal_components.h"
#include "systems/rella/rella_text.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

INTERPLAY_SECTION("prompts", RellaOptions, "the prompts of model `rella`, as configs/ml-1m/prompts.yaml");

}  // namespace

struct Rella::State {
  RellaOptions options;
  std::string item;  // the column of the items' names
  std::optional<EventLog> log;
  size_t item_column = 0, topic_column = 0;
  std::vector<uint32_t> event_of_item;  // [items]: one that is about it
  lm::PromptTemplate item_text;
  std::optional<RellaText> text;
  std::map<std::string, size_t, std::less<>> columns;  // of the log, by what texts call them
  uint64_t checksum = 0;

  std::string_view cell(std::string_view name, uint32_t event) const {
    return log->cell(columns.find(name)->second, event);
  }
};

namespace {

void add_columns(const std::vector<std::string>& names, std::vector<std::string>& columns) {
  for (const auto& name : names) {
    if (std::find(columns.begin(), columns.end(), name) == columns.end()) columns.push_back(name);
  }
}

RellaOptions read_experiment(const Config& experiment) {
  RellaOptions o;
  read_options(o, experiment, "ReLLa's experiment");
  if (o.lengths.empty()) experiment["lengths"].fail("expected at least one number of events");
  return o;
}

}  // namespace

Rella::Rella(const Config& experiment, int threads) {
  const auto state = std::make_shared<State>();
  State& s = *state;
  s.options = read_experiment(experiment);
  const RellaOptions& o = s.options;
  const Config data = load_experiment_data(experiment, o.data, o.root), prompt = experiment["prompt"];
  const std::string& item = s.item = EventLog::item_column(data, o.history);

  s.item_text = needed_template(experiment["item_text"], o.item_text);
  const RellaText& text = s.text.emplace(o.prompt, prompt);
  std::vector<std::string> columns = {item};
  if (o.topic.empty()) experiment["topic"].fail("missing; which column is counted in histories?");
  add_columns({o.topic}, columns);
  add_columns(s.item_text.names(), columns);
  add_columns(text.row_names(), columns);
  add_columns(text.event_names(), columns);
  for (const auto& [column, words] : text.words()) {
    if (std::find(columns.begin(), columns.end(), column) == columns.end())
      o.prompt.words[column].fail(
          fmt::format("no text names the column '{}' (columns named: {})", column, fmt::join(columns, ", ")));
  }
  s.log = EventLog::read(data, columns, o.history, threads, o.bad_rows);
  for (const auto& name : columns) s.columns[name] = s.log->column(name);
  for (const auto& [column, words] : text.words()) {
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
    texts.push_back(s.item_text.fill([&](std::string_view name) { return s.text->word(name, s.cell(name, event)); }));
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
  reduced = reduced / reduced.norm(2, 1, true).clamp_min(1e-12);                      // a zero vector stays zero
  const int64_t width = reduced.size(1);
  std::vector<std::string> names;
  for (const uint32_t event : state_->event_of_item) names.emplace_back(item_name(event));
  const ItemVectors items(reduced, std::move(names));
  RetrievedHistories found;
  for (const auto& split : splits) {
    const auto samples = this->samples(split);
    const auto nearest = at::full({int64_t(samples.size()), k}, -1, at::kInt);  // [N, K]
    int32_t* const out = nearest.data_ptr<int32_t>();
    at::parallel_for(0, int64_t(samples.size()), 256, [&](int64_t begin, int64_t end) {
      std::vector<int64_t> past;
      for (int64_t n = begin; n < end; ++n) {
        const auto events = history(samples[size_t(n)]);
        past.clear();
        for (const uint32_t event : events) past.push_back(item(event));
        int32_t* to = out + n * k;
        for (const uint32_t place : items.nearest(item(samples[size_t(n)]), past, k)) *to++ = int32_t(events[place]);
      }
    });
    found.add(split, nearest);
  }
  found.add_items(items.tensors());
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

std::vector<lm::ChatMessage> Rella::prompt(uint32_t sample, std::span<const uint32_t> history,
                                           const std::vector<int64_t>* vectors) const {
  const State& s = *state_;
  return s.text->messages(
      history.size(), [&](std::string_view name) { return s.cell(name, sample); },
      [&](size_t i, std::string_view name) { return s.cell(name, history[i]); }, vectors);
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

void RetrievedHistories::add_items(std::vector<std::pair<std::string, at::Tensor>> tensors) {
  items_ = std::move(tensors);
}

void RetrievedHistories::describe(const std::string& key, const std::string& value) {
  description_.emplace_back(key, value);
}

void RetrievedHistories::save(const fs::path& file) const {
  std::map<std::string, at::Tensor> tensors(splits_.begin(), splits_.end());
  tensors.insert(items_.begin(), items_.end());
  nn::save_safetensors(file, tensors, {description_.begin(), description_.end()});
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
    if (ItemVectors::is_tensor(split)) {
      out.items_.emplace_back(split, events);
      continue;
    }
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
