// interplay predict RUN INPUT --out FILE: P(click) of raw rows.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/event_history.h>
#include <interplay/data/open_raw.h>
#include <interplay/data/table_writer.h>
#include <interplay/serve/scorer.h>

#include "command.h"

namespace interplay::tool::predict_command {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string run, out, score_name, bad_rows = "stop";
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

/// Standard input ("-") and pipes as files, since rows are read more than once. They are gone with the object.
class Spool {
 public:
  Spool() = default;
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;
  ~Spool() {
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }

  std::vector<fs::path> files_of(const std::vector<std::string>& patterns) {
    std::vector<fs::path> files;
    for (const auto& pattern : patterns) {
      if (pattern == "-" || fs::is_fifo(pattern)) {
        files.push_back(keep(pattern));
        continue;
      }
      const auto some = expand_glob(pattern);
      files.insert(files.end(), some.begin(), some.end());
    }
    return files;
  }

 private:
  fs::path keep(const fs::path& pipe) {
    const bool input = pipe == "-";
    if (folder_.empty()) {
      std::string name = (fs::temp_directory_path() / "interplay-XXXXXX").string();
      INTERPLAY_CHECK_DATA(::mkdtemp(name.data()), "{}: no folder can be made there for what comes from {}; set TMPDIR",
                           fs::temp_directory_path().string(), pipe.string());
      folder_ = name;
    }
    const fs::path file = folder_ / (input ? fs::path("stdin") : pipe.filename());
    INTERPLAY_CHECK_DATA(!fs::exists(file), "{} is named twice, but can be read once", pipe.string());
    std::ifstream from(input ? fs::path("/dev/stdin") : pipe, std::ios::binary);
    std::ofstream to(file, std::ios::binary);
    INTERPLAY_CHECK_DATA(from.good(), "{}: cannot be read", pipe.string());
    if (from.peek() != std::ifstream::traits_type::eof()) to << from.rdbuf();
    to.close();
    INTERPLAY_CHECK_DATA(to.good(), "{}: what comes from {} does not fit there; set TMPDIR", folder_.string(),
                         pipe.string());
    return file;
  }

  fs::path folder_;
};

/// Histories of the input rows from files of events; a first pass over the input says whose and when.
std::unique_ptr<EventHistory> read_history(const Arguments& a, Spool& spool, const Schema& schema,
                                           ReadRequest request) {
  if (a.events.empty()) return nullptr;
  auto history = std::make_unique<EventHistory>(schema);
  history->add_events(spool.files_of(a.events), request.bad_rows);
  request.columns = history->row_columns();
  const auto reader = open_raw(schema, request);
  for (RawBatch batch; reader->next(batch);) history->add_rows(batch, request.bad_rows.get());
  history->finish();
  return history;
}

/// The columns that are read: those the model and --ids need, and of histories those that the rows bring themselves.
std::vector<std::string> columns_of(const Arguments& a, const Scorer& scorer, const ReadRequest& request) {
  std::vector<std::string> columns;
  const auto add = [&](const std::string& name) {
    if (std::find(columns.begin(), columns.end(), name) == columns.end()) columns.push_back(name);
  };
  const auto histories = EventHistory::lists(scorer.schema());
  for (const auto& name : scorer.columns()) {
    if (std::find(histories.begin(), histories.end(), name) == histories.end()) add(name);
  }
  for (const auto& id : a.ids) add(id);
  if (!a.events.empty() || histories.empty()) return columns;
  ReadRequest some = request;
  some.columns = columns;
  const auto there = open_raw(scorer.schema(), some)->columns();
  for (const auto& name : histories) {  // the scorer says what to do about one that is not there
    if (std::find(there.begin(), there.end(), name) != there.end()) add(name);
  }
  return columns;
}

void predict_file(const Arguments& a) {
  check_target(a);
  const Scorer scorer = Scorer::load(a.run);
  Spool spool;
  ReadRequest request;
  request.files = spool.files_of(a.inputs);
  const fs::path rejected = a.out + ".rejected.tsv";
  const int64_t most_bad_rows = parse_bad_rows(a.bad_rows);
  if (most_bad_rows > 0) fs::remove(rejected);  // of an earlier call
  const auto bad_rows = std::make_shared<BadRows>(most_bad_rows, rejected, "--bad-rows skip:");
  request.bad_rows = bad_rows;
  request.batch_rows = a.batch_size;
  const auto history = read_history(a, spool, scorer.schema(), request);
  request.columns = columns_of(a, scorer, request);
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
    std::vector<int64_t> kept;
    const auto logits = scorer.logits(batch, *bad_rows, kept);
    if (int64_t(kept.size()) < batch.rows) batch = take_rows(batch, kept);
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
  bad_rows->finish();
  fmt::print("{}: {} rows in {}, {} rows/s\n", a.out, out.rows(), human_seconds(progress.seconds()),
             human_count(double(out.rows()) / progress.seconds()));
  if (bad_rows->count() > 0) fmt::print("{} rows rejected, see {}\n", bad_rows->count(), rejected.string());
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("RUN", a->run, "run directory")->required();
  app.add_option("INPUT", a->inputs,
                 "raw rows, in the format the data were prepared from, or Parquet; - is standard input; labels are not "
                 "needed")
      ->required();
  app.add_option("--out", a->out, "file to write: .csv, .tsv or .parquet")->required();
  app.add_option("--ids", a->ids, "columns passed through, as user_id,item_id")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--history", a->events,
                 "files of past events, in the same format: histories are derived from them, as prepare does");
  app.add_option("--bad-rows", a->bad_rows,
                 "stop, or skip:N: leave out up to N bad rows and list them in FILE.rejected.tsv")
      ->capture_default_str();
  app.add_flag("--logit", a->logit, "logits instead of probabilities");
  app.add_option("--score-name", a->score_name, "the scores' column; p, or logit, by default");
  app.add_flag("--force", a->force, "replace --out where it is there already");
  app.add_option("--batch-size", a->batch_size, "rows a batch")->capture_default_str()->check(at_least(1));
  return [a] { predict_file(*a); };
}

const AddCommand command("predict", "P(click) of raw rows", add);

}  // namespace
}  // namespace interplay::tool::predict_command
