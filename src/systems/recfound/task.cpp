#include "systems/recfound/task.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/section.h>
#include <interplay/base/with_place.h>
#include <interplay/lm/model_files.h>
#include <interplay/optim/optimizer.h>
#include <interplay/optim/schedule.h>

namespace fs = std::filesystem;

namespace interplay::recfound {
namespace {

using Json = nlohmann::json;

INTERPLAY_SECTION("tune", TuneOptions, "the file of `interplay lm tune`, as configs/recfound/ml-1m.yaml");
INTERPLAY_SECTION("tune", TaskOptions, "an entry of `tasks` of `interplay lm tune`");

/// Keys of a row and whether they may be missing.
const std::vector<std::string> kQueryKeys{"query", "positive", "negatives"}, kPromptKeys{"prompt", "answer"};

std::string text_of(const Json& value, const char* key) {
  INTERPLAY_CHECK_DATA(value.is_string(), "{} is {}; expected a text", key, value.type_name());
  auto text = value.get<std::string>();
  INTERPLAY_CHECK_DATA(!trimmed(text).empty(), "{} is empty; expected a text", key);
  return text;
}

std::vector<std::string> texts_of(const Json& value, const char* key) {
  if (value.is_string()) return {text_of(value, key)};
  INTERPLAY_CHECK_DATA(value.is_array(), "{} is {}; expected a text or a list of texts", key, value.type_name());
  std::vector<std::string> out;
  for (const auto& one : value) out.push_back(text_of(one, key));
  return out;
}

void check_keys(const Json& row, const std::vector<std::string>& known) {
  INTERPLAY_CHECK_DATA(row.is_object(), "a row is {}; expected an object with {}", row.type_name(),
                       fmt::join(known, ", "));
  for (const auto& [key, value] : row.items()) {
    INTERPLAY_CHECK_DATA(std::find(known.begin(), known.end(), key) != known.end(), "unknown key '{}' (keys: {})", key,
                         fmt::join(known, ", "));
  }
  for (const auto& key : known) {
    INTERPLAY_CHECK_DATA(row.contains(key) || key == "negatives", "has no {} (keys: {})", key, fmt::join(known, ", "));
  }
}

void append(TaskRows& rows, const Json& row, lm::TaskFamily family) {
  if (family == lm::TaskFamily::generation) {
    check_keys(row, kPromptKeys);
    rows.prompts.push_back({text_of(row["prompt"], "prompt"), text_of(row["answer"], "answer")});
    return;
  }
  check_keys(row, kQueryKeys);
  QueryRow out{text_of(row["query"], "query"), texts_of(row["positive"], "positive"), {}};
  if (row.contains("negatives")) out.negatives = texts_of(row["negatives"], "negatives");
  INTERPLAY_CHECK_DATA(!out.positives.empty(), "positive is an empty list; expected what the query looks for");
  rows.queries.push_back(std::move(out));
}

/// A path beside the file in which it is written.
std::string beside(const std::string& path, const Config& at) {
  if (path.empty()) return path;
  return fs::absolute(fs::path(at.source()).parent_path() / path).lexically_normal().string();
}

Config required(const TaskOptions& task, const Config& at) {
  if (task.name.empty()) at["name"].fail("missing; by which name is the task told?");
  if (task.name.find_first_of(":/ \t\n") != std::string::npos)
    at["name"].fail(
        fmt::format("'{}': a task's name has no colon, slash or space, so that RUN:NAME says it", task.name));
  if (task.family.empty()) at["family"].fail("missing; expected embedding or generation");
  return at;
}

}  // namespace

TaskRows read_rows(const fs::path& file, lm::TaskFamily family) {
  const std::string all = read_file(file);
  TaskRows out;
  out.checksum = hash64(all);
  int64_t line = 0;
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find('\n', at), all.size());
    const std::string_view text(all.data() + at, end - at);
    at = end + 1, ++line;
    if (trimmed(text).empty()) continue;
    with_place(fmt::format("{}:{}", file.string(), line), [&] {
      try {
        append(out, Json::parse(text), family);
      } catch (const Json::exception& problem) {
        throw Error(fmt::format("is no JSON object: {}", problem.what()), ErrorKind::data);
      }
    });
  }
  INTERPLAY_CHECK_DATA(out.size() > 0, "{}: has no row", file.string());
  return out;
}

Task::Task(const TaskOptions& options, const FrameOptions& frames, const Config& at)
    : options_(options),
      at_(required(options, at)),
      family_(lm::parse_task_family(options.family)),
      frame_text_(!options.frame.empty() ? options.frame
                  : embeds()             ? frames.embedding
                                         : frames.generation),
      frame_(with_place(fmt::format("task '{}'", options.name), [&] { return lm::PromptFrame(frame_text_); })) {
  auto& o = options_;
  if (o.metrics.empty()) o.metrics = {embeds() ? "mrr@20" : "accuracy"};
  for (const auto& name : o.metrics) metrics_.push_back(TaskMetric::parse(name, family_, at["metrics"]));
  if (embeds() && !o.answers.empty()) at["answers"].fail("are of tasks of generation");
  if (o.positive.empty() && !o.answers.empty()) o.positive = o.answers.front();
  const bool f1 = std::any_of(metrics_.begin(), metrics_.end(), [](const auto& m) { return m.kind == "f1"; });
  if (f1 && o.positive.empty()) at["positive"].fail("missing; which answer is f1 of?");
  if (!o.answers.empty() && std::find(o.answers.begin(), o.answers.end(), o.positive) == o.answers.end())
    at["positive"].fail(fmt::format("'{}' is none of the answers ({})", o.positive, fmt::join(o.answers, ", ")));
}

lm::TunedTask Task::tuned() const {
  return {options_.name,
          family_,
          frame_text_,
          options_.instruction,
          options_.passage_instruction,
          options_.max_tokens,
          options_.passage_tokens};
}

const std::string& Task::file_of(const std::string& split) const {
  return split == "train" ? options_.train : split == "valid" ? options_.valid : options_.test;
}

TaskRows Task::rows(const std::string& split) const {
  const std::string& file = file_of(split);
  if (file.empty()) at_[split].fail(fmt::format("missing; task '{}' has no rows of this split", name()));
  TaskRows out = read_rows(file, family_);
  for (size_t i = 0; i < out.prompts.size() && !options_.answers.empty(); ++i) {
    const auto& answer = out.prompts[i].answer;
    INTERPLAY_CHECK_DATA(std::find(options_.answers.begin(), options_.answers.end(), answer) != options_.answers.end(),
                         "{}: row {}: the answer '{}' is none of the task's (answers: {})", file, i + 1, answer,
                         fmt::join(options_.answers, ", "));
  }
  return out;
}

lm::FramedText Task::query(const lm::Tokenizer& tokenizer, const std::string& text) const {
  return frame_.encode(tokenizer, options_.instruction, text, options_.max_tokens);
}

lm::FramedText Task::passage(const lm::Tokenizer& tokenizer, const std::string& text) const {
  return frame_.encode(tokenizer, options_.passage_instruction, text, options_.passage_tokens);
}

std::vector<int64_t> Task::answer(const lm::Tokenizer& tokenizer, const std::string& text) const {
  auto ids = tokenizer.encode(text);
  ids.resize(std::min(ids.size(), size_t(options_.answer_tokens)));
  ids.push_back(tokenizer.end_id());
  return ids;
}

std::vector<Task> read_tasks(const TuneOptions& options, const Config& experiment) {
  std::vector<Task> out;
  std::set<std::string> names;
  const auto places = experiment["tasks"].is_null() ? std::vector<Config>() : experiment["tasks"].items();
  for (size_t i = 0; i < options.tasks.size(); ++i) {
    out.emplace_back(options.tasks[i], options.frames, places[i]);
    if (!names.insert(out.back().name()).second)
      places[i]["name"].fail(fmt::format("'{}' is the name of two tasks", out.back().name()));
  }
  if (out.empty()) experiment["tasks"].fail("names no task; expected a list of them");
  return out;
}

TuneOptions read_tune(const Config& resolved) {
  TuneOptions o;
  read_options(o, resolved, "the file of `lm tune`");
  return o;
}

Config resolve_tune(const Config& experiment) {
  TuneOptions o = read_tune(experiment);
  for (size_t i = 0; i < o.tasks.size(); ++i) {
    const Config at = experiment["tasks"].items()[i];
    for (auto* file : {&o.tasks[i].train, &o.tasks[i].valid, &o.tasks[i].test}) *file = beside(*file, at);
  }
  read_tasks(o, experiment);  // names, frames and metrics, where they are written
  if (fs::exists(o.lm)) o.lm = fs::absolute(o.lm).lexically_normal().string();
  if (o.optimizer.is_map() && !o.optimizer["schedule"].is_null())
    o.optimizer["schedule"].fail("is of the whole file here: `schedule:`, beside `optimizer:`");
  Config groups;
  groups.set_key("dense", o.optimizer);
  o.optimizer = Optimizer::resolve(groups)["dense"];
  o.schedule = schedules().resolve(o.schedule);
  return write_options(o);
}

}  // namespace interplay::recfound
