#include <interplay/nn/dropout.h>

#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <interplay/nn/plain_scope.h>

namespace interplay::nn::dropout_test {
namespace {

at::Tensor ones(at::IntArrayRef shape) { return at::ones(shape); }

TEST(Dropout, KeepsWhatItDoesNotDropDividedByTheShareKept) {
  at::manual_seed(1);
  constexpr int64_t kNumbers = 1 << 20;
  for (const double share : {.1, .5, .9}) {
    const auto y = nn::dropout(ones({kNumbers}), share, true);
    const auto kept = y.gt(0);
    EXPECT_TRUE(at::allclose(y.masked_select(kept), at::full({1}, 1 / (1 - share))));
    const double spread = std::sqrt(share * (1 - share) / kNumbers);
    EXPECT_NEAR(kept.to(at::kFloat).mean().item<double>(), 1 - share, 5 * spread);
    // Whether a number is kept says nothing of those 1, 2, 16, 64 and 4096 places on.
    const auto centred = kept.to(at::kDouble) - (1 - share);
    for (const int64_t lag : {1, 2, 16, 64, 4096}) {
      const auto both = centred.narrow(0, 0, kNumbers - lag) * centred.narrow(0, lag, kNumbers - lag);
      EXPECT_NEAR(both.mean().item<double>(), 0, 5 * share * (1 - share) / std::sqrt(double(kNumbers))) << lag;
    }
  }
}

TEST(Dropout, DropsOthersEachTimeAndTheSameAfterTheSameSeed) {
  at::manual_seed(3);
  const auto first = nn::dropout(ones({1000}), .5, true), second = nn::dropout(ones({1000}), .5, true);
  EXPECT_NEAR((first == second).to(at::kFloat).mean().item<double>(), .5, .08);
  at::manual_seed(3);
  EXPECT_TRUE(nn::dropout(ones({1000}), .5, true).equal(first));
}

TEST(Dropout, DropsTheGradientsOfWhatItDropped) {
  at::manual_seed(5);
  const auto x = at::randn({37, 11}).t().requires_grad_();  // not contiguous, no multiple of a register
  const auto y = nn::dropout(x, .3, true);
  const auto wanted = at::randn({11, 37});
  y.backward(wanted);
  const auto kept = y.ne(0).to(at::kFloat) / .7;
  EXPECT_TRUE(at::allclose(x.grad(), wanted * kept));
  EXPECT_TRUE(at::allclose(y, x * kept));
}

TEST(Dropout, DoesNotDependOnThreads) {
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  at::manual_seed(7);
  const auto alone = nn::dropout(ones({100003}), .4, true);
  at::set_num_threads(3);
  at::manual_seed(7);
  EXPECT_TRUE(nn::dropout(ones({100003}), .4, true).equal(alone));
  at::set_num_threads(threads);
}

TEST(Dropout, LeavesAllAsItIsWhereNothingIsDropped) {
  const auto x = at::randn({5});
  EXPECT_TRUE(nn::dropout(x, .5, false).is_same(x));
  EXPECT_TRUE(nn::dropout(x, 0, true).is_same(x));
  EXPECT_EQ(nn::dropout(at::empty({0}), .5, true).numel(), 0);
  const auto half = nn::dropout(ones({1000}).to(at::kBFloat16), .5, true);  // by LibTorch
  EXPECT_TRUE((half.eq(0) + half.eq(2)).all().item<bool>());
  const PlainScope plain;
  EXPECT_NEAR(nn::dropout(ones({1000}), .5, true).gt(0).to(at::kFloat).mean().item<double>(), .5, .08);
}

}  // namespace
}  // namespace interplay::nn::dropout_test
