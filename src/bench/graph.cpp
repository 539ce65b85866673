#include <ATen/ATen.h>

#include <interplay/bench/peaks.h>
#include <interplay/bench/workload.h>
#include <interplay/nn/graph_attention.h>
#include <interplay/nn/plain_scope.h>

namespace interplay::bench {
namespace {

struct GraphBenchOptions {
  int64_t sources = 6000, targets = 3500, edges = 15, heads = 2, head_dim = 32, steps = 5;
  void visit(auto&& field) {
    field("sources", sources, "nodes that tell", Range{1, 1e8});
    field("targets", targets, "nodes that are told", Range{1, 1e8});
    field("edges", edges, "of each target at most, some fewer", Range{1, 1e6});
    field("heads", heads, "of attention", Range{1, 64});
    field("head_dim", head_dim, "numbers of a head", Range{1, 4096});
    field("steps", steps, "steps a repeat", Range{1, 1e9});
  }
};

/// A layer of graph attention, forward and backward: the fused sum beside a scatter of ATen's operators.
class GraphAttentionStep final : public Workload {
 public:
  using Options = GraphBenchOptions;
  explicit GraphAttentionStep(const Options& options) : o_(options) {}

  Findings run(const Setting& setting) override {
    at::manual_seed(1);
    nn::GraphAttention layer(o_.head_dim, o_.head_dim, o_.heads, o_.head_dim);
    const auto source = at::randn({o_.sources, o_.head_dim}).requires_grad_();
    const auto target = at::randn({o_.targets, o_.head_dim}).requires_grad_();
    const auto lists = at::randint(-o_.sources / 8, o_.sources, {o_.targets, o_.edges}, at::kLong).clamp_min(-1);
    const auto edges = nn::TargetEdges::of_lists(lists);
    const auto step = [&] { layer(source, target, edges).square().sum().backward(); };
    Findings out;
    out.notes.emplace_back("edges", std::to_string(edges.sources.size(0)));
    for (int64_t r = 0; r < setting.repeats; ++r) {
      const auto measured = [&] {
        return seconds_each(0.3, [&] {
          for (int64_t i = 0; i < o_.steps; ++i) step();
        });
      };
      const double fused = measured() / double(o_.steps);
      const double plain = [&] {
        const nn::PlainScope scope;
        return measured() / double(o_.steps);
      }();
      const auto number = double(edges.sources.size(0));
      out.ratio("graph attention: fused / scatter", plain / fused);
      out.figure("fused, forward and backward", "edges/s", number / fused);
      out.figure("scatter, forward and backward", "edges/s", number / plain);
    }
    return out;
  }

 private:
  Options o_;
};

INTERPLAY_REGISTER(workloads(), "graph", GraphAttentionStep, "a layer of graph attention, beside a scatter");

}  // namespace
}  // namespace interplay::bench
