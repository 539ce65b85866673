// interplay predict RUN INPUT --out FILE: P(click) of raw rows.
#include <filesystem>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/event_history.h>
#include <interplay/data/open_raw.h>
#include <interplay/data/table_writer.h>
#include <interplay/serve/scorer.h>

#include "command.h"

namespace interplay::tool {
namespace {

struct Arguments {
  std::string run, out;
  std::vector<std::string> inputs, ids, events;
  int64_t batch_size = 4096;
  bool logit = false;
};

std::vector<std::filesystem::path> files_of(const std::vector<std::string>& patterns) {
  std::vector<std::filesystem::path> files;
  for (const auto& pattern : patterns) {
    const auto some = expand_glob(pattern);
    files.insert(files.end(), some.begin(), some.end());
  }
  return files;
}

/// Histories of the input rows from files of events; a first pass over the input says whose and when.
std::unique_ptr<EventHistory> read_history(const Arguments& a, const Schema& schema, ReadRequest request) {
  if (a.events.empty()) return nullptr;
  auto history = std::make_unique<EventHistory>(schema);
  history->add_events(files_of(a.events));
  request.columns = history->row_columns();
  const auto reader = open_raw(schema, request);
  for (RawBatch batch; reader->next(batch);) history->add_rows(batch);
  history->finish();
  return history;
}

void predict_file(const Arguments& a) {
  const Scorer scorer = Scorer::load(a.run);
  ReadRequest request;
  request.files = files_of(a.inputs);
  request.bad_rows = std::make_shared<BadRows>();
  request.batch_rows = a.batch_size;
  const auto history = read_history(a, scorer.schema(), request);
  const auto reader = open_raw(scorer.schema(), request);

  std::vector<TableWriter::Column> columns;
  for (const auto& id : a.ids) columns.push_back({id, TableWriter::Kind::text});
  const auto& labels = scorer.schema().labels();
  const size_t targets = std::max<size_t>(1, labels.size());
  for (size_t t = 0; t < targets; ++t) {
    columns.push_back(
        {std::string(a.logit ? "logit" : "p") + (targets > 1 ? "_" + labels[t] : ""), TableWriter::Kind::float32});
  }
  TableWriter out(a.out, columns);
  Progress progress("predict", reader->bytes_total(), "bytes");
  int64_t done = 0;
  for (RawBatch batch; reader->next(batch);) {
    if (history) history->append(batch);
    const auto scores = a.logit ? scorer.logits(batch) : scorer.score(batch);
    std::vector<std::vector<float>> each(targets);
    for (size_t i = 0; i < scores.size(); ++i) each[i % targets].push_back(scores[i]);
    std::vector<TableWriter::Values> values;
    for (const auto& id : a.ids) values.emplace_back(batch.column(id));
    for (const auto& e : each) values.emplace_back(std::span<const float>(e));
    out.write(values);
    progress.add(reader->bytes_done() - done);
    done = reader->bytes_done();
  }
  out.close();
  fmt::print("{}: {} rows in {}, {} rows/s\n", a.out, out.rows(), human_seconds(progress.seconds()),
             human_count(double(out.rows()) / progress.seconds()));
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("RUN", a->run, "run directory")->required();
  app.add_option("INPUT", a->inputs, "raw rows, in the format the data were prepared from; labels are not needed")
      ->required();
  app.add_option("--out", a->out, "file to write: .csv, .tsv or .parquet")->required();
  app.add_option("--ids", a->ids, "columns passed through, as user_id,item_id")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--history", a->events,
                 "files of past events, in the same format: histories are derived from them, as prepare does");
  app.add_flag("--logit", a->logit, "logits instead of probabilities");
  app.add_option("--batch-size", a->batch_size, "rows a batch")->capture_default_str()->check(at_least(1));
  return [a] { predict_file(*a); };
}

const AddCommand command("predict", "P(click) of raw rows", add);

}  // namespace
}  // namespace interplay::tool
