#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <interplay/base/random.h>
#include <interplay/base/stages.h>
#include <interplay/bench/workload.h>
#include <interplay/nn/embedding.h>
#include <interplay/optim/optimizer.h>

#include "bench/ids.h"

namespace interplay::bench {
namespace {

struct EmbeddingBenchOptions {
  int64_t tables = 39, size = 25600, width = 16, batch = 4096, steps = 50;
  std::string ids = "log_uniform", rule = "rowwise_adagrad";
  void visit(auto&& field) {
    field("tables", tables, "embedding tables, one read a row of each", Range{1, 1e5});
    field("size", size, "rows of each table", Range{3, 1e9});
    field("width", width, "embedding width K", Range{1, 4096});
    field("batch", batch, "rows a step", Range{1, 1e9});
    field("steps", steps, "steps a repeat", Range{1, 1e9});
    field("ids", ids, "how ids are drawn: uniform, or log_uniform, where few rows take most reads",
          OneOf{{"uniform", "log_uniform"}});
    field("rule", rule, "optimizer of the rows");
  }
};

struct Tables : torch::nn::Module {
  std::vector<nn::Embedding> all;
  explicit Tables(const EmbeddingBenchOptions& o) {
    for (int64_t t = 0; t < o.tables; ++t)
      all.push_back(register_module(fmt::format("table{}", t), nn::Embedding(o.size, o.width)));
  }
};

/// Gather, backward from a given gradient, and row update: what a model does around its layers, and no layer.
class EmbeddingStep final : public Workload {
 public:
  using Options = EmbeddingBenchOptions;
  explicit EmbeddingStep(const Options& options) : options_(options) {}

  Findings run(const Setting& setting) override {
    const auto& o = options_;
    Tables tables(o);
    Optimizer parameters(tables, Config::parse(fmt::format(
                                     "embedding: {{name: {}, lr: 1e-3}}\ndense: {{name: sgd, lr: 1e-3}}", o.rule)));
    constexpr int64_t kBatches = 8;
    std::vector<at::Tensor> ids;
    for (int64_t b = 0; b < kBatches; ++b) ids.push_back(draw(uint64_t(b)));
    const auto gradient = at::randn({o.batch, o.tables, o.width}) * 1e-3;
    int64_t next = 0;
    StageClock clock;
    const auto step = [&] {
      at::Tensor e = nn::gather_fields(ids[size_t(next++ % kBatches)], tables.all);
      {
        const StageScope stage(Stage::backward);
        torch::autograd::backward({e}, {gradient});
      }
      parameters.step({});
    };
    for (int64_t s = 0; s < kBatches; ++s) step();
    Findings out;
    for (int64_t i = 0; i < setting.repeats; ++i) {
      clock.start();
      for (int64_t s = 0; s < o.steps; ++s) step();
      const StageSeconds passed = clock.take();
      const double seconds = total(passed), reads = double(o.steps) * double(o.batch) * double(o.tables);
      out.figure("gather, backward, row update", "rows/s", double(o.steps) * double(o.batch) / seconds);
      out.figure("the same", "ns a read", 1e9 * seconds / reads);
      for (const auto stage : {Stage::gather, Stage::backward, Stage::row_update})
        out.figure(kStageNames[size_t(stage)], "ns a read", 1e9 * passed[size_t(stage)] / reads);
    }
    return out;
  }

 private:
  at::Tensor draw(uint64_t batch) const {  // i32 [B, tables], from 1 on
    auto ids = at::empty({options_.batch, options_.tables}, at::kInt);
    int32_t* const to = ids.mutable_data_ptr<int32_t>();
    for (int64_t i = 0; i < ids.numel(); ++i)
      to[i] = draw_id(random_unit(7, batch, uint64_t(i)), options_.size, options_.ids == "uniform");
    return ids;
  }
  Options options_;
};

INTERPLAY_REGISTER(workloads(), "embedding", EmbeddingStep,
                   "gather, backward and row update of embedding tables alone");

}  // namespace
}  // namespace interplay::bench
