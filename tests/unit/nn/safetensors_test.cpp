#include <interplay/nn/safetensors.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <string>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::nn::safetensors_test {
namespace {

using interplay::testing::data_error;
using interplay::testing::TempDir;
using ::testing::HasSubstr;

// tests/reference reads files that Python's safetensors wrote; damaged files are in tests/corrupt.

TEST(Safetensors, WritesTheBytesThatTheFormatAsksFor) {
  const TempDir dir;
  save_safetensors(dir / "m.safetensors",
                   {{"b", at::tensor({1.f, -2.f, 0.5f, 4.f}).view({2, 2})}, {"a", at::tensor({7, -8}, at::kLong)}},
                   {{"made_by", "a test"}});
  const std::string bytes = read_file(dir / "m.safetensors");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  EXPECT_EQ((8 + header_bytes) % 64, 0u);  // the data are aligned for wide loads
  const auto header = nlohmann::json::parse(bytes.substr(8, header_bytes));
  EXPECT_EQ(header.at("__metadata__").at("made_by"), "a test");
  EXPECT_EQ(header.at("a"), nlohmann::json::parse(R"({"dtype": "I64", "shape": [2], "data_offsets": [0, 16]})"));
  EXPECT_EQ(header.at("b"), nlohmann::json::parse(R"({"dtype": "F32", "shape": [2, 2], "data_offsets": [16, 32]})"));
  EXPECT_EQ(header.size(), 3u);
  const int64_t whole[] = {7, -8};
  const float real[] = {1, -2, 0.5, 4};
  const std::string data = bytes.substr(8 + header_bytes);
  ASSERT_EQ(data.size(), 32u);
  EXPECT_EQ(std::memcmp(data.data(), whole, 16), 0);
  EXPECT_EQ(std::memcmp(data.data() + 16, real, 16), 0);
}

TEST(Safetensors, GivesBackEveryNumberTypeAndShape) {
  const TempDir dir;
  std::map<std::string, at::Tensor> tensors;
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort, at::kChar,
                          at::kByte, at::kBool}) {
    tensors[std::string("matrix ") + toString(type)] =
        at::tensor({0.f, 1.f, 2.f, 100.f, 1.f, 0.f}).view({3, 2}).to(type);
    tensors[std::string("scalar ") + toString(type)] = at::tensor(1).to(type).squeeze(0);
    tensors[std::string("empty ") + toString(type)] = at::zeros({3, 0, 2}).to(type);
  }
  tensors["a. dotted \"name\" \n \xC3\xA9"] = at::tensor({1.f});
  save_safetensors(dir / "m.safetensors", tensors);
  const Safetensors file(dir / "m.safetensors");
  EXPECT_EQ(file.tensors().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    ASSERT_TRUE(file.has(name)) << name;
    EXPECT_EQ(file.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(file.at(name), tensor)) << name;
  }
  EXPECT_TRUE(file.metadata().empty());
}

TEST(Safetensors, WritesStridedViewsAsTheyRead) {
  const TempDir dir;
  const auto wide = at::arange(24, at::kFloat).view({4, 6});
  const std::map<std::string, at::Tensor> views{
      {"columns", wide.narrow(1, 2, 3)},  // as an embedding table, whose rows hold state too
      {"transposed", wide.t()},
      {"every other", wide.slice(0, 0, 4, 2)},
      {"expanded", at::ones({1, 2}).expand({3, 2})},
      {"one", wide[1][1]},
  };
  save_safetensors(dir / "m.safetensors", views);
  const Safetensors file(dir / "m.safetensors");
  for (const auto& [name, view] : views) {
    EXPECT_TRUE(at::equal(file.at(name), view)) << name;
    EXPECT_TRUE(file.at(name).is_contiguous()) << name;
  }
}

TEST(Safetensors, TensorsOutliveTheFileAndItsObject) {
  const TempDir dir;
  save_safetensors(dir / "m.safetensors", {{"w", at::arange(1000, at::kFloat)}});
  const at::Tensor w = Safetensors(dir / "m.safetensors").at("w");
  std::filesystem::remove(dir / "m.safetensors");
  EXPECT_EQ(w.sum().item<float>(), 499500);
}

TEST(Safetensors, HoldsNothingOrMetadataAlone) {
  const TempDir dir;
  save_safetensors(dir / "m.safetensors", {}, {{"epoch", "3"}, {"quote", "\"\\\n"}});
  const Safetensors file(dir / "m.safetensors");
  EXPECT_TRUE(file.tensors().empty());
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"epoch", "3"}, {"quote", "\"\\\n"}}));
}

TEST(Safetensors, ReplacesAFileWhole) {
  const TempDir dir;
  const auto file = dir / "m.safetensors";
  save_safetensors(file, {{"w", at::zeros({100})}});
  const Safetensors before(file);
  save_safetensors(file, {{"w", at::ones({3})}});
  EXPECT_TRUE(at::equal(before.at("w"), at::zeros({100})));  // whoever reads the old one goes on reading it
  EXPECT_TRUE(at::equal(Safetensors(file).at("w"), at::ones({3})));
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir.path())) ++files;
  EXPECT_EQ(files, 1u);
}

TEST(Safetensors, NamesFileAndEntryWhereOneIsMissing) {
  const TempDir dir;
  save_safetensors(dir / "m.safetensors", {{"w", at::zeros({1})}});
  const Safetensors file(dir / "m.safetensors");
  EXPECT_FALSE(file.has("v"));
  EXPECT_THAT(data_error([&] { file.at("v"); }), HasSubstr((dir / "m.safetensors").string() + ": has no entry 'v'"));
}

TEST(Safetensors, NamesAFileThatIsNotThere) {
  EXPECT_THAT(data_error([] { Safetensors("/nowhere/m.safetensors"); }), HasSubstr("/nowhere/m.safetensors"));
  EXPECT_THAT(data_error([] { save_safetensors("/nowhere/m.safetensors", {}); }), HasSubstr("/nowhere/m.safetensors"));
}

TEST(Safetensors, RefusesANumberTypeThatTheFormatLacks) {
  const TempDir dir;
  EXPECT_THROW(save_safetensors(dir / "m.safetensors", {{"z", at::zeros({1}, at::kComplexFloat)}}), Error);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace interplay::nn::safetensors_test
