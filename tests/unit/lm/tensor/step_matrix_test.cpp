#include "lm/tensor/step_matrix.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <interplay/base/random.h>

#include "support/gguf_writer.h"
#include "support/stored.h"
#include "support/temp_dir.h"

namespace interplay::lm {
namespace {

using interplay::testing::expect_near;
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

/// 1 to 9 rows: those of all are each the bits of the row alone.
void expect_rows_of_their_own(const StepMatrix& matrix, const at::Tensor& w) {
  const auto x = noise({9, w.size(1)}, 5);
  const auto all = matrix.product(x);
  const auto expected = expected_product(w, x);
  EXPECT_LT((all - expected).abs().max().item<double>(), 1e-5 * expected.abs().max().item<double>());
  for (int64_t rows = 1; rows <= 9; ++rows) {
    const auto some = matrix.product(x.narrow(0, 9 - rows, rows));
    EXPECT_TRUE(some.equal(all.narrow(0, 9 - rows, rows))) << rows;
  }
}

TEST(StepMatrix, DenseRowsOfAnyWidth) {
  for (const int64_t width : {7, 32, 75, 192}) {
    const auto w = noise({70, width}, 1);
    expect_rows_of_their_own(StepMatrix(w), w);
    const auto half = w.to(at::kBFloat16);
    expect_rows_of_their_own(StepMatrix(half), half);
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
    expect_rows_of_their_own(matrix, w);

    // Heads of 10 numbers, which the file has as 0 5 1 6 2 7 ..; then the same rows in their own order.
    std::vector<int64_t> order;
    for (int64_t head = 0; head < kRows; head += 10)
      for (const int64_t place : {0, 2, 4, 6, 8, 1, 3, 5, 7, 9}) order.push_back(head + place);
    StepMatrix both;
    both.append(file, file.tensor("w"), 10);
    both.append(file, file.tensor("w"));
    expect_rows_of_their_own(both, at::cat({w.index_select(0, at::tensor(order)), w}));
  }
}

}  // namespace
}  // namespace interplay::lm
