#include <interplay/core/plugin.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <interplay/base/abi.h>
#include <interplay/base/files.h>
#include <interplay/core/model.h>

namespace interplay {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Plugin : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }

  const fs::path folder_ = fs::temp_directory_path() / fmt::format("interplay_plugin_test_{}", ::getpid());
};

std::string refusal(const fs::path& file) {
  try {
    load_plugin(file);
  } catch (const Error& error) {
    return error.what();
  }
  return "(loaded)";
}

TEST_F(Plugin, ModelOfALoadedPluginIsMadeAndRuns) {
  EXPECT_FALSE(models().has("test_constant"));
  load_plugin(TEST_PLUGIN_GOOD);
  const auto model = make_model(Config::parse("{name: test_constant, start: 0.25}"), Schema());
  Features x;
  x.rows = 3;
  EXPECT_TRUE(at::equal(model->forward(x).logit, at::full({3}, 0.25)));
  EXPECT_EQ(models().find(Config::parse("test_constant")).origin, TEST_PLUGIN_GOOD);
}

TEST_F(Plugin, LoadingTwiceDoesNothing) {
  load_plugin(TEST_PLUGIN_GOOD);
  load_plugin(TEST_PLUGIN_GOOD);
  EXPECT_TRUE(models().has("test_constant"));
}

TEST_F(Plugin, StaleOneIsRefusedWithBothVersions) {
  const std::string own = fmt::format("Interplay {}, LibTorch {}", INTERPLAY_VERSION, INTERPLAY_TORCH_VERSION);
  EXPECT_THAT(
      refusal(TEST_PLUGIN_STALE),
      AllOf(HasSubstr(TEST_PLUGIN_STALE), HasSubstr("built for Interplay 0.0.9, LibTorch 2.14.1, headers 0badcafe"),
            HasSubstr("this is " + own), HasSubstr("rebuild")));
  EXPECT_FALSE(models().has("test_constant"));  // none of its code ran
}

TEST_F(Plugin, LibraryThatRegistersNothingIsRefused) {
  EXPECT_THAT(refusal(TEST_PLUGIN_NONE), HasSubstr("registers nothing with Interplay"));
}

TEST_F(Plugin, NamesTheFileThatIsNotThere) {
  EXPECT_THAT(refusal(folder_ / "absent.so"), AllOf(HasSubstr("absent.so"), HasSubstr("no such file")));
  EXPECT_THAT(refusal(folder_), HasSubstr("not a file"));
}

TEST_F(Plugin, TextFileIsRefused) {
  EXPECT_THAT(refusal(write("model.so", "class DeepFM : public Model {};")), HasSubstr("not a shared library"));
  EXPECT_THAT(refusal(write("long.so", std::string(100000, 'x'))), HasSubstr("not a shared library"));
  EXPECT_THAT(refusal(write("empty.so", "")), HasSubstr("not a shared library"));
}

TEST_F(Plugin, ProgramIsRefused) {
  // Position-independent programs are ELF files of the same type; what they lack is the ABI symbol.
  EXPECT_THAT(refusal("/bin/sh"), Not(HasSubstr("(loaded)")));
}

TEST_F(Plugin, TruncatedOneIsRefusedAtEveryLength) {
  const std::string whole = read_file(TEST_PLUGIN_NONE);  // small; its layout is that of every plugin
  for (size_t bytes = 0; bytes < whole.size(); bytes += bytes < 256 ? 1 : 61) {
    ASSERT_THAT(refusal(write("cut.so", whole.substr(0, bytes))),
                AnyOf(HasSubstr("cut short"), HasSubstr("not a shared library")))
        << bytes << " bytes";
  }
}

TEST_F(Plugin, TruncatedRealOneIsRefused) {
  const std::string whole = read_file(TEST_PLUGIN_GOOD);
  for (const double part : {0.1, 0.5, 0.9, 0.999}) {
    EXPECT_THAT(refusal(write("cut.so", whole.substr(0, size_t(double(whole.size()) * part)))), HasSubstr("cut short"));
  }
}

// Headers that lie: no offset or count in the file may lead outside it.
TEST_F(Plugin, AlteredHeadersNeverLeadOutsideTheFile) {
  const std::string whole = read_file(TEST_PLUGIN_NONE);
  const size_t sections = whole.size() - 64 * 40;
  const auto try_at = [&](size_t at) {
    std::string altered = whole;
    altered[at] = char(0xff);
    ASSERT_THAT(refusal(write("altered.so", altered)), Not(HasSubstr("(loaded)"))) << "byte " << at;
  };
  for (size_t at = 0; at < 64; ++at) try_at(at);
  for (size_t at = sections; at < whole.size(); ++at) try_at(at);
}

// Last, since the registry stays refusing afterwards where all tests share a process.
TEST_F(Plugin, NameClashNamesBothFiles) {
  load_plugin(TEST_PLUGIN_GOOD);
  EXPECT_THAT(refusal(TEST_PLUGIN_CLASH),
              AllOf(HasSubstr("model 'test_constant'"), HasSubstr(TEST_PLUGIN_GOOD), HasSubstr(TEST_PLUGIN_CLASH)));
  EXPECT_THROW(make_model(Config::parse("test_constant"), Schema()), Error);
}

}  // namespace
}  // namespace interplay
