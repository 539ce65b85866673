#include <interplay/nn/quantised_rows.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <interplay/base/error.h>

namespace interplay::nn::quantised_rows_test {
namespace {

using ::testing::HasSubstr;

TEST(QuantisedRows, Int8IsTheNearestOf255NumbersOfItsRow) {
  const auto rows = torch::randn({20000, 16}) * torch::logspace(-6, 3, 20000).unsqueeze(1);
  const auto q = quantise(rows, "int8");
  EXPECT_EQ(q.rows.scalar_type(), at::kChar);
  EXPECT_EQ(q.scale.sizes(), (std::vector<int64_t>{20000}));
  const auto most = std::get<0>(rows.abs().max(1, true)), off = (dequantise(q) - rows).abs();
  // A scale is at most 1/128 above most / 127; what is rounded is off by half of it.
  EXPECT_TRUE((off <= most / 127 * (1 + 1. / 128) / 2 * 1.0001).all().item<bool>());
  EXPECT_EQ(q.rows.abs().max().item<int>(), 127);
}

TEST(QuantisedRows, NarrowRowsShareAScale) {
  const auto rows = torch::randn({130, 1});
  const auto q = quantise(rows, "int8");
  EXPECT_EQ(q.scale.sizes(), (std::vector<int64_t>{3}));
  for (const auto& [first, last] : {std::pair{0, 64}, {64, 128}, {128, 130}}) {
    const auto own = rows.slice(0, first, last), off = (dequantise(q).slice(0, first, last) - own).abs();
    EXPECT_LE(off.max().item<float>(), own.abs().max().item<float>() / 127 * (1 + 1. / 128) / 2 * 1.0001);
  }
}

TEST(QuantisedRows, RowsOfZerosStayZero) {
  EXPECT_TRUE(dequantise(quantise(torch::zeros({3, 16}), "int8")).eq(0).all().item<bool>());
}

TEST(QuantisedRows, HalvesAreRoundedAsTorchDoes) {
  const auto rows = torch::randn({7, 3});
  EXPECT_TRUE(dequantise(quantise(rows, "fp16")).equal(rows.to(at::kHalf).to(at::kFloat)));
  EXPECT_TRUE(dequantise(quantise(rows, "bf16")).equal(rows.to(at::kBFloat16).to(at::kFloat)));
  EXPECT_THROW(quantise(rows, "int4"), Error);
}

TEST(QuantisedRows, EntriesThatDoNotFitAreRefused) {
  const auto q = quantise(torch::randn({9, 16}), "int8");
  const auto told = [&](const std::map<std::string, at::Tensor>& entries) -> std::string {
    try {
      dequantised(entries, "file");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(told({{"a.weight", q.rows}, {"a.weight.scale", q.scale}}), "");
  EXPECT_THAT(told({{"a.weight", q.rows}}), HasSubstr("'a.weight' is int8"));
  EXPECT_THAT(told({{"a.weight", q.rows}, {"a.weight.scale", q.scale.slice(0, 1)}}), HasSubstr("expected 9"));
  EXPECT_THAT(told({{"a.weight", q.rows}, {"a.weight.scale", q.scale.to(at::kFloat)}}), HasSubstr("BF16"));
  EXPECT_THAT(told({{"a.weight", q.rows}, {"a.weight.scale", q.scale * INFINITY}}), HasSubstr("finite"));
}

}  // namespace
}  // namespace interplay::nn::quantised_rows_test
