#include <interplay/bench/criteo.h>
#include <interplay/bench/peaks.h>
#include <interplay/core/bundle.h>
#include <interplay/core/model.h>
#include <interplay/nn/precision.h>
#include <interplay/train/evaluator.h>

namespace interplay::bench {
namespace {

struct EvalBenchOptions {
  std::string model = "deepfm", split = "train";
  int64_t rows = 500000;
  void visit(auto&& field) {
    field("model", model, "model that predicts, by name; its weights are as drawn");
    field("split", split, "train, valid or test", OneOf{{"train", "valid", "test"}});
    field("rows", rows, "made-up rows, one tenth each for valid and test", Range{100, 1e12});
  }
};

/// Logits of prepared data, loading included, beside the model's forward products alone.
class Eval final : public Workload {
 public:
  using Options = EvalBenchOptions;
  explicit Eval(const Options& options) : options_(options) {}

  Findings run(const Setting& setting) override {
    const Config config = experiment(setting, options_.model);
    const auto data = criteo_prepared(setting, options_.rows);
    const Schema schema = select_fields(Schema::load(data / "schema.yaml"), config["fields"]);
    const auto dataset = Dataset::open(data, options_.split).select(schema);
    const auto precision = nn::parse_precision(config["train"]["precision"].as<std::string>());
    const auto model = make_model(config["model"], schema, 1);
    const auto batch = config["train"]["eval_batch_size"].as<int64_t>();
    const MatrixProducts products(MatrixProducts::shapes(*model), batch,
                                  precision == nn::Precision::bf16 ? at::kBFloat16 : at::kFloat,
                                  MatrixProducts::Passes::forward);
    PredictOptions options;
    options.batch_size = batch;
    options.precision = precision;
    Findings out;
    out.notes = {
        {"model", options_.model}, {"rows", std::to_string(dataset.rows())}, {"precision", nn::to_string(precision)}};
    predict(*model, dataset, options);  // reads the files and checks them, once
    for (int64_t i = 0; i < setting.repeats; ++i) {
      const auto limit = [&] { return double(batch) / seconds_each(0.5, [&] { products.run(); }); };
      const double before = products.empty() ? 0 : limit();
      const double rows = double(dataset.rows()) / seconds_of([&] { predict(*model, dataset, options); });
      if (!products.empty()) {
        const double mean = (before + limit()) / 2;
        out.ratio(fmt::format("predict / its matrix products alone, {}", nn::to_string(precision)), rows / mean);
        out.figure("matrix products alone", "rows/s", mean);
      }
      out.figure("predict", "rows/s", rows);
    }
    return out;
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(workloads(), "eval", Eval, "logits of prepared data, loading included");

}  // namespace
}  // namespace interplay::bench
