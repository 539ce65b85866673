// Update rules beside torch.optim and published formulas: a table of 7 rows after each of 12 steps. The stored values
// and the script that made them: tests/reference/optimizers.py.
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <interplay/nn/embedding.h>
#include <interplay/optim/optimizer.h>
#include <interplay/optim/schedule.h>

#include "support/stored.h"

namespace interplay::optimizers_test {
namespace {

using testing::expect_near;
using testing::reference_file;
using testing::reference_json;
using Json = nlohmann::ordered_json;

// Weights of about 1 after twelve steps in fp32, each rounded to 6e-8, beside fp64 rounded once. A step moves a weight
// by 0.05 or more, ten thousand times this and above.
constexpr double kTolerance = 1e-6;

constexpr int64_t kSteps = 12;

struct TableModule : torch::nn::Module {
  TableModule(int64_t rows, int64_t width) : table(register_module("table", nn::Embedding(rows, width))) {}
  nn::Embedding table;
};

struct DenseModule : torch::nn::Module {
  explicit DenseModule(const std::vector<at::Tensor>& start) {
    for (size_t i = 0; i < start.size(); ++i)
      weights.push_back(register_parameter(std::string(1, char('a' + i)), start[i].clone()));
  }
  std::vector<at::Tensor> weights;
};

/// A stored run: by which path of ours it is repeated.
struct Run {
  std::string name;
  std::string path;  // lazy | dense: rows of a table in that mode; tensor: a dense parameter
};
void PrintTo(const Run& run, std::ostream* out) { *out << run.name << " " << run.path; }

/// What is stored for rows that a step touches holds for every path whose other rows have nothing to remember: no
/// momentum, no moments that decay, no penalty.
std::vector<Run> runs() {
  std::vector<Run> out;
  const Json listing = reference_json("optimizers.json");
  for (const auto& [name, options] : listing.at("runs").items()) {
    const bool touched = options.at("rows") == "touched";
    const bool idle_rests = options.at("rule") != "adam" && !options.contains("l2") && !options.contains("momentum");
    if (touched) out.push_back({name, "lazy"});
    if (!touched || idle_rests) {
      out.push_back({name, "dense"});
      out.push_back({name, "tensor"});
    }
  }
  return out;
}

Config optimizer_of(const Json& options, const std::string& path) {
  Config group;
  for (const auto& [key, value] : options.items()) {
    if (key == "rows" || key == "start" || key == "lr_factors") continue;
    if (key == "rule") {
      group.set("name", Config::scalar(value.get<std::string>()));
    } else {
      group.set(key, Config::scalar(value.dump()));
    }
  }
  if (path != "tensor") group.set("mode", Config::scalar(path));  // which is for rows alone
  Config out;
  out.set(path == "tensor" ? "dense" : "embedding", group);
  return out;
}

class StoredRun : public ::testing::TestWithParam<Run> {
 protected:
  StoredRun()
      : stored_(reference_file("optimizers.safetensors")),
        options_(reference_json("optimizers.json").at("runs").at(GetParam().name)) {}

  at::Tensor start() const {
    const auto& table = stored_.at("table");
    return options_.value("start", "") == "zero" ? at::zeros_like(table) : table.clone();
  }
  double factor(int64_t step) const {
    return options_.contains("lr_factors") ? options_.at("lr_factors").at(size_t(step)).get<double>() : 1;
  }
  void compare(const at::Tensor& weight, int64_t step) const {
    expect_near(weight, stored_.at(GetParam().name)[step], kTolerance, "step " + std::to_string(step + 1));
  }

  nn::Safetensors stored_;
  Json options_;
};

std::string run_name(const ::testing::TestParamInfo<Run>& info) { return info.param.name + "_" + info.param.path; }
INSTANTIATE_TEST_SUITE_P(Every, StoredRun, ::testing::ValuesIn(runs()), run_name);

TEST_P(StoredRun, EqualsOursAfterEveryStep) {
  const Config config = optimizer_of(options_, GetParam().path);
  if (GetParam().path == "tensor") {
    DenseModule module({start()});
    Optimizer parameters(module, config);
    for (int64_t s = 0; s < kSteps; ++s) {
      module.weights[0].mutable_grad() = stored_.at("summed")[s].clone();
      parameters.step({.lr_factor = factor(s)});
      compare(module.weights[0], s);
    }
    return;
  }
  TableModule module(7, 5);
  module.table->weight().copy_(start());
  Optimizer parameters(module, config);
  for (int64_t s = 0; s < kSteps; ++s) {
    const auto read = module.table(stored_.at("ids")[s]);  // [6, 5]
    (read * stored_.at("gradients")[s]).sum().backward();
    parameters.step({.lr_factor = factor(s)});
    compare(module.table->weight(), s);
  }
}

class StoredClipping : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Every, StoredClipping, ::testing::Values("active", "idle"),
                         [](const auto& info) { return info.param; });

TEST_P(StoredClipping, ScalesEveryGradientByTheGlobalNorm) {
  const nn::Safetensors stored(reference_file("optimizers.safetensors"));
  const double limit = reference_json("optimizers.json").at("clip").at(GetParam()).get<double>();
  DenseModule module({at::zeros({3, 4}), at::zeros({5}), at::zeros({2, 2, 2})});
  Optimizer parameters(module, Config::parse("dense: {name: sgd, lr: 1}"));
  const char* const names[] = {"clip.a", "clip.b", "clip.c"};
  for (size_t i = 0; i < 3; ++i) module.weights[i].mutable_grad() = stored.at(names[i]).clone();
  const double norm = parameters.step({.clip_norm = limit});
  EXPECT_NEAR(norm, stored.at("clip.norm").item<double>(), 1e-6 * norm);
  for (size_t i = 0; i < 3; ++i) {  // a weight of 0 moves by minus what was left of its gradient
    expect_near(-module.weights[i], stored.at(names[i] + ("." + GetParam())), 1e-6, names[i]);
  }
}

TEST(StoredSchedule, EqualsOursStepByStep) {
  const Json stored = reference_json("optimizers.json").at("schedules");
  const auto compare = [&](const std::string& name, const std::string& config) {
    const auto schedule = schedules().make(Config::parse(config));
    const auto& values = stored.at(name).at("values");
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(schedule->factor(int64_t(i) + 1, int64_t(values.size())), values[i].get<double>(), 1e-12)
          << name << " at step " << i + 1;
    }
  };
  compare("step", "{name: step, every: 4, factor: 0.5}");
  compare("cosine", "cosine");
  compare("cosine_minimum", "{name: cosine, minimum: 0.1}");
}

TEST(StoredSchedule, PlateauFallsAsFuxiCtrsDoes) {
  const Json stored = reference_json("optimizers.json").at("schedules").at("plateau");
  const auto schedule = schedules().make(Config::parse("plateau"));  // its defaults are FuxiCTR's
  EXPECT_EQ(schedule->factor(1, 100), 1);
  for (size_t i = 0; i < stored.at("improved").size(); ++i) {
    schedule->observe(stored.at("improved")[i].get<bool>());
    EXPECT_NEAR(schedule->factor(1, 100), stored.at("values")[i].get<double>(), 1e-12) << "evaluation " << i + 1;
  }
}

// A rule and whether the rows of a step are all there are.
struct Twin {
  const char* rule;
  bool lazy;
};
void PrintTo(const Twin& twin, std::ostream* out) { *out << twin.rule << (twin.lazy ? " lazy" : " dense"); }

class TwinRule : public ::testing::TestWithParam<Twin> {};
INSTANTIATE_TEST_SUITE_P(Every, TwinRule,
                         ::testing::Values(Twin{"sgd", false}, Twin{"{name: sgd, momentum: 0.9}", false},
                                           Twin{"adagrad", false},
                                           Twin{"{name: adagrad, initial: 0.1, eps: 1e-3}", false},
                                           Twin{"rowwise_adagrad", false}, Twin{"adam", false}, Twin{"adam", true},
                                           Twin{"{name: adam, beta1: 0.5, beta2: 0.9, eps: 0.01, decay: 0.2}", false},
                                           Twin{"{name: adam, decay: 0.2}", true}, Twin{"ftrl", false},
                                           Twin{"{name: ftrl, beta: 0.5, lambda1: 0.3, lambda2: 0.1}", false},
                                           Twin{"grda", false}, Twin{"{name: grda, c: 0.05, mu: 0.6}", false}));

TEST(Optimizers, AllHaveTheirTwinCompared) {
  EXPECT_EQ(update_rules().names(),
            (std::vector<std::string>{"adagrad", "adam", "ftrl", "grda", "rowwise_adagrad", "sgd"}));
}

TEST_P(TwinRule, AsTensorOperationsEqualsRowByRow) {
  const auto rule = update_rules().make(Config::parse(GetParam().rule));
  at::manual_seed(7);
  for (const auto& [rows, width] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {1, 9}, {3, 16}, {17, 5}}) {
    const auto start = at::randn({rows, width});
    const int64_t state_width = rule->state_width(width);
    auto w = start.clone(), s = at::zeros({rows, state_width});
    rule->start(w, s);
    auto w_twin = w.clone(), s_twin = s.clone();
    // As a table keeps them, state behind the weights, in every other row of a larger one and from the last to the
    // first.
    const int64_t stride = width + state_width;
    auto storage = at::cat({w, s}, 1).repeat_interleave(2, 0).contiguous();
    std::vector<int32_t> index;
    for (int64_t r = rows - 1; r >= 0; --r) index.push_back(int32_t(2 * r + 1));
    const auto untouched = storage.clone();
    for (int64_t step = 1; step <= 4; ++step) {
      const auto g = at::randn({rows, width}) * (step == 3 ? 0 : 1), backwards = g.flip(0).contiguous();
      const StepInfo info{step, 0.1, GetParam().lazy};
      rule->update({w.data_ptr<float>(), g.data_ptr<float>(), s.data_ptr<float>(), rows, width, width, state_width},
                   info);
      rule->update(w_twin, g, s_twin, info);
      float* const table = storage.data_ptr<float>();
      rule->update({table, backwards.data_ptr<float>(), table + width, rows, width, stride, stride, index.data()},
                   info);
      const auto what = std::to_string(rows) + " x " + std::to_string(width) + ", step " + std::to_string(step);
      // One rounding more or less in each of a handful of operations.
      expect_near(w_twin, w, 1e-6, what);
      expect_near(s_twin, s, 1e-6, "state of " + what);
      const auto odd = storage.view({rows, 2, stride}).select(1, 1);
      EXPECT_TRUE(at::equal(odd, at::cat({w, s}, 1))) << "in a table: " << what;
    }
    const auto even = [&](const at::Tensor& t) { return t.view({rows, 2, stride}).select(1, 0); };
    EXPECT_TRUE(at::equal(even(storage), even(untouched)));
  }
}

}  // namespace
}  // namespace interplay::optimizers_test
