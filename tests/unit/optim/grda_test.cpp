#include <interplay/optim/grda.h>

#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <interplay/optim/optimizer.h>

namespace interplay::grda_test {
namespace {

struct Gates : torch::nn::Module {
  explicit Gates(const std::vector<float>& start) : alpha(register_parameter("alpha", at::tensor(start))) {}
  at::Tensor alpha;
};

Config rule(double lr, double c, double mu) {
  return Config::parse(fmt::format("{{dense: {{name: grda, lr: {}, c: {}, mu: {}}}}}", lr, c, mu));
}

void step(Gates& gates, Optimizer& parameters, const std::vector<float>& gradient, double lr_factor = 1) {
  gates.alpha.mutable_grad() = at::tensor(gradient);
  parameters.step({.lr_factor = lr_factor});
}

/// The step, from 1, in which a gate that starts at 0.6 closes without any gradient.
int64_t closing_step(double c, double mu) {
  Gates gates({0.6f});
  Optimizer parameters(gates, rule(1, c, mu));
  for (int64_t t = 1; t < 20000; ++t) {
    step(gates, parameters, {0});
    if (gates.alpha.item<float>() == 0) return t;
  }
  return -1;
}

// Closed form: c t^mu >= 0.6 for the first time.
TEST(Grda, ClosesAGateThatHasNoGradientWhereTheThresholdReachesIt) {
  EXPECT_EQ(closing_step(0.005, 0.6), 2920);
  EXPECT_EQ(closing_step(0.0005, 0.8), 7063);
}

// By hand from the published update, in double precision.
TEST(Grda, FollowsTheTableOfFourGradients) {
  const std::vector<float> gradients{0.1f, -0.2f, 0.3f, 0.5f};
  const auto follows = [&](double lr, double c, double mu, const std::vector<double>& expected) {
    Gates gates({0.6f});
    Optimizer parameters(gates, rule(lr, c, mu));
    for (size_t t = 0; t < gradients.size(); ++t) {
      step(gates, parameters, {gradients[t]});
      EXPECT_NEAR(gates.alpha.item<double>(), expected[t], 1e-7) << "step " << t + 1;  // fp32 near 0.6
    }
  };
  follows(1, 0.005, 0.6, {0.495, 0.692421417, 0.390334090, -0.088513016});
  follows(0.1, 0.05, 0.6, {0.586028359, 0.603980118, 0.572322095, 0.520875565});
}

// A grows by c lr^(1/2 + mu) ((t + 1)^mu - t^mu) with the rate of each step: with mu = 1 and rates 4, 1, 1/4 by
// 0.01 * (8 + 1 + 1/8).
TEST(Grda, RaisesTheThresholdWithTheRateOfTheStep) {
  Gates gates({0.6f, -0.6f});
  Optimizer parameters(gates, rule(4, 0.01, 1));
  for (const double factor : {1.0, 0.25, 0.0625}) step(gates, parameters, {0, 0}, factor);
  const GrdaState state = grda_state(parameters.state().at("alpha"));
  EXPECT_NEAR(state.threshold, 0.01 * 9.125, 1e-9);
  EXPECT_EQ(state.steps, 3);
  EXPECT_TRUE(at::equal(state.v, at::tensor({0.6f, -0.6f})));
  EXPECT_NEAR(gates.alpha[0].item<double>(), 0.6 - 0.09125, 1e-7);
  EXPECT_NEAR(gates.alpha[1].item<double>(), -(0.6 - 0.09125), 1e-7);
}

TEST(Grda, OpensAClosedGateAgain) {
  Gates gates({0.25f});
  Optimizer parameters(gates, rule(1, 0.5, 1));
  step(gates, parameters, {0});  // A = 0.5
  EXPECT_EQ(gates.alpha.item<float>(), 0);
  step(gates, parameters, {2});  // v = 0.25 - 2, A = 1
  EXPECT_FLOAT_EQ(gates.alpha.item<float>(), -0.75f);
}

TEST(Grda, ItsStateIsAllThatItRemembers) {
  const std::vector<float> start{0.6f, 0.61f, -0.3f};
  Gates one(start), other(start);
  Optimizer first(one, rule(0.3, 0.01, 0.7)), second(other, rule(0.3, 0.01, 0.7));
  for (int t = 0; t < 40; ++t) step(one, first, {0.1f * float(t % 3), -0.01f, 0.02f});
  {
    const at::NoGradGuard no_grad;
    other.alpha.copy_(one.alpha);
    second.state().at("alpha").copy_(first.state().at("alpha"));
    second.restore(first.steps());
  }
  for (int t = 0; t < 40; ++t) {
    step(one, first, {0.03f, -0.2f, 0.1f});
    step(other, second, {0.03f, -0.2f, 0.1f});
  }
  EXPECT_TRUE(at::equal(one.alpha, other.alpha));
}

TEST(Grda, EqualsItsTwin) {
  at::manual_seed(4);
  const auto rule = update_rules().make(Config::parse("{name: grda, c: 0.05, mu: 0.7}"));
  auto w = at::randn({3, 5}), w2 = w.clone();
  auto s = at::zeros({3, rule->state_width(5)}), s2 = s.clone();
  for (int64_t t = 1; t <= 30; ++t) {
    const auto g = at::randn({3, 5});
    const StepInfo info{t, 0.2};
    rule->update({w.mutable_data_ptr<float>(), g.const_data_ptr<float>(), s.mutable_data_ptr<float>(), 3, 5, 5,
                  rule->state_width(5)},
                 info);
    rule->update(w2, g, s2, info);
    ASSERT_TRUE(at::allclose(w, w2, 1e-5, 1e-6)) << "step " << t;
  }
  EXPECT_TRUE(at::allclose(s, s2, 1e-5, 1e-6));
}

}  // namespace
}  // namespace interplay::grda_test
