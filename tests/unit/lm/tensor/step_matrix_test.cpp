#include "lm/tensor/step_matrix.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <interplay/base/random.h>
#include <interplay/nn/plain_scope.h>

#include "support/gguf_writer.h"
#include "support/stored.h"
#include "support/temp_dir.h"

namespace interplay::lm::step_matrix_test {
namespace {

using interplay::testing::GgufWriter;
using interplay::testing::TempDir;

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::TensorOptions().dtype(at::kFloat));
}

/// Blocks of a quantised type whose bytes are random but for the scales, halves of about 0.01 to 0.5 of either sign.
std::string random_blocks(int64_t blocks, int64_t block_bytes, int64_t scales, uint64_t seed) {
  std::string out;
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t i = 0; i < block_bytes; ++i) out += char(random_bits(seed, uint64_t(b), uint64_t(i)));
    for (int64_t s = 0; s < scales; ++s) {
      char& high = out[out.size() - size_t(block_bytes) + size_t(2 * s) + 1];
      high = char((uint8_t(high) & 0x8f) | 0x20);  // exponents of 8 to 15 less 15
    }
  }
  return out;
}

/// Products with the rows of `w` in f64.
at::Tensor expected_product(const at::Tensor& w, const at::Tensor& x) {
  return x.to(at::kDouble).matmul(w.to(at::kDouble).t());
}

/// 1 to 9 rows: those of all are each the bits of the row alone, and of the plain twin.
void expect_rows_of_their_own(const StepMatrix& matrix, const at::Tensor& w, const at::Tensor& bound) {
  const auto x = noise({9, w.size(1)}, 5);
  const auto all = matrix.product(x);
  EXPECT_TRUE(((all - expected_product(w, x)).abs() <= bound).all().item<bool>());
  for (int64_t rows = 1; rows <= 9; ++rows) {
    const auto some = matrix.product(x.narrow(0, 9 - rows, rows));
    EXPECT_TRUE(some.equal(all.narrow(0, 9 - rows, rows))) << rows;
  }
  const nn::PlainScope plain;
  EXPECT_TRUE(matrix.product(x).equal(all));
}

void expect_dense(const at::Tensor& w) {
  const auto expected = expected_product(w, noise({9, w.size(1)}, 5));
  expect_rows_of_their_own(StepMatrix(w), w, 1e-5 * expected.abs().max());
}

/// Each number of x is off by half of 1/32767 of the largest of its block at most; sums of f32, by 1e-5 of the largest.
void expect_quantised(const StepMatrix& matrix, const at::Tensor& w) {
  const auto x = noise({9, w.size(1)}, 5);
  const auto steps = x.view({9, -1, 32}).abs().amax(2, true).expand({9, -1, 32}).reshape({9, -1}) / 32767;
  const auto expected = expected_product(w, x);
  expect_rows_of_their_own(matrix, w, expected_product(w.abs(), steps) / 2 + 1e-5 * expected.abs().max());
}

TEST(StepMatrix, DenseRowsOfAnyWidth) {
  for (const int64_t width : {7, 32, 75, 192}) {
    const auto w = noise({70, width}, 1);
    expect_dense(w);
    expect_dense(w.to(at::kBFloat16));
  }
}

// Against what the format's reader expands them to (gguf_test holds that against the gguf package).
TEST(StepMatrix, QuantisedRowsAreTheNumbersTheyStandFor) {
  const TempDir dir;
  constexpr int64_t kRows = 70, kColumns = 96;
  struct Kind {
    const char* name;
    uint32_t type;
    int64_t block_bytes, scales;
  };
  for (const auto& kind : {Kind{"q4_0", 2, 18, 1}, Kind{"q4_1", 3, 20, 2}, Kind{"q8_0", 8, 34, 1}}) {
    GgufWriter writer;
    writer.tensor("w", {kColumns, kRows}, kind.type,
                  random_blocks(kRows * kColumns / 32, kind.block_bytes, kind.scales, 1));
    const Gguf file(dir.write(kind.name, writer.bytes()));
    auto w = at::empty({kRows, kColumns});
    file.read("w", 0, {w.mutable_data_ptr<float>(), size_t(w.numel())});
    SCOPED_TRACE(kind.name);
    StepMatrix matrix;
    matrix.append(file, file.tensor("w"));
    EXPECT_EQ(matrix.out(), kRows);
    expect_quantised(matrix, w);

    // Heads of 10 numbers, which the file has as 0 5 1 6 2 7 ..; then the same rows in their own order.
    std::vector<int64_t> order;
    for (int64_t head = 0; head < kRows; head += 10)
      for (const int64_t place : {0, 2, 4, 6, 8, 1, 3, 5, 7, 9}) order.push_back(head + place);
    StepMatrix both;
    both.append(file, file.tensor("w"), 10);
    both.append(file, file.tensor("w"));
    expect_quantised(both, at::cat({w.index_select(0, at::tensor(order)), w}));
  }
}

// 32 ones of 16 bits: 2 x_k come out as they went in where x has but few bits; a block has its own scale.
TEST(StepMatrix, RoundsEachBlockOfARowToSixteenBits) {
  const TempDir dir;
  GgufWriter writer;
  std::string ones = std::string("\x00\x40", 2) + std::string(32, '\x01');  // 2 in half precision, then codes
  writer.tensor("w", {64, 1}, 8, ones + ones);
  const Gguf file(dir.write("q8_0", writer.bytes()));
  StepMatrix matrix;
  matrix.append(file, file.tensor("w"));
  const auto of = [&](float large, float small) {
    auto x = at::zeros({1, 64});
    x[0][3] = large, x[0][4] = small, x[0][40] = 1e-6f;
    return matrix.product(x).item<double>();
  };
  const double other = 2e-6;
  EXPECT_NEAR(of(32767, 2), 2 * 32769. + other, 1e-2);
  EXPECT_NEAR(of(32767, .4f), 2 * 32767. + other, 1e-2);  // less than half a step
  EXPECT_NEAR(of(0, 0), other, 1e-12);
  EXPECT_NEAR(of(1e-36f, 0), other, 1e-12);
  EXPECT_NEAR(of(-1e38f, 0) / -2e38, 1, 1e-6);
  EXPECT_TRUE(std::isnan(of(std::numeric_limits<float>::quiet_NaN(), 0)));
  EXPECT_TRUE(std::isnan(of(0, -std::numeric_limits<float>::infinity())));
}

}  // namespace
}  // namespace interplay::lm::step_matrix_test
