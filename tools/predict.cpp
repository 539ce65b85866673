// interplay predict RUN INPUT --out FILE: P(click) of raw rows.
#include <filesystem>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/open_raw.h>
#include <interplay/data/table_writer.h>
#include <interplay/serve/scorer.h>

#include "command.h"

namespace interplay::tool {
namespace {

struct Arguments {
  std::string run, out, history;
  std::vector<std::string> inputs, ids;
  int64_t batch_size = 16384;
  bool logit = false;
};

void predict_file(const Arguments& a) {
  const Scorer scorer = Scorer::load(a.run);
  ReadRequest request;
  for (const auto& input : a.inputs) {
    const auto files = expand_glob(input);
    request.files.insert(request.files.end(), files.begin(), files.end());
  }
  request.bad_rows = std::make_shared<BadRows>();
  request.batch_rows = a.batch_size;
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
  app.add_option("--ids", a->ids, "columns passed through, as user_id,item_id")->delimiter(',');
  app.add_flag("--logit", a->logit, "logits instead of probabilities");
  app.add_option("--batch-size", a->batch_size, "rows a batch")->capture_default_str()->check(CLI::PositiveNumber);
  return [a] { predict_file(*a); };
}

const AddCommand command("predict", "P(click) of raw rows", add);

}  // namespace
}  // namespace interplay::tool
