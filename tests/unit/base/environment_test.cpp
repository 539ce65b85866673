#include <interplay/base/environment.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace interplay::environment_test {
namespace {

using ::testing::HasSubstr;

TEST(Environment, TheManualListsWhatIsRecommended) {
  std::ifstream page(std::filesystem::path(INTERPLAY_TESTS_DIR).parent_path() / "docs/cpp.md");
  std::stringstream text;
  text << page.rdbuf();
  EXPECT_FALSE(recommended_environment().empty());
  for (const auto& setting : recommended_environment())
    EXPECT_THAT(text.str(), HasSubstr("`" + std::string(setting.name) + "=" + setting.value + "`"));
}

TEST(Environment, EverySettingHasAReason) {
  for (const auto& setting : recommended_environment()) EXPECT_GT(std::string(setting.why).size(), 20u);
}

}  // namespace
}  // namespace interplay::environment_test
