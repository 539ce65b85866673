// interplay lm eval: what a model makes of tasks.
#include <algorithm>
#include <optional>
#include <unordered_map>

#include <ATen/ATen.h>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/lm/generator.h>
#include <interplay/lm/model_files.h>
#include <interplay/systems/recfound.h>

#include "systems/recfound/tuned_run.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

using namespace recfound;

constexpr int64_t kBatchTokens = 4096;

/// The model that is judged and the tasks it is judged by.
struct Judged {
  TuneOptions options;
  std::vector<Task> tasks;
  std::vector<int64_t> numbers;  // of the tasks in the model
  lm::TunedDecoder model;
  std::shared_ptr<const lm::Tokenizer> tokenizer;
};

Judged open(const std::string& name, const TaskEvaluationOptions& o) {
  const auto tuned = lm::TunedFolder::find(name);
  INTERPLAY_CHECK(tuned || !o.tasks.empty(), "{}: is no run of `interplay lm tune`; --tasks says what it is judged by",
                  name);
  INTERPLAY_CHECK(!tuned || !tuned->task, "{}: all its tasks are told; leave :{} away", name, tuned->selection());
  const Config file = o.tasks.empty() ? Config::load(tuned->folder / Bundle::kConfig) : Config::load(o.tasks);
  const Config resolved = resolve_tune(file);
  TuneOptions options = read_tune(resolved);
  auto tasks = read_tasks(options, resolved);
  const auto precision = nn::parse_precision(o.precision.empty() ? options.precision : o.precision);
  lm::TunedDecoder model = tuned ? lm::TunedDecoder::load(*tuned, precision)
                                 : lm::TunedDecoder(lm::load_decoder(lm::find_model(name), precision), nullptr);
  const fs::path base = tuned ? tuned->model() : lm::find_model(name);
  model.decoder()->read_packed(base);
  std::vector<int64_t> numbers;
  for (const auto& task : tasks) {
    int64_t number = lm::TaskRouterImpl::kNone;
    for (size_t t = 0; tuned && t < tuned->tasks.size(); ++t) {
      if (tuned->tasks[t].name == task.name() && tuned->tasks[t].family == task.family()) number = int64_t(t);
    }
    numbers.push_back(number);
  }
  return {std::move(options), std::move(tasks), std::move(numbers), std::move(model), lm::Tokenizer::load(base)};
}

/// Vectors of texts, each distinct one read once.
class Vectors {
 public:
  Vectors(Judged& judged, size_t task, bool passages) : judged_(judged), task_(task), passages_(passages) {}

  void add(const std::string& text) {
    if (place_.emplace(text, int64_t(texts_.size())).second) texts_.push_back(text);
  }
  void read() {
    const Task& task = judged_.tasks[task_];
    std::vector<lm::FramedText> framed;
    for (const auto& text : texts_)
      framed.push_back(passages_ ? task.passage(*judged_.tokenizer, text) : task.query(*judged_.tokenizer, text));
    vectors_ = lm::vectors_of_task(judged_.model, framed, judged_.numbers[task_], kBatchTokens);
  }
  at::Tensor of(const std::string& text) const { return vectors_[place_.at(text)]; }

 private:
  Judged& judged_;
  size_t task_;
  bool passages_;
  std::unordered_map<std::string, int64_t> place_;
  std::vector<std::string> texts_;
  at::Tensor vectors_;
};

void judge_vectors(Judged& judged, size_t t, const TaskRows& rows, TaskEvaluation::Task& out) {
  Vectors queries(judged, t, false), passages(judged, t, true);
  for (size_t i = 0; i < rows.queries.size(); ++i) {
    const auto& row = rows.queries[i];
    INTERPLAY_CHECK_DATA(!row.negatives.empty(),
                         "task '{}': row {} has no negatives, which its positives are to be told from",
                         judged.tasks[t].name(), i + 1);
    queries.add(row.query);
    for (const auto* const side : {&row.positives, &row.negatives})
      for (const auto& text : *side) passages.add(text);
  }
  queries.read();
  passages.read();
  std::vector<RankedRow> found;
  for (const auto& row : rows.queries) {
    const auto query = queries.of(row.query);
    std::vector<float> scores;
    for (const auto* const side : {&row.positives, &row.negatives})
      for (const auto& text : *side) scores.push_back(query.dot(passages.of(text)).item<float>());
    found.push_back(ranked(scores, int64_t(row.positives.size())));
  }
  for (const auto& metric : judged.tasks[t].metrics())
    out.metrics.emplace_back(metric.name, ranking_value(metric, found));
}

void judge_answers(Judged& judged, size_t t, const TaskRows& rows, TaskEvaluation::Task& out, bool progress) {
  const Task& task = judged.tasks[t];
  judged.model.focus(judged.numbers[t]);
  lm::DecoderGenerator generator(judged.model.decoder(), judged.tokenizer, task.name());
  std::vector<lm::LmPrompt> prompts;
  for (const auto& row : rows.prompts) prompts.push_back({task.query(*judged.tokenizer, row.prompt).ids});
  lm::GenerateOptions how;
  how.max_tokens = task.options().answer_tokens, how.progress = progress;
  std::vector<Answered> found;
  const auto answers = generator.generate(prompts, how);
  for (size_t i = 0; i < answers.size(); ++i)
    found.push_back({trimmed(answers[i].text), trimmed(rows.prompts[i].answer)});
  for (const auto& metric : task.metrics()) {
    out.metrics.emplace_back(metric.name, answer_value(metric, found, task.options().answers, task.options().positive));
  }
}

}  // namespace

TaskEvaluation evaluate_tasks(const std::string& model, const TaskEvaluationOptions& o) {
  const at::NoGradGuard off;
  Judged judged = open(model, o);
  TaskEvaluation out;
  out.model = model;
  std::optional<Progress> progress;
  if (o.progress) progress.emplace("judge " + model, int64_t(judged.tasks.size()), "tasks");
  for (size_t t = 0; t < judged.tasks.size(); ++t) {
    const Task& task = judged.tasks[t];
    if (!task.has(o.split)) continue;
    TaskRows rows = task.rows(o.split);
    if (o.rows > 0) {
      rows.queries.resize(std::min(rows.queries.size(), size_t(o.rows)));
      rows.prompts.resize(std::min(rows.prompts.size(), size_t(o.rows)));
    }
    TaskEvaluation::Task one{task.name(), lm::to_string(task.family()), rows.size(), {}};
    task.embeds() ? judge_vectors(judged, t, rows, one) : judge_answers(judged, t, rows, one, false);
    out.tasks.push_back(std::move(one));
    if (progress) progress->add(1, task.name());
  }
  INTERPLAY_CHECK(!out.tasks.empty(), "{}: no task has a file of {} rows", model, o.split);
  return out;
}

std::vector<std::vector<double>> task_ranks(const std::vector<TaskEvaluation>& models) {
  std::vector<std::vector<double>> out(models.size());
  if (models.empty()) return out;
  for (size_t t = 0; t < models[0].tasks.size(); ++t) {
    std::vector<double> values;
    for (const auto& model : models) {
      INTERPLAY_CHECK(model.tasks.size() == models[0].tasks.size() && model.tasks[t].name == models[0].tasks[t].name,
                      "{} and {}: were judged by other tasks; give both --tasks", models[0].model, model.model);
      values.push_back(model.tasks[t].metrics[0].second);
    }
    for (size_t m = 0; m < values.size(); ++m) {
      double above = 0, equal = 0;
      for (const double other : values) above += other > values[m], equal += other == values[m];
      out[m].push_back(above + (equal + 1) / 2);
    }
  }
  return out;
}

}  // namespace interplay
