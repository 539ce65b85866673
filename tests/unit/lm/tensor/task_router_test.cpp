#include <interplay/lm/task_router.h>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/lm/decoder.h>

#include "support/error_of.h"
#include "support/stored.h"

namespace interplay::lm::task_router_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::expect_near;
using interplay::testing::json_tensor;
using ::testing::HasSubstr;

constexpr int64_t kNone = TaskRouterImpl::kNone;

/// One projection of 3 numbers from 4 with six experts of rank 2, routed for a task of each family: the stored ones.
struct Stored6 {
  nlohmann::ordered_json j = interplay::testing::reference_json("systems/recfound.json").at("tmole");
  TaskRouter router{std::vector<TaskFamily>{TaskFamily::embedding, TaskFamily::generation},
                    std::vector<std::string>{"q"}, ExpertCounts{}, 3, 1};
  AdapterLinear linear{json_tensor(j["W"]), std::vector<AdapterLinearImpl::Output>{{"q", 3}}};

  Stored6() {
    AdapterOptions options;
    options.rank = j["rank"], options.alpha = j["alpha"], options.experts = 6;
    linear->adapt("q", options, 1);
    const at::NoGradGuard off;
    const auto& adapter = linear->adapters()[0];
    adapter.a.copy_(json_tensor(j["A"]).flatten(0, 1));               // [6, 2, 4] -> [12, 4]
    adapter.b.copy_(json_tensor(j["B"]).transpose(0, 1).flatten(1));  // [6, 3, 2] -> [3, 12]
    router->task_vectors.copy_(json_tensor(j["task_vector"]).expand({2, 3}));
    router->weight.copy_(json_tensor(j["router_W"]).unsqueeze(0));
    router->bias.copy_(json_tensor(j["router_b"]).unsqueeze(0));
  }
  at::Tensor read(int64_t task) {
    const auto call = router->forward(std::vector<int64_t>{task});
    const auto x = json_tensor(j["x"]);
    return linear->forward(x, &call, at::zeros({x.size(0)}, at::kLong));
  }
};

TEST(TaskRouter, WeighsExpertsByTaskAndLeavesTheOtherFamilysOut) {
  Stored6 s;
  const auto weights = s.router->weights();  // [2, 1, 6]
  expect_near(weights[0][0], json_tensor(s.j["weights_embedding"]), 1e-6, "embedding");
  expect_near(weights[1][0], json_tensor(s.j["weights_generation"]), 1e-6, "generation");
  EXPECT_EQ(weights[0][0].narrow(0, 4, 2).abs().sum().item<float>(), 0);
  EXPECT_EQ(weights[1][0].narrow(0, 0, 2).abs().sum().item<float>(), 0);
  expect_near(s.read(0), json_tensor(s.j["y_embedding"]), 1e-6, "y of embedding");
  expect_near(s.read(1), json_tensor(s.j["y_generation"]), 1e-6, "y of generation");
}

TEST(TaskRouter, WithoutATaskExpertsCountAlike) {
  Stored6 s;
  const auto call = s.router->forward(std::vector<int64_t>{kNone});
  expect_near(call.mixes.at("q").experts[0], json_tensor(s.j["weights_no_task"]), 1e-7, "weights");
  expect_near(s.read(kNone), json_tensor(s.j["y_no_task"]), 1e-6, "y");
  expect_near(s.linear->forward(json_tensor(s.j["x"])), json_tensor(s.j["y_no_task"]), 1e-6, "y without a call");
}

TEST(TaskRouter, ExpertsOfTheOtherFamilyGetNoGradient) {
  for (const int64_t task : {0, 1}) {
    Stored6 s;
    s.read(task).square().sum().backward();
    const auto& adapter = s.linear->adapters()[0];
    const auto of_a = adapter.a.grad().view({6, 2, 4}).abs().sum({1, 2});
    const auto of_b = adapter.b.grad().view({3, 6, 2}).abs().sum({0, 2});
    for (int64_t e = 0; e < 6; ++e) {
      const bool others = task == 0 ? e >= 4 : e < 2;
      EXPECT_EQ(of_a[e].item<float>() == 0, others) << "task " << task << ", expert " << e;
      EXPECT_EQ(of_b[e].item<float>() == 0, others) << "task " << task << ", expert " << e;
    }
    const auto of_r = s.router->weight.grad()[0].abs().sum(1);
    for (int64_t e = 0; e < 6; ++e)
      EXPECT_EQ(of_r[e].item<float>() == 0, task == 0 ? e >= 4 : e < 2) << "task " << task << ", expert " << e;
  }
}

TEST(TaskRouter, TextsOfOneBatchHaveTheirOwnTasks) {
  Stored6 s;
  const auto call = s.router->forward(std::vector<int64_t>{1, kNone, 0});
  const auto& experts = call.mixes.at("q").experts;
  expect_near(experts[0], json_tensor(s.j["weights_generation"]), 1e-6, "first");
  expect_near(experts[1], json_tensor(s.j["weights_no_task"]), 1e-6, "second");
  expect_near(experts[2], json_tensor(s.j["weights_embedding"]), 1e-6, "third");
}

// Of n tasks' vectors of w numbers: uniform within sqrt(6 / (n + 1 + w)), as Xavier draws n + 1 of them; R as N(0, 1).
TEST(TaskRouter, IsDrawnAsDeclared) {
  const std::vector<TaskFamily> tasks(200, TaskFamily::embedding);
  TaskRouter router(tasks, std::vector<std::string>{"q", "v"}, ExpertCounts{}, 300, 7);
  const double bound = std::sqrt(6.0 / 501);
  EXPECT_LE(router->task_vectors.abs().max().item<double>(), bound);
  EXPECT_GT(router->task_vectors.abs().max().item<double>(), 0.99 * bound);
  EXPECT_NEAR(router->weight.std().item<double>(), 1, 0.05);
  EXPECT_LE(router->bias.abs().max().item<double>(), 1 / std::sqrt(300.0));
  TaskRouter again(tasks, std::vector<std::string>{"q", "v"}, ExpertCounts{}, 300, 7);
  EXPECT_TRUE(at::equal(router->weight, again->weight));
}

TEST(TaskRouter, AFamilyWithoutExpertsIsRefused) {
  const auto make = [](TaskFamily family, ExpertCounts counts) {
    return config_error(
        [&] { TaskRouter(std::vector<TaskFamily>{family}, std::vector<std::string>{"q"}, counts, 4, 1); });
  };
  EXPECT_THAT(make(TaskFamily::embedding, {0, 0, 2}), HasSubstr("no expert is left to a task of embedding"));
  EXPECT_THAT(make(TaskFamily::generation, {2, 0, 0}), HasSubstr("no expert is left to a task of generation"));
  EXPECT_EQ(make(TaskFamily::generation, {2, 1, 0}), "no error");
}

}  // namespace
}  // namespace interplay::lm::task_router_test
