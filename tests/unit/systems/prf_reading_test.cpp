// Attention flow, pointing, aggregation and LambdaRank against figures computed from the definitions in float64.
#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "systems/qa4prf/attention_flow.h"
#include "systems/qa4prf/lambdarank.h"
#include "systems/qa4prf/pointing.h"

namespace interplay::qa4prf::prf_reading_test {
namespace {

using Rows = std::vector<std::vector<double>>;

at::Tensor tensor(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }
at::Tensor tensor(const Rows& rows) {
  std::vector<at::Tensor> out;
  for (const auto& row : rows) out.push_back(tensor(row));
  return at::stack(out);
}
at::Tensor flags(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong).to(at::kBool); }
void expect_near(const at::Tensor& found, const at::Tensor& expected, double tolerance = 1e-9) {
  ASSERT_EQ(found.sizes(), expected.sizes());
  EXPECT_LT((found - expected).abs().max().item<double>(), tolerance) << found << expected;
}

/// The gradient of `loss` at x by central differences.
at::Tensor differences(const std::function<at::Tensor(const at::Tensor&)>& loss, const at::Tensor& x) {
  constexpr double kStep = 1e-6;
  auto out = at::zeros_like(x);
  for (int64_t i = 0; i < x.numel(); ++i) {
    auto up = x.clone(), down = x.clone();
    up.view(-1)[i] += kStep, down.view(-1)[i] -= kStep;
    out.view(-1)[i] = (loss(up) - loss(down)) / (2 * kStep);
  }
  return out;
}
at::Tensor gradient(const std::function<at::Tensor(const at::Tensor&)>& loss, const at::Tensor& x) {
  const auto leaf = x.detach().clone().requires_grad_(true);
  loss(leaf).backward();
  return leaf.grad();
}

const at::Tensor kContext = tensor(Rows{{0.307, -0.77}, {0.901, -0.036}, {0.745, -0.575}}).unsqueeze(0);
const at::Tensor kQuery = tensor(Rows{{0.141, 0.129}, {-0.023, -0.327}}).unsqueeze(0);
const at::Tensor kW = tensor({0.022, 0.171, 0.423, -0.349, 0.041, 0.479});

TEST(PrfAttentionFlow, JoinsQueryAndDocument) {
  const auto all = [](int64_t n) { return at::ones({1, n}, at::kBool); };
  const auto flow = attention_flow(kContext, kQuery, kW, all(3), all(2));
  expect_near(flow.similarity[0], tensor(Rows{{-0.15609830300000002, 0.09979590899999999},
                                              {0.031272204999999983, 0.122849145},
                                              {-0.09853598000000001, 0.11182043999999998}}));
  expect_near(flow.query[0], tensor(Rows{{0.048565216006360504, -0.12801378964085128},
                                         {0.05524796724416486, -0.1094324813211026},
                                         {0.050407049813361984, -0.12289259320187156}}));
  expect_near(flow.weights[0], tensor({0.32944390411345226, 0.3371268705454656, 0.3334292253410821}));
  expect_near(flow.context[0], tensor({0.6532953618034005, -0.4575301780781172}));
  expect_near(flow.joined[0][0], tensor({0.307, -0.77, 0.048565216006360504, -0.12801378964085128, 0.014909521313952675,
                                         0.09857061802345549, 0.20056167607364395, 0.35229823712015024}));
  expect_near(flow.joined[0][2], tensor({0.745, -0.575, 0.050407049813361984, -0.12289259320187156, 0.03755325211095468,
                                         0.07066324109107613, 0.4867050445435334, 0.2630798523949174}));
}

TEST(PrfAttentionFlow, MaskedWordsAreNotThere) {
  const auto flow = attention_flow(kContext, kQuery, kW, flags({1, 1, 0}).unsqueeze(0), flags({1, 0}).unsqueeze(0));
  expect_near(flow.query[0], tensor(Rows{{0.141, 0.129}, {0.141, 0.129}, {0.141, 0.129}}));
  expect_near(flow.weights[0], tensor({0.4532939383401313, 0.5467060616598687, 0}));
  expect_near(flow.context[0], tensor({0.631743400625962, -0.3687177507416564}));
}

TEST(PrfAttentionFlow, WithoutWeightsAllWordsWeighAlike) {
  const auto flow = attention_flow(kContext, kQuery, {}, flags({1, 1, 0}).unsqueeze(0), flags({1, 1}).unsqueeze(0));
  expect_near(flow.query[0][1], tensor({0.059, -0.099}));
  expect_near(flow.weights[0], tensor({.5, .5, 0}));
}

/// Five positions: lift, wing (a word of the query), drag, lift, heat; candidates lift, drag, heat.
class PrfPointer : public ::testing::Test {
 protected:
  const at::Tensor M_ =
      tensor(Rows{{0.318, 0.689}, {-0.688, -0.482}, {0.387, -0.718}, {0.282, -0.106}, {0.577, -0.084}});
  const at::Tensor W1_ = tensor(Rows{{-0.542, -0.279}, {0.455, -0.775}, {0.216, 0.631}});
  const at::Tensor W2_ = tensor(Rows{{-0.337, -0.766}, {0.437, -0.591}, {0.523, 0.084}});
  const at::Tensor v_ = tensor({-1.779, 1.99, 0.944});
  const at::Tensor states_ = tensor(Rows{{0.715, 0.885}, {-0.167, -0.783}, {-0.359, 0.912}});
  const at::Tensor stop_ = tensor({-0.4, 0.1, 0.6});
  const at::Tensor slots_ = at::tensor(std::vector<int64_t>{0, 3, 1, 0, 2}, at::kLong).unsqueeze(0);
  std::vector<at::Tensor> inputs_;

  Pointed point(const at::Tensor& wanted, const at::Tensor& W1, int64_t steps = 3, const at::Tensor& slots = {}) {
    inputs_.clear();
    Pointable in{M_.unsqueeze(0), slots.defined() ? slots : slots_, 3, wanted, steps};
    return point_at_terms(in, [&](const at::Tensor& pointed_at) -> PointerStep {
      const auto t = int64_t(inputs_.size());
      inputs_.push_back(pointed_at);
      return {pointer_logits(M_.unsqueeze(0), states_.narrow(0, t, 1), W1, W2_, v_), stop_.narrow(0, t, 1)};
    });
  }
  static at::Tensor wanted(const std::vector<int64_t>& which) { return flags(which).unsqueeze(0); }
};

TEST_F(PrfPointer, LogitsAreThoseOfThePaper) {
  expect_near(
      pointer_logits(M_.unsqueeze(0), states_.narrow(0, 0, 1), W1_, W2_, v_)[0],
      tensor({1.1558750281854893, 0.3927114322088215, 2.3261865850002663, 1.7774083737736346, 2.170237771489818}));
}

TEST_F(PrfPointer, LossIsThatOfWantedTermsInAnyOrderThenOfTheStop) {
  const auto pointed = point(wanted({1, 1, 0}), W1_);
  EXPECT_NEAR(pointed.loss.item<double>(), 1.9535318836240645, 1e-9);
  EXPECT_EQ(pointed.taken.sum().item<int64_t>(), 2);
  ASSERT_EQ(inputs_.size(), 3u);
  EXPECT_FALSE(inputs_[0].defined());
  expect_near(inputs_[1][0], tensor({0.4066389785587433, -0.22688736153739428}));
  expect_near(inputs_[2][0], tensor({0.3281672224137865, 0.06817300293852087}));
  // Means over the three steps of the mass of each term.
  expect_near(pointed.terms[0], tensor({(0.31610053442469277 + 0.40300752797712336) / 3, 0.3559989728588923 / 3,
                                        (0.30459378367957424 + 0.3607028630659778 + 0.4765862261634272) / 3}));
}

TEST_F(PrfPointer, GradientIsThatOfDifferences) {
  const auto loss = [&](const at::Tensor& W1) { return point(wanted({1, 1, 0}), W1).loss.sum(); };
  expect_near(gradient(loss, W1_), differences(loss, W1_), 1e-7);
}

TEST_F(PrfPointer, NumberingCandidatesOtherwiseChangesNothing) {
  const auto other = at::tensor(std::vector<int64_t>{2, 3, 0, 2, 1}, at::kLong).unsqueeze(0);
  const auto a = point(wanted({1, 1, 0}), W1_), b = point(wanted({1, 0, 1}), W1_, 3, other);
  expect_near(a.loss, b.loss);
  expect_near(a.terms[0], at::stack({b.terms[0][2], b.terms[0][0], b.terms[0][1]}));
}

TEST_F(PrfPointer, DecodingTakesTheLikeliestUntilTheStop) {
  // Step 1: drag .356 is the likeliest; step 2: lift .403; step 3: the stop token, .523.
  const auto pointed = point({}, W1_);
  EXPECT_FALSE(pointed.loss.defined());
  EXPECT_TRUE(pointed.taken.equal(wanted({1, 1, 0})));
  // Were there only two steps, they would be all that the mean is of.
  expect_near(point({}, W1_, 2).terms[0][1], at::scalar_tensor(0.3559989728588923 / 2, at::kDouble));
}

TEST_F(PrfPointer, ARowThatHasStoppedIsLeftAlone) {
  // The second row wants nothing: its loss is that of the stop token in the first step, -ln .0233.
  Pointable in{M_.expand({2, 5, 2}), slots_.expand({2, 5}).contiguous(), 3,
               at::cat({wanted({1, 1, 0}), wanted({0, 0, 0})}), 3};
  int64_t t = 0;
  const auto pointed = point_at_terms(in, [&](const at::Tensor&) -> PointerStep {
    const auto state = states_.narrow(0, t, 1).expand({2, 2});
    const auto stop = stop_.narrow(0, t++, 1).expand({2});
    return {pointer_logits(in.M, state, W1_, W2_, v_), stop};
  });
  EXPECT_NEAR(pointed.loss[0].item<double>(), 1.9535318836240645, 1e-9);
  EXPECT_NEAR(pointed.loss[1].item<double>(), -std::log(0.02330670903684079), 1e-9);
  expect_near(pointed.terms[1], tensor({0.31610053442469277, 0.3559989728588923, 0.30459378367957424}));
}

TEST_F(PrfPointer, OneStepLearnsShares) {
  const PointerStep step{pointer_logits(M_.unsqueeze(0), states_.narrow(0, 0, 1), W1_, W2_, v_), stop_.narrow(0, 0, 1)};
  const Pointable in{M_.unsqueeze(0), slots_, 3, {}, 1};
  const auto pointed = point_once(in, tensor({3, 1, 0}).unsqueeze(0), step);
  expect_near(pointed.terms[0], tensor({0.31610053442469277, 0.3559989728588923, 0.30459378367957424}));
  EXPECT_NEAR(pointed.loss.item<double>(),
              .75 * std::log(.75 / 0.31610053442469277) + .25 * std::log(.25 / 0.3559989728588923), 1e-9);
  EXPECT_NEAR(point_once(in, at::zeros({1, 3}, at::kDouble), step).loss.item<double>(), -std::log(0.02330670903684079),
              1e-9);
}

TEST(PrfAggregate, WeighsDocumentsByTheirScores) {
  expect_near(aggregate(tensor({1.2, .2}), tensor(Rows{{.6, .1, 0}, {0, .5, .3}})),
              tensor({0.43863514717800295, 0.20757656854799805, 0.08068242641099853}));
}

TEST(PrfLambdaRank, GradientsAreTheLambdas) {
  const auto grades = at::tensor(std::vector<int64_t>{2, 0, 1}, at::kLong);
  const auto scores = tensor({0.5, 1.2, -0.3});
  EXPECT_NEAR(lambdarank_loss(scores, grades).item<double>(), 0.5974619352244744, 1e-9);
  const auto found = gradient([&](const at::Tensor& s) { return lambdarank_loss(s, grades); }, scores);
  expect_near(found, tensor({-0.22611503457758203, 0.3163409906707655, -0.09022595609318348}));
  EXPECT_NEAR(found.sum().item<double>(), 0, 1e-12);
}

TEST(PrfLambdaRank, OfEqualScoresTheFirstRanksFirst) {
  const auto grades = at::tensor(std::vector<int64_t>{0, 1, 0, 2}, at::kLong);
  const auto scores = tensor({0.1, 0.1, 0.9, -0.2});
  EXPECT_TRUE(ranks_of(scores).equal(at::tensor(std::vector<int64_t>{1, 2, 0, 3}, at::kLong)));
  EXPECT_NEAR(lambdarank_loss(scores, grades).item<double>(), 1.0128390068231332, 1e-9);
  expect_near(gradient([&](const at::Tensor& s) { return lambdarank_loss(s, grades); }, scores),
              tensor({0.11307481926532534, -0.09110819401433257, 0.4479318929089532, -0.469898518159946}));
}

TEST(PrfLambdaRank, WithoutPairsThereIsNothingToLearn) {
  for (const int64_t grade : {0, 2}) {
    const auto grades = at::full({3}, grade, at::kLong);
    const auto loss = [&](const at::Tensor& s) { return lambdarank_loss(s, grades); };
    EXPECT_EQ(loss(tensor({1, 2, 3})).item<double>(), 0);
    expect_near(gradient(loss, tensor({1, 2, 3})), tensor({0, 0, 0}));
  }
}

TEST(PrfLambdaRank, PairsBelowTheDepthDoNotCount) {
  // Ranks 1 and 2 of three, depth 1: neither has a discount. The best order has the gain of grade 1 at rank 0.
  const auto grades = at::tensor(std::vector<int64_t>{0, 1, 0}, at::kLong);
  const auto found = gradient([&](const at::Tensor& s) { return lambdarank_loss(s, grades, 1); }, tensor({3, 2, 1}));
  const double rho = 1 / (1 + std::exp(2. - 3.));  // of the pair (1, 0) alone, whose |dNDCG| is 1
  expect_near(found, tensor({rho, -rho, 0}));
}

}  // namespace
}  // namespace interplay::qa4prf::prf_reading_test
