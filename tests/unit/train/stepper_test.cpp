#include <interplay/train/stepper.h>

#include <cmath>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/nn/embedding.h>

#include "support/error_of.h"
#include "support/toy_rows.h"

namespace interplay::stepper_test {
namespace {

using testing::config_error;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// One weight of group `gates`.
struct Gate : torch::nn::Module, nn::HasGroup {
  Gate() : w(register_parameter("w", at::zeros({1}))) {}
  std::string parameter_group() const override { return "gates"; }
  at::Tensor w;
};

/// logit = w + gate for every row: at labels of 1 the gradient of either is sigmoid(logit) - 1.
struct Sum final : Model {
  Sum() : w(register_parameter("w", at::zeros({1}))), gate(register_module("gate", std::make_shared<Gate>())) {}
  Output forward(const Features& x) override { return (w + gate->w).expand({x.rows}); }
  at::Tensor w;
  std::shared_ptr<Gate> gate;
};

Batch clicks(int64_t rows) {
  Batch batch;
  batch.features.rows = rows;
  batch.labels = at::ones({rows, 1});
  return batch;
}

Config config(const std::string& train = "{}") {
  Config c;
  c.set("train", Config::parse(train));
  c.set("optimizer", Config::parse("{dense: {name: sgd, lr: 1}}"));
  return c;
}

TEST(Stepper, AStepIsOneOfGradientDescent) {
  Sum model;
  Stepper stepper(model, config());
  const StepReport s = stepper.step(clicks(3));
  EXPECT_EQ(s.step, 1);
  EXPECT_EQ(s.rows, 3);
  EXPECT_THAT(s.loss, DoubleNear(std::log(2.0), 1e-6));
  EXPECT_THAT(model.w.item<double>(), DoubleNear(0.5, 1e-6));
  EXPECT_THAT(model.gate->w.item<double>(), DoubleNear(0.5, 1e-6));
}

TEST(Stepper, HooksComeBeforeBetweenAndAfterInTheirOrder) {
  Sum model;
  Stepper stepper(model, config("{clip_norm: 100}"));
  std::vector<std::string> calls;
  for (const std::string who : {"a", "b"}) {
    stepper.before_step([&, who](const Batch& b) {
      EXPECT_EQ(b.rows(), 2);
      EXPECT_FALSE(model.w.grad().defined() && model.w.grad().abs().sum().item<float>() > 0);
      calls.push_back(who + " before");
    });
    stepper.after_backward([&, who](const Batch&, const StepReport& s) {
      EXPECT_THAT(model.w.grad().item<double>(), DoubleNear(-0.5, 1e-6));
      EXPECT_EQ(model.w.item<float>(), 0);  // nothing has moved
      EXPECT_EQ(s.step, 1);
      calls.push_back(who + " between");
    });
    stepper.after_step([&, who](const StepReport& s) {
      EXPECT_GT(model.w.item<float>(), 0);
      EXPECT_THAT(s.gradient_norm, DoubleNear(std::sqrt(0.5), 1e-6));
      calls.push_back(who + " after");
    });
  }
  stepper.step(clicks(2));
  EXPECT_THAT(calls, ElementsAre("a before", "b before", "a between", "b between", "a after", "b after"));
}

TEST(Stepper, AHookMayChangeGradients) {
  Sum model;
  Stepper stepper(model, config());
  stepper.after_backward([&](const Batch&, const StepReport&) { model.w.mutable_grad().mul_(4); });
  stepper.step(clicks(2));
  EXPECT_THAT(model.w.item<double>(), DoubleNear(2.0, 1e-6));
  EXPECT_THAT(model.gate->w.item<double>(), DoubleNear(0.5, 1e-6));
}

TEST(Stepper, WhatAHookThrowsEndsTheStepThere) {
  Sum model;
  Stepper stepper(model, config());
  stepper.after_backward([](const Batch&, const StepReport&) { throw Error("enough"); });
  EXPECT_THAT(config_error([&] { stepper.step(clicks(2)); }), HasSubstr("enough"));
  EXPECT_EQ(model.w.item<float>(), 0);
}

TEST(Stepper, GroupsThatAreLeftMoveInTheirTurnAlone) {
  Sum model;
  Stepper stepper(model, config());
  int hooks = 0;
  stepper.after_step([&](const StepReport&) { ++hooks; });
  stepper.leave({"gates"});
  stepper.step(clicks(2));
  EXPECT_THAT(model.w.item<double>(), DoubleNear(0.5, 1e-6));
  EXPECT_EQ(model.gate->w.item<float>(), 0);
  const StepReport turn = stepper.turn(clicks(2), {"gates"});
  EXPECT_EQ(turn.step, 1);
  EXPECT_EQ(stepper.optimizer().steps(), 1);
  EXPECT_EQ(hooks, 1);
  EXPECT_THAT(model.w.item<double>(), DoubleNear(0.5, 1e-6));
  EXPECT_THAT(model.gate->w.item<double>(), DoubleNear(1 / (1 + std::exp(0.5)), 1e-6));
  EXPECT_THAT(config_error([&] { stepper.leave({"dense", "embedding"}); }), HasSubstr("every group of parameters"));
}

/// Sharpness-aware minimisation (Foret et al. 2021, arXiv:2010.01412) of one weight, from the pieces that are public:
/// the gradient is taken where the weight has gone `rho` up its slope.
TEST(Stepper, OtherStepsAreMadeOfItsPieces) {
  Sum model;
  Stepper stepper(model, config());
  const Batch batch = clicks(2);
  constexpr double kRho = 0.1;
  stepper.loss(batch).total.backward();
  const at::Tensor up = kRho * model.w.grad().sign();
  {
    const at::NoGradGuard no_grad;
    model.w.add_(up);
    stepper.optimizer().clear_gradients();
  }
  stepper.loss(batch).total.backward();
  {
    const at::NoGradGuard no_grad;
    model.w.sub_(up);
  }
  stepper.optimizer().step(stepper.next_move());
  EXPECT_THAT(model.w.item<double>(), DoubleNear(1 / (1 + std::exp(-kRho)), 1e-6));
  EXPECT_EQ(stepper.optimizer().steps(), 1);
}

TEST(Stepper, ItsStateIsThatOfItsSchedules) {
  Sum one, two;
  const Config c = config("{schedule: {name: plateau, factor: 0.5, patience: 1}}");
  Stepper stepper(one, c), other(two, c);
  stepper.step(clicks(2));
  stepper.observe(false);
  EXPECT_EQ(stepper.lr(), 0.5);
  EXPECT_EQ(other.lr(), 1);
  other.restore(Config::parse(stepper.state().yaml()));
  EXPECT_EQ(other.lr(), 0.5);
}

}  // namespace
}  // namespace interplay::stepper_test
