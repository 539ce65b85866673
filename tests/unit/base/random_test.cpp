#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include <interplay/base/random.h>

namespace interplay::testing::random_test {
namespace {

TEST(Random, BitsAreThoseOfTheFormula) {
  // Worked out in Python from random.cpp's formula: stored data and runs rely on these bits for good.
  EXPECT_EQ(random_bits(0, 0, 0), 0x45cec29cd9a24e4bu);
  EXPECT_EQ(random_bits(1, 2, 3), 0x3a8ef22f3a8db302u);
  EXPECT_EQ(random_bits(~uint64_t{0}, 5, uint64_t{1} << 63), 0xf459218f2a9cdeeeu);
}

TEST(Random, EachOfSeedStreamAndIndexCounts) {
  std::set<uint64_t> seen;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (uint64_t stream = 0; stream < 20; ++stream) {
      for (uint64_t index = 0; index < 20; ++index) seen.insert(random_bits(seed, stream, index));
    }
  }
  EXPECT_EQ(seen.size(), 8000u);
}

TEST(Random, UnitIsUniform) {
  constexpr int64_t kDraws = 1'000'000;
  constexpr int kBins = 64;
  std::vector<int64_t> bins(kBins);
  double sum = 0, products = 0, before = 0.5;
  for (int64_t i = 0; i < kDraws; ++i) {
    const double u = random_unit(11, 3, uint64_t(i));
    ASSERT_TRUE(u >= 0 && u < 1);
    ++bins[size_t(u * kBins)];
    sum += u;
    products += (u - 0.5) * (before - 0.5);
    before = u;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(products / kDraws, 0, 5.0 / 12 / std::sqrt(kDraws)) << "neighbours are independent";
  double chi2 = 0;
  for (const int64_t n : bins) chi2 += std::pow(double(n) - double(kDraws) / kBins, 2) / (double(kDraws) / kBins);
  EXPECT_LT(chi2, 63 + 5 * std::sqrt(2.0 * 63));
}

TEST(Random, NormalHasTheMomentsOfANormal) {
  constexpr int64_t kDraws = 1'000'000;
  double sum[5] = {};
  for (int64_t i = 0; i < kDraws; ++i) {
    const double x = random_normal(12, 4, uint64_t(i));
    ASSERT_TRUE(std::isfinite(x));
    for (int power = 1; power <= 4; ++power) sum[power] += std::pow(x, power);
  }
  const double n = kDraws;  // the moments' own deviations: 1, sqrt 2, sqrt 15, sqrt 96
  EXPECT_NEAR(sum[1] / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(sum[2] / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(sum[3] / n, 0, 5 * std::sqrt(15 / n));
  EXPECT_NEAR(sum[4] / n, 3, 5 * std::sqrt(96 / n));
}

TEST(Permutation, IsABijectionForEverySizeAndSeed) {
  for (uint64_t n = 1; n <= 300; ++n) {
    for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}}) {
      const Permutation permutation(n, seed);
      std::vector<bool> hit(n);
      for (uint64_t i = 0; i < n; ++i) {
        const uint64_t at = permutation.at(i);
        ASSERT_LT(at, n);
        ASSERT_FALSE(hit[at]) << n << " " << i;
        hit[at] = true;
      }
    }
  }
}

TEST(Permutation, MixesAndDependsOnTheSeed) {
  constexpr uint64_t kSize = 100'000;
  const Permutation a(kSize, 1), b(kSize, 2);
  int64_t same = 0, fixed = 0, rising = 0;
  for (uint64_t i = 0; i + 1 < kSize; ++i) {
    same += a.at(i) == b.at(i);
    fixed += a.at(i) == i;
    rising += a.at(i + 1) > a.at(i);
  }
  EXPECT_LT(same, 20);   // 1 expected
  EXPECT_LT(fixed, 20);  // 1 expected
  EXPECT_NEAR(double(rising) / kSize, 0.5, 0.02);
}

TEST(Permutation, OfVeryManyStaysWithin) {
  constexpr uint64_t kSize = (uint64_t{1} << 40) + 7;
  const Permutation permutation(kSize, 5);
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < 1000; ++i) {
    const uint64_t at = permutation.at(kSize - 1 - i);
    ASSERT_LT(at, kSize);
    seen.insert(at);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

}  // namespace
}  // namespace interplay::testing::random_test
