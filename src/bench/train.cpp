#include <interplay/bench/criteo.h>
#include <interplay/bench/peaks.h>
#include <interplay/core/bundle.h>
#include <interplay/core/model.h>
#include <interplay/nn/precision.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/trainer.h>

namespace interplay::bench {
namespace {

constexpr double kLimitSeconds = 1;  // for each yardstick, before and after each epoch

struct TrainBenchOptions {
  std::string model = "deepfm";
  int64_t rows = 500000;
  void visit(auto&& field) {
    field("model", model, "model to train, by name");
    field("rows", rows, "made-up rows, one tenth each for valid and test", Range{100, 1e12});
  }
};

double bytes_of(const std::map<std::string, at::Tensor>& tensors) {
  double sum = 0;
  for (const auto& [name, t] : tensors) sum += double(t.numel()) * double(t.element_size());
  return sum;
}

/// Whole epochs, loading included, beside the model's matrix products alone and its row traffic alone.
class Train final : public Workload {
 public:
  using Options = TrainBenchOptions;
  explicit Train(const Options& options) : options_(options) {}

  Findings run(const Setting& setting) override {
    const Config config = experiment(setting, options_.model);
    const auto data = criteo_prepared(setting, options_.rows);
    const Schema schema = select_fields(Schema::load(data / "schema.yaml"), config["fields"]);
    const auto train = Dataset::open(data, "train").select(schema), test = Dataset::open(data, "test").select(schema);
    const auto precision = nn::parse_precision(config["train"]["precision"].as<std::string>());
    Findings out;
    out.notes = {
        {"model", options_.model}, {"rows", std::to_string(train.rows())}, {"precision", nn::to_string(precision)}};
    for (int64_t i = 0; i < setting.repeats; ++i) {
      const auto model = make_model(config["model"], schema, uint64_t(config["seed"].as<int64_t>()));
      Trainer trainer(*model, config);
      const int64_t batch = trainer.options().batch_size;
      const MatrixProducts products(MatrixProducts::shapes(*model), batch,
                                    precision == nn::Precision::bf16 ? at::kBFloat16 : at::kFloat,
                                    MatrixProducts::Passes::training);
      const auto limit = [&] { return double(batch) / seconds_each(kLimitSeconds, [&] { products.run(); }); };
      const double before = products.empty() ? 0 : limit();
      const AnonymousMemory memory;
      const FitReport fit = trainer.fit(train);
      const auto peak = double(memory.peak_bytes());
      if (!products.empty()) {
        const double mean = (before + limit()) / 2;
        out.ratio(fmt::format("train / its matrix products alone, {}", nn::to_string(precision)),
                  fit.rows_per_s / mean);
        out.figure("matrix products alone", "rows/s", mean);
      }
      const RowTraffic traffic(*model, schema, train.slice(0, std::min(batch, train.rows())).features);
      if (!traffic.empty()) {
        const double rows = double(std::min(batch, train.rows())) / seconds_each(0.2, [&] { traffic.run(); });
        out.ratio("train / its embedding rows alone", fit.rows_per_s / rows);
        out.figure("embedding rows alone", "rows/s", rows);
      }
      out.figure("train", "rows/s", fit.rows_per_s);
      for (size_t s = 0; s < kStages; ++s)
        out.figure(fmt::format("profile: {}", kStageNames[s]), "%", 100 * fit.stages[s] / fit.seconds);
      const double needed = bytes_of(weights_of(*model)) + bytes_of(trainer.optimizer().state());
      out.figure("weights and optimizer state", "MB", needed / 1e6);
      out.figure("peak RssAnon", "MB", peak / 1e6);
      out.figure("peak RssAnon above them", "MB", (peak - needed) / 1e6);
      const auto values = evaluate(predict(*model, test, {}), Config::parse("[auc, logloss]"), schema.labels());
      out.figure("test AUC", "", values[0].value);
      out.figure("test logloss", "", values[1].value);
    }
    return out;
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(workloads(), "train", Train, "whole epochs of a model, loading included");

}  // namespace
}  // namespace interplay::bench
