#include <interplay/lm/generator.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>

#include "support/error_of.h"
#include "support/temp_dir.h"
#include "support/tiny_generator.h"

namespace interplay::lm::cached_generator_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::ids_of;
using interplay::testing::prompts_of;
using interplay::testing::TempDir;
using interplay::testing::tiny_generator;
using ::testing::HasSubstr;

/// Counts what it is asked.
class Counting final : public LmGenerator {
 public:
  explicit Counting(LmGenerator& generator) : generator_(generator) {}
  void generate_each(std::span<const LmPrompt> prompts, const GenerateOptions& options, const Use& use) override {
    ++calls;
    asked += int64_t(prompts.size());
    int64_t done = 0;
    generator_.generate_each(prompts, options, [&](int64_t i, Generated answer) {
      if (done++ == most) throw Error("interrupted");
      use(i, std::move(answer));
    });
  }
  std::string identity() const override { return generator_.identity() + name; }
  int64_t calls = 0, asked = 0, most = -1;
  std::string name;

 private:
  LmGenerator& generator_;
};

TEST(CachedGenerator, AsksNothingTwice) {
  const TempDir dir;
  const auto generator = tiny_generator();
  auto prompts = prompts_of(8);
  prompts.push_back(prompts[2]);
  const GenerateOptions options{.max_tokens = 9, .temperature = 0.8, .seed = 3};
  const auto expected = generator->generate(prompts, options);
  Counting counting(*generator);
  for (int run = 0; run < 2; ++run) {
    CachedGenerator cached(counting, dir / "cache");
    const auto answers = cached.generate(prompts, options);
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(answers[i].ids, expected[i].ids);
      EXPECT_EQ(answers[i].text, expected[i].text);
      EXPECT_EQ(answers[i].finish, expected[i].finish);
    }
    EXPECT_EQ(counting.calls, 1);
    EXPECT_EQ(counting.asked, 8);  // the ninth is the third
    EXPECT_EQ(cached.generated(), run == 0 ? 8 : 0);
  }
}

// Whatever changes an answer is part of its key; what does not change it is none.
TEST(CachedGenerator, AsksAnewWhatMayBeAnsweredOtherwise) {
  const TempDir dir;
  const auto generator = tiny_generator();
  Counting counting(*generator);
  const auto asks = [&](const GenerateOptions& options, uint64_t draw = 0) {
    const int64_t before = counting.asked;
    CachedGenerator(counting, dir / "cache").generate(std::vector<LmPrompt>{{{4, 5}, draw}}, options);
    return counting.asked - before;
  };
  EXPECT_EQ(asks({.max_tokens = 4}), 1);
  EXPECT_EQ(asks({.max_tokens = 4, .top_k = 3, .top_p = 0.5, .seed = 9, .batch = 2}, 7), 0);  // nothing is drawn
  EXPECT_EQ(asks({.max_tokens = 5}), 1);
  EXPECT_EQ(asks({.max_tokens = 4, .stop = {"a"}}), 1);
  EXPECT_EQ(asks({.choices = {{3}, {4}}}), 1);
  EXPECT_EQ(asks({.choices = {{3}, {5}}}), 1);
  EXPECT_EQ(asks({.max_tokens = 4, .temperature = 1}), 1);
  EXPECT_EQ(asks({.max_tokens = 4, .temperature = 1, .top_k = 3}), 1);
  EXPECT_EQ(asks({.max_tokens = 4, .temperature = 1, .top_p = 0.5}), 1);
  EXPECT_EQ(asks({.max_tokens = 4, .temperature = 1, .seed = 2}), 1);
  EXPECT_EQ(asks({.max_tokens = 4, .temperature = 1, .seed = 2}, 1), 1);
  EXPECT_EQ(asks({.max_tokens = 4, .temperature = 1, .seed = 2}, 1), 0);
  counting.name = " with an adapter";
  EXPECT_EQ(asks({.max_tokens = 4}), 1);
}

TEST(CachedGenerator, GoesOnWhereItWasInterrupted) {
  const TempDir dir;
  const auto generator = tiny_generator();
  const auto prompts = prompts_of(10);
  const GenerateOptions options{.max_tokens = 3};
  Counting counting(*generator);
  counting.most = 6;
  EXPECT_THAT(config_error([&] { CachedGenerator(counting, dir / "c").generate(prompts, options); }),
              HasSubstr("interrupted"));
  counting.most = -1, counting.asked = 0;
  CachedGenerator cached(counting, dir / "c");
  EXPECT_EQ(ids_of(cached.generate(prompts, options)), ids_of(generator->generate(prompts, options)));
  EXPECT_EQ(counting.asked, 4);
}

}  // namespace
}  // namespace interplay::lm::cached_generator_test
