#include "systems/recfound/tune_data.h"

#include <algorithm>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/random.h>

namespace interplay::recfound {

TuneData::TuneData(const TuneOptions& options, const std::vector<Task>& tasks,
                   std::shared_ptr<const lm::Tokenizer> tokenizer)
    : options_(options), tasks_(tasks), tokenizer_(std::move(tokenizer)) {
  valid_queries_.resize(tasks.size()), valid_prompts_.resize(tasks.size());
  for (size_t t = 0; t < tasks_.size(); ++t) {
    train_.push_back(tasks_[t].rows("train"));
    check_negatives(tasks_[t], train_[t], "train");
    checksum_ = hash64(fmt::format("{} {:016x}", tasks_[t].name(), train_[t].checksum), checksum_);
    if (tasks_[t].has("valid") && options_.sampling.valid_batches > 0) watch(int64_t(t));
    INTERPLAY_CHECK(options_.sampling.by == "size" || is_watched(t),
                    "task '{}' has no valid rows, whose loss S2Sched goes by; give a file, or say sampling.by: size",
                    tasks_[t].name());
  }
}

void TuneData::watch(int64_t task) {
  const auto t = size_t(task);
  const TaskRows valid = tasks_[t].rows("valid");
  check_negatives(tasks_[t], valid, "valid");
  checksum_ = hash64(fmt::format("{:016x}", valid.checksum), checksum_);
  const int64_t count = std::min(options_.sampling.valid_rows, valid.size());
  for (int64_t i = 0; i < count; ++i) {
    if (tasks_[t].embeds()) {
      auto row = texts_of(task, valid.queries[size_t(i)], 0, uint64_t(i));
      cut_ += row.query.cut;
      for (const auto& passage : row.passages) cut_ += passage.cut;
      valid_queries_[t].push_back(std::move(row));
    } else {
      cut_ += tasks_[t].query(*tokenizer_, valid.prompts[size_t(i)].prompt).cut;
      valid_prompts_[t].push_back(tokens_of(task, valid.prompts[size_t(i)]));
    }
  }
}

void TuneData::check_negatives(const Task& task, const TaskRows& rows, const char* split) const {
  const int64_t wanted = options_.batch.group - 1;
  for (size_t i = 0; i < rows.queries.size() && wanted > 0; ++i) {
    INTERPLAY_CHECK_DATA(!rows.queries[i].negatives.empty(),
                         "task '{}': row {} of {} has no negatives; batch.group: {} asks for {} of them", task.name(),
                         i + 1, split, options_.batch.group, wanted);
  }
}

QueryTexts TuneData::texts_of(int64_t task, const QueryRow& row, uint64_t step, uint64_t place) const {
  const Task& t = tasks_[size_t(task)];
  const auto draw = [&](uint64_t what, size_t count) {
    return size_t(random_bits(uint64_t(options_.seed), step, place * 2 + what) % count);
  };
  QueryTexts out{task, t.query(*tokenizer_, row.query), {}};
  out.passages.push_back(t.passage(*tokenizer_, row.positives[draw(0, row.positives.size())]));
  // distinct as far as there are enough
  const size_t count = row.negatives.size(), first = count > 0 ? draw(1, count) : 0;
  for (int64_t k = 1; k < options_.batch.group; ++k)
    out.passages.push_back(t.passage(*tokenizer_, row.negatives[(first + size_t(k) - 1) % count]));
  return out;
}

PromptTokens TuneData::tokens_of(int64_t task, const PromptRow& row) const {
  const Task& t = tasks_[size_t(task)];
  const auto answer = t.answer(*tokenizer_, row.answer);
  PromptTokens out{task, t.query(*tokenizer_, row.prompt).ids, int64_t(answer.size())};
  out.ids.insert(out.ids.end(), answer.begin(), answer.end());
  return out;
}

QueryTexts TuneData::query(int64_t task, int64_t row, int64_t step, int64_t place) const {
  return texts_of(task, train_[size_t(task)].queries[size_t(row)], uint64_t(step), uint64_t(place));
}

PromptTokens TuneData::prompt(int64_t task, int64_t row) const {
  return tokens_of(task, train_[size_t(task)].prompts[size_t(row)]);
}

}  // namespace interplay::recfound
