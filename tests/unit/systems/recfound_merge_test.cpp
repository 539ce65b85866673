// Checkpoints to one: against values computed from the definitions (tests/reference/recfound.py).
#include "systems/recfound/merging.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "support/stored.h"

namespace interplay::recfound::recfound_merge_test {
namespace {

using Json = nlohmann::ordered_json;
using interplay::testing::json_tensor;

const Json& stored(const char* part) {
  static const Json all = interplay::testing::reference_json("systems/recfound.json");
  return all.at(part);
}

std::vector<at::Tensor> checkpoints() { return json_tensor(stored("ties")["checkpoints"]).unbind(0); }

TEST(Merging, TiesElectsSignsAndLeavesSmallChangesOut) {
  const auto& j = stored("ties");
  const auto base = json_tensor(j["base"]);
  testing::expect_near(ties(base, checkpoints(), j["density"]), json_tensor(j["merged"]), 1e-6, "density 0.8");
  testing::expect_near(ties(base, checkpoints(), 1), json_tensor(j["merged_density_1"]), 1e-6, "density 1");
}

TEST(Merging, TiesOfOneIsThatOne) {
  const auto base = json_tensor(stored("ties")["base"]);
  const auto one = checkpoints()[1];
  testing::expect_near(ties(base, std::vector<at::Tensor>{one}, 1), one, 1e-6, "one");
}

TEST(Merging, OrderDoesNotMatter) {
  const auto base = json_tensor(stored("ties")["base"]);
  auto order = checkpoints();
  const auto first = ties(base, order, 0.8), mean = linear_mean(order);
  std::swap(order[0], order[2]);
  EXPECT_TRUE(at::equal(ties(base, order, 0.8), first));
  testing::expect_near(linear_mean(order), mean, 1e-7, "mean");
}

TEST(Merging, SlerpKeepsToTheArc) {
  const auto& j = stored("slerp");
  const auto a = json_tensor(j["a"]), b = json_tensor(j["b"]);
  testing::expect_near(slerp(a, b, j["t"]), json_tensor(j["merged"]), 1e-6, "arc");
  testing::expect_near(slerp(a, b, 0), a, 1e-6, "its beginning");
  testing::expect_near(slerp(a, b, 1), b, 1e-6, "its end");
  // almost one direction: the straight line
  const auto near = a + at::tensor({0.f, 0.01f, 0.f});
  testing::expect_near(slerp(a, near, 0.25), a * 0.75 + near * 0.25, 1e-7, "line");
}

TEST(Merging, LinearIsTheMean) {
  testing::expect_near(linear_mean(checkpoints()), json_tensor(stored("slerp")["linear_mean_of_checkpoints"]), 1e-6,
                       "mean");
}

TEST(Merging, AgreementCountsNumbersThatAllMovedTheSameWay) {
  const auto base = at::zeros({4});
  const std::vector<at::Tensor> moved{at::tensor({1.f, -1.f, 2.f, 0.f}), at::tensor({3.f, 1.f, 1.f, 0.f})};
  EXPECT_DOUBLE_EQ(agreement(base, moved), 0.5);
}

}  // namespace
}  // namespace interplay::recfound::recfound_merge_test
