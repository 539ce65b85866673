#include <map>

#include <ATen/ATen.h>

#include <interplay/bench/peaks.h>
#include <interplay/bench/workload.h>

namespace interplay::bench {
namespace {

struct KernelBenchOptions {
  int64_t batch = 4096, megabytes = 1024;
  void visit(auto&& field) {
    field("batch", batch, "rows a step", Range{1, 1e9});
    field("megabytes", megabytes, "memory that bandwidth is measured in", Range{1, 1e6});
  }
};

/// The yardsticks themselves.
class Kernels final : public Workload {
 public:
  using Options = KernelBenchOptions;
  explicit Kernels(const Options& options) : options_(options) {}

  Findings run(const Setting& setting) override {
    constexpr int64_t kFlat = 39 * 16;  // Criteo's fields x embedding width
    const std::vector<MatrixProducts::Shape> mlp = {{kFlat, 400}, {400, 400}, {400, 400}};
    std::map<std::string, std::vector<MatrixProducts::Shape>> models{{"deepfm", mlp}, {"dcnv2", mlp}};
    models["deepfm"].push_back({400, 1});
    models["dcnv2"].insert(models["dcnv2"].end(), {{kFlat, kFlat}, {kFlat, kFlat}, {kFlat, kFlat}, {kFlat + 400, 1}});
    const Memory memory(options_.megabytes << 20);
    Findings out;
    for (int64_t i = 0; i < setting.repeats; ++i) {
      for (const auto& [name, shapes] : models) {
        for (const auto passes : {MatrixProducts::Passes::training, MatrixProducts::Passes::forward}) {
          double each[2];
          for (const auto type : {at::kFloat, at::kBFloat16}) {
            const MatrixProducts products(shapes, options_.batch, type, passes);
            products.run();
            const double seconds = seconds_each(0.5, [&] { products.run(); });
            each[type == at::kBFloat16] = seconds;
            const auto what =
                fmt::format("{}, {}, {}", name, passes == MatrixProducts::Passes::training ? "training" : "forward",
                            type == at::kBFloat16 ? "bf16" : "fp32");
            out.figure(what, "rows/s", double(options_.batch) / seconds);
            if (passes == MatrixProducts::Passes::training)
              out.figure(what + " ", "GFLOP/s", products.flops() / seconds / 1e9);
          }
          if (passes == MatrixProducts::Passes::training)
            out.ratio(fmt::format("{}: products in bf16 / in fp32", name), each[0] / each[1]);
        }
      }
      const MemoryPeak peak = memory.measure();
      out.ratio("memory: random rows of 64 bytes / in order", peak.random_read / peak.read);
      out.figure("memory, read in order", "GB/s", peak.read / 1e9);
      out.figure("memory, copied (both ways)", "GB/s", peak.copy / 1e9);
      out.figure("random rows of 64 bytes, read", "GB/s", peak.random_read / 1e9);
      out.figure("random rows of 64 bytes, updated", "GB/s", peak.random_update / 1e9);
    }
    return out;
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(workloads(), "kernels", Kernels, "matrix products of DeepFM and DCNv2 alone, memory bandwidth");

}  // namespace
}  // namespace interplay::bench
