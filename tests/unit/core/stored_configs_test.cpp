// Every configuration in configs/ is the same once it is printed and read again, as a run's config.yaml is.
#include <algorithm>

#include <gtest/gtest.h>

#include <interplay/base/config.h>
#include <interplay/core/augmenter.h>
#include <interplay/core/model.h>
#include <interplay/search/search.h>
#include <interplay/train/run.h>

namespace fs = std::filesystem;

namespace interplay::testing::stored_configs_test {
namespace {

/// Whether this program has all that an experiment names; what systems have is of a library of their own.
bool is_here(const Config& config) {
  if (!models().has(config["model"]["name"].as<std::string>())) return false;
  const Config fields = config["fields"];
  if (!fields.defined() || !fields.has("augment")) return true;
  const auto added = fields["augment"].items();
  return std::all_of(added.begin(), added.end(), [](const Config& one) { return augmenters().has(name_in(one)); });
}

TEST(StoredConfigs, ParseBackEqualAsWrittenAndResolved) {
  const fs::path folder = fs::path(INTERPLAY_TESTS_DIR).parent_path() / "configs";
  int data = 0, experiments = 0, searches_there = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    SCOPED_TRACE(entry.path().string());
    Config config = Config::load(entry.path());
    EXPECT_TRUE(Config::parse(config.yaml()) == config);
    if (!config.has("model") || !config["model"].has("name")) {
      ++data;
      continue;
    }
    if (!is_here(config)) continue;
    const Config search = config["search"];
    if (search.defined()) {
      const Config resolved = searches().resolve(search);
      EXPECT_TRUE(Config::parse(resolved.yaml()) == resolved) << resolved.yaml();
      ++searches_there;
    }
    const Config resolved = resolve_experiment(config);
    EXPECT_TRUE(Config::parse(resolved.yaml()) == resolved) << resolved.yaml();
    EXPECT_TRUE(resolve_experiment(Config::parse(resolved.yaml())) == resolved);
    ++experiments;
  }
  EXPECT_GE(data, 5);
  EXPECT_GE(experiments, 40);
  EXPECT_GE(searches_there, 10);
}

}  // namespace
}  // namespace interplay::testing::stored_configs_test
