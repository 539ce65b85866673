// Safetensors files that were cut, altered or made to harm are refused by name, and nothing outside the file is read.
#include <cstring>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/nn/safetensors.h>

#include "corrupt/alter.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::testing::safetensors_test {
namespace {

using ::testing::HasSubstr;

std::string with_header(const std::string& header, size_t data_bytes, uint64_t claimed = 0) {
  const uint64_t bytes = claimed ? claimed : header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &bytes, 8);
  return file + header + std::string(data_bytes, '\x01');
}

/// What a file gives, or the message with which it is refused, which has to name it.
std::string read(const fs::path& file) {
  try {
    const nn::Safetensors tensors(file);
    tensors.check();
    std::string all;
    for (const auto& [name, tensor] : tensors.tensors()) {
      all += fmt::format("{} {} [{}] ", name, toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ","));
      const auto flat = tensor.contiguous();
      all.append(static_cast<const char*>(flat.const_data_ptr()), flat.nbytes());
    }
    return all;
  } catch (const Error& problem) {
    EXPECT_EQ(problem.kind(), ErrorKind::data) << problem.what();
    EXPECT_THAT(problem.what(), HasSubstr(file.string()));
    return "refused";
  }
}

TEST(CorruptSafetensors, CutOrAlteredAnywhereItIsRefused) {
  const TempDir dir;
  const auto file = dir / "m.safetensors";
  nn::save_safetensors(file, {{"w", at::arange(6, at::kFloat).view({2, 3})}, {"n", at::tensor({1, 2}, at::kLong)}},
                       {{"made_by", "a test"}});
  const std::string bytes = bytes_of(file), whole = read(file);
  ASSERT_NE(whole, "refused");
  int harmless = 0;
  each_alteration(bytes, {}, [&](const std::string& what, const std::string& altered) {
    put_bytes(file, altered);
    const std::string got = read(file);
    if (got == "refused") return;
    EXPECT_EQ(got, whole) << what;  // the checksum's own key was hit: the file passes for another program's
    ++harmless;
  });
  EXPECT_LE(harmless, 16);
}

TEST(CorruptSafetensors, HeadersThatCannotBeAreRefused) {
  const TempDir dir;
  const auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return fmt::format("\"w\":{{\"dtype\":{},\"shape\":{},\"data_offsets\":{}}}", dtype, shape, offsets);
  };
  const std::string good = entry("\"F32\"", "[2,2]", "[0,16]");
  put_bytes(dir / "good", with_header("{" + good + "}", 16));
  EXPECT_NE(read(dir / "good"), "refused");
  const std::string whole = "{" + good + "}";
  std::vector<std::string> files{
      "",
      "1234567",
      with_header("", 0),
      with_header("", 16),
      with_header(whole, 16, whole.size() + 16 + 1),  // a header as long as the file and one more
      with_header(whole, 16, uint64_t(1) << 63),      // would be negative
      with_header(whole, 16, ~uint64_t(0)),           // 8 + length wraps around
      with_header(whole, 16, ~uint64_t(0) - 7),       // to 0
      with_header(whole, 16, whole.size() - 1),       // the header ends early
      with_header("[1,2,3]", 16),
      with_header("null", 16),
      with_header("{\"w\":5}", 16),
      with_header("{\"w\":{}}", 16),
      with_header("{\"__metadata__\":{\"a\":1}," + good + "}", 16),
      with_header("{\"__metadata__\":[]," + good + "}", 16),
      with_header(std::string(1 << 20, '['), 16),
      with_header("\xff\xfe{" + good + "}", 16),
      with_header(whole, 15),  // cut
      with_header(whole, 17),  // a byte that belongs to nobody
  };
  for (const auto& [dtype, shape, offsets] : std::vector<std::array<std::string, 3>>{
           {"\"F33\"", "[2,2]", "[0,16]"},
           {"\"\"", "[2,2]", "[0,16]"},
           {"4", "[2,2]", "[0,16]"},
           {"\"F64\"", "[2,2]", "[0,16]"},  // of another size
           {"\"F32\"", "[2,3]", "[0,16]"},
           {"\"F32\"", "[-2,-2]", "[0,16]"},
           {"\"F32\"", "[-1]", "[0,16]"},
           {"\"F32\"", "[2.5,2]", "[0,16]"},
           {"\"F32\"", "[4e0]", "[0,16]"},
           {"\"F32\"", "4", "[0,16]"},
           {"\"F32\"", "\"2,2\"", "[0,16]"},
           {"\"F32\"", "[4611686018427387905]", "[0,16]"},                       // times 4 is 4 in 64 bits
           {"\"F32\"", "[4294967296,4294967296,4]", "[0,16]"},                   // 2^66
           {"\"F32\"", "[0,9223372036854775807,9223372036854775807]", "[0,0]"},  // empty, and yet impossible
           {"\"F32\"", "[18446744073709551615]", "[0,16]"},
           {"\"F32\"", "[2,2]", "[16,0]"},
           {"\"F32\"", "[2,2]", "[0,17]"},
           {"\"F32\"", "[2,2]", "[4,20]"},
           {"\"F32\"", "[2,2]", "[0]"},
           {"\"F32\"", "[2,2]", "[0,16,16]"},
           {"\"F32\"", "[2,2]", "[-16,0]"},
           {"\"F32\"", "[2,2]", "[0,1e300]"},
           {"\"F32\"", "[2,2]", "[18446744073709551600,18446744073709551615]"},
           {"\"F32\"", "[2,2]", "{\"a\":0,\"b\":16}"},
       }) {
    files.push_back(with_header(fmt::format("{{{}}}", entry(dtype, shape, offsets)), 16));
  }
  std::string many = "[";
  for (int i = 0; i < 100; ++i) many += "1,";
  files.push_back(with_header(fmt::format("{{{}}}", entry("\"F32\"", many + "4]", "[0,16]")), 16));
  const std::string other = ",\"v\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":";
  files.push_back(with_header("{" + good + other + "[8,16]}}", 16));   // both claim these bytes
  files.push_back(with_header("{" + good + other + "[20,28]}}", 28));  // nobody claims four
  files.push_back(with_header("{" + good + "," + entry("\"F32\"", "[2]", "[0,8]") + "}", 16));  // twice
  for (size_t i = 0; i < files.size(); ++i) {
    put_bytes(dir / "m.safetensors", files[i]);
    EXPECT_EQ(read(dir / "m.safetensors"), "refused") << i << ": " << files[i].substr(0, 200);
  }
}

TEST(CorruptSafetensors, FilesOfOtherProgramsNeedNoChecksum) {
  const TempDir dir;
  const std::string tensors = "\"w\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}";
  put_bytes(dir / "m.safetensors", with_header("{\"__metadata__\":{\"format\":\"pt\"}," + tensors + "}   ", 3));
  EXPECT_EQ(read(dir / "m.safetensors"), "w Byte [3] \x01\x01\x01");
}

}  // namespace
}  // namespace interplay::testing::safetensors_test
