#include "serve/packed_matrix.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace interplay::packed_matrix_test {
namespace {

struct Product {
  int64_t rows, in, out;
  std::vector<ColumnRun> runs;
};

std::vector<float> numbers(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> all(count);
  for (float& v : all) v = normal(generator);
  return all;
}

/// Against the sum in double, whose own rounding is far below that of float.
void check(const Product& p) {
  const auto x = numbers(size_t(p.rows * p.in), 1), w = numbers(size_t(p.out * p.in), 2);
  const int64_t stride = PackedMatrix::padded(p.out);
  auto bias = numbers(size_t(p.out), 3);
  bias.resize(size_t(stride));
  const PackedMatrix matrix(w.data(), p.out, p.in, p.runs);
  for (const bool relu : {false, true}) {
    std::vector<float> y(size_t(p.rows * stride), -7);
    matrix.multiply(x.data(), p.in, p.rows, bias.data(), y.data(), stride, relu);
    for (int64_t r = 0; r < p.rows; ++r) {
      for (int64_t o = 0; o < p.out; ++o) {
        double sum = bias[size_t(o)], size = std::abs(sum);
        for (const auto& run : p.runs) {
          for (int64_t k = run.begin; k < run.begin + run.count; ++k) {
            const double term = double(x[size_t(r * p.in + k)]) * w[size_t(o * p.in + k)];
            sum += term, size += std::abs(term);
          }
        }
        // Each addition rounds by at most 2^-24 of what has come together so far.
        EXPECT_NEAR(y[size_t(r * stride + o)], relu ? std::max(sum, 0.) : sum, 1e-8 + size * double(p.in + 2) * 0x1p-24)
            << p.rows << " x " << p.in << " x " << p.out << ", row " << r << ", output " << o;
      }
    }
  }
}

TEST(PackedMatrix, MultipliesAsTheSumSays) {
  for (const int64_t rows : {1, 2, 3, 7, 8, 9, 13, 16}) {
    for (const int64_t out : {1, 3, 4, 15, 16, 17, 33, 48, 49, 100}) check({rows, 21, out, {{0, 21}}});
  }
  check({1, 1, 1, {{0, 1}}});
  check({200, 64, 400, {{0, 64}}});
}

TEST(PackedMatrix, ReadsTheColumnsThatItWasMadeFor) {
  for (const int64_t out : {2, 50}) {
    check({9, 40, out, {{0, 3}, {5, 1}, {20, 20}}});
    check({9, 40, out, {{39, 1}}});
    check({9, 40, out, {}});  // the bias alone
  }
}

TEST(PackedMatrix, ReluLeavesNoInfinityBelowAndHidesNoNan) {
  for (const int64_t out : {1, 2, 3, 4, 16, 50}) {
    const int64_t stride = PackedMatrix::padded(out);
    const std::vector<float> w(static_cast<size_t>(out), 1), bias(static_cast<size_t>(stride));
    const PackedMatrix matrix(w.data(), out, 1, {{0, 1}});
    const std::vector<float> x{NAN, -INFINITY, INFINITY, -2, 3};
    std::vector<float> y(size_t(int64_t(x.size()) * stride), -7);
    matrix.multiply(x.data(), 1, int64_t(x.size()), bias.data(), y.data(), stride, /*relu=*/true);
    for (int64_t o = 0; o < out; ++o) {
      const auto of = [&](int64_t row) { return y[size_t(row * stride + o)]; };
      EXPECT_TRUE(std::isnan(of(0))) << out << " outputs";
      EXPECT_EQ(of(1), 0);
      EXPECT_EQ(of(2), INFINITY);
      EXPECT_EQ(of(3), 0);
      EXPECT_EQ(of(4), 3);
    }
  }
}

TEST(PackedMatrix, GivesARowTheSameAloneAndAmongOthers) {
  const int64_t in = 100, out = 70, stride = PackedMatrix::padded(out);
  const auto x = numbers(size_t(11 * in), 4), w = numbers(size_t(out * in), 5);
  const std::vector<float> bias(static_cast<size_t>(stride));
  const PackedMatrix matrix(w.data(), out, in, {{0, in}});
  std::vector<float> all(size_t(11 * stride)), one(static_cast<size_t>(stride));
  matrix.multiply(x.data(), in, 11, bias.data(), all.data(), stride, false);
  for (int64_t r = 0; r < 11; ++r) {
    matrix.multiply(x.data() + r * in, in, 1, bias.data(), one.data(), stride, false);
    EXPECT_TRUE(std::equal(one.begin(), one.begin() + out, all.begin() + r * stride)) << "row " << r;
  }
}

}  // namespace
}  // namespace interplay::packed_matrix_test
