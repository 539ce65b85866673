// interplay predict RUN INPUT --out FILE: P(click) of raw rows.
#include <algorithm>
#include <cmath>
#include <cstdlib>
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
  std::string run, out, score_name;
  std::vector<std::string> inputs, ids, events;
  int64_t batch_size = 4096;
  bool logit = false, force = false;
};

/// Refuses to write over what is read; over anything else, unless --force says so.
void check_target(const Arguments& a) {
  check_out(a.out, a.force);
  std::error_code ignored;
  for (const auto* patterns : {&a.inputs, &a.events}) {
    for (const auto& pattern : *patterns) {
      if (!std::filesystem::equivalent(pattern, a.out, ignored)) continue;
      throw Error(fmt::format("--out {}: is the input itself; give another --out", a.out));
    }
  }
}

/// Columns of scores: `p` or `logit` unless --score-name says otherwise, with the label's name where there are several.
std::vector<std::string> score_columns(const Arguments& a, const std::vector<std::string>& labels) {
  const auto taken = [&](const std::string& name) {
    return std::find(a.ids.begin(), a.ids.end(), name) != a.ids.end();
  };
  const auto names = [&](const std::string& base) {
    std::vector<std::string> out{base};
    if (labels.size() > 1) out.clear();
    for (size_t t = 0; labels.size() > 1 && t < labels.size(); ++t) out.push_back(base + "_" + labels[t]);
    return out;
  };
  std::string base = !a.score_name.empty() ? a.score_name : a.logit ? "logit" : "p";
  auto out = names(base);
  if (std::none_of(out.begin(), out.end(), taken)) return out;
  if (a.score_name.empty()) {
    out = names("score");
    if (std::none_of(out.begin(), out.end(), taken)) {
      log::info("--ids has a column {} already: the scores are in column {} (--score-name gives them another)", base,
                fmt::join(out, ", "));
      return out;
    }
  }
  throw Error(fmt::format("--ids: '{}' is the name of the scores' column too; give that another with --score-name NAME",
                          *std::find_if(out.begin(), out.end(), taken)));
}

/// The number of a row that is farthest from 0, as column and cell: what makes a score overflow.
std::string largest_number(const Scorer& scorer, const RawBatch& batch, int64_t row) {
  double largest = 0;
  std::string text;
  for (const auto& name : scorer.columns()) {
    const RawColumn& column = batch.column(name);
    const int64_t begin = column.is_list() ? column.list_offsets[row] : row;
    const int64_t end = column.is_list() ? column.list_offsets[row + 1] : row + 1;
    for (int64_t c = begin; c < end; ++c) {
      if (column.missing(c)) continue;
      const std::string cell(column.cell(c));
      char* stop = nullptr;
      const double value = std::abs(std::strtod(cell.c_str(), &stop));
      if (stop != cell.c_str() + cell.size() || !(value > largest)) continue;
      largest = value;
      text = fmt::format("'{}' is {} there", name, cell);
    }
  }
  return text;
}

/// A score that is no number helps nobody: names the row and what in it may be the cause.
void check_scores(const Scorer& scorer, const RawBatch& batch, const std::vector<float>& logits, int64_t rows_before) {
  const auto bad = std::find_if(logits.begin(), logits.end(), [](float x) { return !std::isfinite(x); });
  if (bad == logits.end()) return;
  const int64_t targets = int64_t(logits.size()) / batch.rows, row = (bad - logits.begin()) / targets;
  const std::string value = std::isnan(*bad) ? "nan" : fmt::format("{}", *bad);
  const std::string cause = largest_number(scorer, batch, row);
  throw Error(fmt::format("row {} of the input: the logit is {}{}{}; mend the value or leave the row out; nothing is "
                          "written",
                          rows_before + row + 1, value, cause.empty() ? "" : ": ", cause),
              ErrorKind::numeric);
}

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
  check_target(a);
  const Scorer scorer = Scorer::load(a.run);
  ReadRequest request;
  request.files = files_of(a.inputs);
  request.bad_rows = std::make_shared<BadRows>();
  request.batch_rows = a.batch_size;
  const auto history = read_history(a, scorer.schema(), request);
  const auto reader = open_raw(scorer.schema(), request);

  std::vector<TableWriter::Column> columns;
  for (const auto& id : a.ids) columns.push_back({id, TableWriter::Kind::text});
  const auto names = score_columns(a, scorer.schema().labels());
  const size_t targets = names.size();
  for (const auto& name : names) columns.push_back({name, TableWriter::Kind::float32});
  TableWriter out(a.out, columns);
  Progress progress("predict", reader->bytes_total(), "bytes");
  int64_t done = 0;
  for (RawBatch batch; reader->next(batch);) {
    if (history) history->append(batch);
    const auto logits = scorer.logits(batch);
    check_scores(scorer, batch, logits, out.rows());
    std::vector<std::vector<float>> each(targets);
    for (size_t i = 0; i < logits.size(); ++i)
      each[i % targets].push_back(a.logit ? logits[i] : float(1 / (1 + std::exp(-double(logits[i])))));
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
  app.add_option("--score-name", a->score_name, "the scores' column; p, or logit, by default");
  app.add_flag("--force", a->force, "replace --out where it is there already");
  app.add_option("--batch-size", a->batch_size, "rows a batch")->capture_default_str()->check(at_least(1));
  return [a] { predict_file(*a); };
}

const AddCommand command("predict", "P(click) of raw rows", add);

}  // namespace
}  // namespace interplay::tool
