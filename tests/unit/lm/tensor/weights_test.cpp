#include <interplay/lm/weights.h>

#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>

#include "support/error_of.h"
#include "support/gguf_writer.h"
#include "support/temp_dir.h"

namespace interplay::lm::weights_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::f32_bytes;
using interplay::testing::GgufWriter;
using interplay::testing::TempDir;
using ::testing::HasSubstr;

TEST(Weights, HaveTheShapeAndNumbersOfTheFile) {
  const TempDir dir;
  std::vector<float> many(3 * 70'000);  // several parts, the last of them short
  for (size_t i = 0; i < many.size(); ++i) many[i] = float(i) / 3;
  GgufWriter w;
  w.tensor("long rows", {70'000, 3}, 0, f32_bytes(many)).tensor("short rows", {3, 70'000}, 0, f32_bytes(many));
  w.tensor("one", {}, 0, f32_bytes({7})).tensor("deep", {1, 2, 3}, 0, f32_bytes({0, 1, 2, 3, 4, 5}));
  const Gguf file(dir.write("m.gguf", w.bytes()));
  const auto expected = at::tensor(many);
  EXPECT_TRUE(at::equal(to_tensor(file, "long rows", at::kFloat), expected.view({3, 70'000})));
  EXPECT_TRUE(at::equal(to_tensor(file, "short rows", at::kFloat), expected.view({70'000, 3})));
  EXPECT_TRUE(at::equal(to_tensor(file, "one", at::kFloat), at::scalar_tensor(7.f)));
  EXPECT_TRUE(at::equal(to_tensor(file, "deep", at::kFloat), at::arange(6, at::kFloat).view({3, 2, 1})));
}

TEST(Weights, QuantisedRowsComeOutWhereTheyBelong) {
  const TempDir dir;
  std::string blocks;  // row r: d = 1 in half precision, quants r mod 100
  for (int row = 0; row < 5000; ++row) blocks += GgufWriter::raw(uint16_t(0x3c00)) + std::string(32, char(row % 100));
  GgufWriter w;
  w.tensor("q", {32, 5000}, 8, blocks);
  const Gguf file(dir.write("m.gguf", w.bytes()));
  const auto expected = at::arange(5000, at::kFloat).remainder(100).unsqueeze(1).expand({5000, 32});
  EXPECT_TRUE(at::equal(to_tensor(file, "q", at::kFloat), expected));
  EXPECT_TRUE(at::equal(to_tensor(file, "q", at::kBFloat16), expected.to(at::kBFloat16)));
}

// bfloat16 keeps 8 bits: 1 + 2^-8 lies half-way between 1 and 1 + 2^-7, 1 + 3 2^-8 between that and 1 + 2^-6.
TEST(Weights, Bfloat16IsRoundedToNearestEven) {
  const TempDir dir;
  GgufWriter w;
  w.tensor("w", {4}, 0, f32_bytes({1 + 0x1p-8f, 1 + 3 * 0x1p-8f, 1 + 0x1.2p-8f, -1 - 0x1p-8f}));
  const Gguf file(dir.write("m.gguf", w.bytes()));
  const auto found = to_tensor(file, "w", at::kBFloat16);
  EXPECT_EQ(found.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(found.to(at::kFloat), at::tensor({1.f, 1 + 0x1p-6f, 1 + 0x1p-7f, -1.f})));
}

TEST(Weights, MissingTensorsAndOtherTypesAreNamed) {
  const TempDir dir;
  GgufWriter w;
  w.tensor("w", {1}, 0, f32_bytes({1}));
  const Gguf file(dir.write("m.gguf", w.bytes()));
  EXPECT_THAT(data_error([&] { to_tensor(file, "v", at::kFloat); }), HasSubstr("no tensor 'v'"));
  EXPECT_THAT(config_error([&] { to_tensor(file, "w", at::kHalf); }), HasSubstr("not as Half"));
}

TEST(Weights, OutliveTheFile) {
  const TempDir dir;
  GgufWriter w;
  w.tensor("w", {2}, 0, f32_bytes({1, 2}));
  const auto found = to_tensor(Gguf(dir.write("m.gguf", w.bytes())), "w", at::kFloat);
  std::filesystem::remove(dir / "m.gguf");
  EXPECT_EQ(found.sum().item<float>(), 3);
}

}  // namespace
}  // namespace interplay::lm::weights_test
