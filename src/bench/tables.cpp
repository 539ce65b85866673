#include <fstream>

#include <ATen/ATen.h>

#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/bench/peaks.h>
#include <interplay/bench/workload.h>
#include <interplay/core/model.h>
#include <interplay/train/trainer.h>

#include "bench/ids.h"

namespace interplay::bench {
namespace {

struct TablesBenchOptions {
  std::vector<int64_t> sizes = {1000000, 100000000};
  int64_t fields = 39, batch = 4096, steps = 50;
  std::string model = "fm", ids = "uniform";
  void visit(auto&& field) {
    field("sizes", sizes, "rows of all tables together, one model each", Range{100, 1e11});
    field("fields", fields, "categorical fields, a table each", Range{1, 1e5});
    field("batch", batch, "rows a step", Range{1, 1e9});
    field("steps", steps, "steps a repeat", Range{1, 1e9});
    field("model", model, "model to step, by name");
    field("ids", ids, "how ids are drawn: uniform, or log_uniform, where few rows take most reads",
          OneOf{{"uniform", "log_uniform"}});
  }
};

double available_bytes() {
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("MemAvailable:")) return std::atof(line.c_str() + 13) * 1024;
  }
  return 1e18;
}

struct Sized {
  int64_t size;
  Schema schema;
  std::shared_ptr<Model> model;
  std::unique_ptr<Trainer> trainer;
  std::vector<Batch> batches;
};

/// Training steps with ids drawn uniformly, so that nearly every row comes from memory, as tables grow: a step should
/// cost what its rows cost, not what the table holds.
class GrowingTables final : public Workload {
 public:
  using Options = TablesBenchOptions;
  explicit GrowingTables(const Options& options) : options_(options) {}

  Findings run(const Setting& setting) override {
    std::vector<Sized> all;
    for (const int64_t size : options_.sizes) all.push_back(make(setting, size));
    Findings out;
    for (int64_t i = -1; i < setting.repeats; ++i) {  // the first round warms up
      double first = 0;
      for (auto& sized : all) {
        const double seconds = step(sized) / double(options_.steps);
        double alone = 0;
        for (const auto& batch : sized.batches) {
          const RowTraffic traffic(*sized.model, sized.schema, batch.features);
          alone += seconds_of([&] { traffic.run(); });
        }
        alone /= double(sized.batches.size());
        if (i < 0) continue;
        const std::string rows = human_count(double(sized.size));
        if (first == 0) {
          first = seconds;
        } else {
          out.ratio(fmt::format("step: {} rows / {} rows, in time", rows, human_count(double(all[0].size))),
                    seconds / first);
        }
        out.ratio(fmt::format("{} rows: its embedding rows alone / step, in time", rows), alone / seconds);
        out.figure(fmt::format("{} rows: step", rows), "ms", 1e3 * seconds);
        out.figure(fmt::format("{} rows: its embedding rows alone", rows), "ms", 1e3 * alone);
      }
    }
    return out;
  }

 private:
  Sized make(const Setting& setting, int64_t size) const {
    const int64_t rows = std::max<int64_t>(3, size / options_.fields);
    Sized out{size, {}, nullptr, nullptr, {}};
    std::vector<Field> fields;
    for (int64_t f = 0; f < options_.fields; ++f) {
      Field field;
      field.name = field.table = fmt::format("f{}", f);
      field.rows = rows;
      fields.push_back(std::move(field));
    }
    const double needed = double(size) * (16 + 1 + 1 + 1) * 4;  // weight, linear weight, and an accumulator each
    INTERPLAY_CHECK(needed < 0.9 * available_bytes(), "sizes: {} rows take {}, and {} are free; take fewer", size,
                    human_bytes(needed), human_bytes(available_bytes()));
    out.schema = Schema(std::move(fields), {"label"});
    Config config =
        Config::parse("optimizer: {embedding: {name: rowwise_adagrad, lr: 1e-2}, dense: {name: adam, lr: 1e-3}}");
    config.set("model.name", Config::scalar(options_.model, true));
    for (const auto& assignment : setting.sets) config.set(assignment);
    out.model = make_model(config["model"], out.schema, 1);
    out.trainer = std::make_unique<Trainer>(*out.model, config);
    constexpr int64_t kBatches = 16;
    for (int64_t b = 0; b < kBatches; ++b) out.batches.push_back(draw(rows, uint64_t(b)));
    return out;
  }

  Batch draw(int64_t rows, uint64_t stream) const {
    Batch batch;
    batch.features.rows = options_.batch;
    batch.features.ids = at::empty({options_.batch, options_.fields}, at::kInt);
    int32_t* const ids = batch.features.ids.mutable_data_ptr<int32_t>();
    for (int64_t i = 0; i < batch.features.ids.numel(); ++i)
      ids[i] = draw_id(random_unit(7, stream, uint64_t(i)), rows, options_.ids == "uniform");
    batch.features.dense = at::empty({options_.batch, 0});
    batch.labels = at::empty({options_.batch, 1});
    for (int64_t i = 0; i < options_.batch; ++i)
      batch.labels.mutable_data_ptr<float>()[i] = random_unit(8, stream, uint64_t(i)) < 0.25 ? 1.f : 0.f;
    return batch;
  }

  double step(Sized& sized) const {
    return seconds_of([&] {
      for (int64_t s = 0; s < options_.steps; ++s) sized.trainer->step(sized.batches[size_t(s) % sized.batches.size()]);
      for (const auto& named : nn::tables_of(*sized.model)) named.table->weight();  // rows that rest move now
    });
  }

  Options options_;
};

INTERPLAY_REGISTER(workloads(), "tables", GrowingTables,
                   "FM steps with uniform ids, as tables grow from 1 M to 100 M rows");

}  // namespace
}  // namespace interplay::bench
