#include <interplay/systems/rella.h>

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/temp_dir.h"
#include "systems/lab/text_pattern.h"

namespace interplay::rella_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::data_error;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

constexpr const char* kData =
    "file: events.csv\nsplit: {by: time, time: t, tie: [u, i], ratios: [0.5, 0.25, 0.25]}\n"
    "label: {column: r, at_least: 4}\njoin: [{file: items.csv, key: i}]\nfields:\n"
    "  - {columns: [u, sex, i]}\n  - {column: genres, name: genre, first_of: \"|\"}\n"
    "  - {name: h, kind: history, user: u, item: i, time: t, min_length: 1}\n";

constexpr const char* kExperiment =
    "data: data.yaml\nhistory: h\ntopic: genre\nitem_text: \"{title} ({genre})\"\nlengths: [1, 2]\n"
    "retrieval: {dimension: 2}\n"
    "prompt:\n  system: Judge.\n  user: \"A {sex} viewer:\\n{history}\\nNext: {title}?\"\n"
    "  event: \"{index}) {title}, {r}\"\n  words: {sex: {F: female}}\n";

/// One user's five events at the times 1 to 5, of items a, b, c, a, d; the file has them in another order.
class RellaTest : public ::testing::Test {
 protected:
  RellaTest() {
    dir_.write("items.csv", "i,title,genres\na,Apple,Fruit|Food\nb,Bread,Food\nc,Cherry,Fruit\nd,Date,Fruit\n");
    dir_.write("events.csv",
               "u,sex,i,r,t\n"
               "1,F,d,5,5\n"    // event 0
               "1,F,a,4,1\n"    // 1
               "1,F,c,2,3\n"    // 2
               "1,F,b,3,2\n"    // 3
               "1,F,a,1,4\n");  // 4
    dir_.write("data.yaml", kData);
  }
  Rella rella(const std::string& from = "", const std::string& to = "") {
    std::string text = kExperiment;
    if (!from.empty()) text.replace(text.find(from), from.size(), to);
    return Rella(Config::load(dir_.write("rella.yaml", text)), 1);
  }
  interplay::testing::TempDir dir_;
};

TEST_F(RellaTest, SamplesHistoriesAndItemsAreThoseOfTheData) {
  const Rella r = rella();
  EXPECT_EQ(r.items(), 4);
  EXPECT_THAT(r.item_texts(), ElementsAre("Date (Fruit)", "Apple (Fruit)", "Cherry (Fruit)", "Bread (Food)"));
  EXPECT_THAT(r.samples("train"), ElementsAre(2, 3));  // four samples in time: 3, 2, 4, 0
  EXPECT_THAT(r.samples("valid"), ElementsAre(4));
  EXPECT_THAT(r.samples("test"), ElementsAre(0));
  EXPECT_THAT(r.history(0), ElementsAre(1, 3, 2, 4));
  EXPECT_THAT(r.recent(0, 2), ElementsAre(2, 4));
  EXPECT_THAT(r.recent(3, 2), ElementsAre(1));
  EXPECT_EQ(r.topics(r.history(0)), 2);
  EXPECT_EQ(r.topics(r.recent(0, 2)), 1);
  EXPECT_EQ(r.item(0), 0);
  EXPECT_EQ(r.item(4), 1);
}

TEST_F(RellaTest, LinesOfHistoriesLeaveOutWhatIsShortened) {
  const std::string words = "words: {sex: {F: female}}";
  const Rella r = rella(words, words + "\n  shorten: {title: \"[aeiou]{1,2}.$\"}");
  // Cherry and Apple lose nothing: no vowel stands one before their end but Apple's, whose e is the end itself
  const std::vector<uint32_t> history = {1, 3, 2};
  EXPECT_EQ(r.prompt(0, history)[1].content, "A female viewer:\n1) Apple, 4\n2) Br, 3\n3) Cherry, 2\nNext: Date?");
  EXPECT_THAT(config_error([&] { rella(words, words + "\n  shorten: {genre: x}"); }),
              HasSubstr("prompt.event does not name the column 'genre'"));
  EXPECT_THAT(config_error([&] { rella(words, words + "\n  shorten: {title: \"(\"}"); }),
              HasSubstr("is no regular expression"));
}

TEST(TextPattern, LeavesOutWhatMatches) {
  const TextPattern year(R"( \(\d{4}\)$)");
  EXPECT_EQ(year.without_matches("Heat (1995)"), "Heat");
  EXPECT_EQ(year.without_matches("1984 (1984) (1985)"), "1984 (1984)");
  EXPECT_EQ(year.without_matches("Amélie (2001)"), "Amélie");
  EXPECT_EQ(TextPattern("o").without_matches("\xFFgoo\xC3 d"), "\xFFg\xC3 d");  // no UTF-8: the rest stays as it is
  EXPECT_EQ(TextPattern("x*").without_matches("axxb"), "ab");
}

TEST(TextPattern, TextsMayBeOfAnyLength) {
  const std::string title(1 << 20, 'a');
  EXPECT_EQ(TextPattern(R"(: .*$)").without_matches("Film: " + title), "Film");
  EXPECT_EQ(TextPattern(R"((a|b)+c)").without_matches(title.substr(0, 50000) + "c"), "");
  EXPECT_THAT(data_error([&] { TextPattern(R"((a|b)+c)").without_matches(title + "c"); }),
              HasSubstr("too much memory in a text of 1048577 bytes"));
}

TEST_F(RellaTest, TheNearestItemsAreFoundByCosine) {
  // d at 0 degrees, a at 80, c at 130; b is what makes the mean zero: long, but cosines ignore that
  const double degree = std::acos(-1.0) / 180;
  const double ax = 2 * std::cos(80 * degree), ay = 2 * std::sin(80 * degree), cx = std::cos(130 * degree),
               cy = std::sin(130 * degree);
  const auto v = at::tensor({3.0, 0.0, ax, ay, cx, cy, -(3 + ax + cx), -(ay + cy)}).view({4, 2}).to(at::kFloat);
  const auto found = rella().retrieve(v, {"test"}, 3);
  // before event 0: 1 (a), 3 (b), 2 (c), 4 (a). Cosines: a .17, c -.64, b -.70; of the two a the later is the nearer
  EXPECT_THAT(found.nearest("test", 0, 3), ElementsAre(4, 1, 2));
  EXPECT_THAT(found.nearest("test", 0, 1), ElementsAre(4));
  EXPECT_THAT(rella().ordered(0, found.nearest("test", 0, 3)), ElementsAre(1, 2, 4));
  EXPECT_THAT(rella("dimension: 2", "dimension: 2, order: similarity").ordered(0, found.nearest("test", 0, 3)),
              ElementsAre(4, 1, 2));
}

TEST_F(RellaTest, ShortHistoriesGiveWhatTheyHave) {
  const Rella r = rella();
  const auto found = r.retrieve(at::rand({4, 3}), {"train"}, 10);
  EXPECT_THAT(r.ordered(2, found.nearest("train", 0, 10)), ElementsAre(1, 3));
  EXPECT_THAT(r.ordered(3, found.nearest("train", 1, 10)), ElementsAre(1));
  EXPECT_THAT(config_error([&] { found.nearest("train", 0, 11); }), HasSubstr("10 were retrieved"));
  EXPECT_THAT(config_error([&] { found.nearest("test", 0, 1); }), HasSubstr("splits: train"));
  EXPECT_THAT(config_error([&] { r.retrieve(at::rand({3, 3}), {"train"}, 1); }), HasSubstr("each of 4 items"));
}

/// All pairs by hand, in double precision and without a reduction, which with every dimension kept is a rotation.
TEST(RellaRetrieval, EqualsASearchByHand) {
  const interplay::testing::TempDir dir;
  std::string items = "i,title,genres\n", events = "u,sex,i,r,t\n";
  for (int i = 0; i < 40; ++i) items += fmt::format("i{},T,G\n", i);
  for (int i = 0; i < 40; ++i) events += fmt::format("9,F,i{},5,-1\n", i);  // so that item i is the i-th
  for (int e = 0; e < 300; ++e) events += fmt::format("{},F,i{},5,{}\n", e % 3, e * 7 % 40, e);
  dir.write("items.csv", items);
  dir.write("events.csv", events);
  dir.write("data.yaml", kData);
  std::string text = kExperiment;
  text.replace(text.find("dimension: 2"), 12, "dimension: 512");
  const Rella r(Config::load(dir.write("rella.yaml", text)), 2);
  at::manual_seed(5);
  const auto v = at::rand({40, 8});
  auto centred = v.to(at::kDouble);
  centred = centred - centred.mean(0, true);
  centred = centred / centred.norm(2, 1, true);
  const auto cosine = centred.mm(centred.t());  // [40, 40]
  const auto found = r.retrieve(v, {"train", "valid", "test"}, 5);
  int64_t checked = 0;
  for (const char* split : {"train", "valid", "test"}) {
    const auto samples = r.samples(split);
    for (size_t n = 0; n < samples.size(); ++n) {
      const auto past = r.history(samples[n]);
      std::vector<int32_t> expected;
      std::vector<bool> taken(past.size());
      for (size_t k = 0; k < std::min<size_t>(5, past.size()); ++k) {
        size_t best = past.size();
        double most = -2;
        for (size_t i = 0; i < past.size(); ++i) {
          const double here = cosine[r.item(samples[n])][r.item(past[i])].item<double>();
          if (!taken[i] && here >= most - 1e-9) most = std::max(most, here), best = i;  // the later of equal items
        }
        taken[best] = true;
        expected.push_back(int32_t(past[best]));
      }
      ASSERT_THAT(found.nearest(split, int64_t(n), 5), ElementsAreArray(expected)) << split << " " << n;
      ++checked;
    }
  }
  EXPECT_EQ(checked, 297);  // 99 of each of three users; those of user 9 are of one moment, without a history
}

TEST_F(RellaTest, PromptsSayWhatTheTemplateSays) {
  const Rella r = rella();
  const auto messages = r.prompt(0, r.recent(0, 3));
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[0].content, "Judge.");
  EXPECT_EQ(messages[1].role, "user");
  EXPECT_EQ(messages[1].content, "A female viewer:\n1) Bread, 3\n2) Cherry, 2\n3) Apple, 1\nNext: Date?");
}

TEST_F(RellaTest, WhatTheExperimentSaysWronglyIsNamed) {
  EXPECT_THAT(config_error([&] { rella("history: h", "history: hist"); }), HasSubstr("histories: h"));
  EXPECT_THAT(data_error([&] { rella("Next: {title}", "Next: {titel}"); }), HasSubstr("did you mean 'title'?"));
  EXPECT_THAT(config_error([&] { rella("{history}", "history"); }), HasSubstr("has no {history}"));
  EXPECT_THAT(config_error([&] { rella("{sex: {F", "{gender: {F"); }), HasSubstr("no text names the column 'gender'"));
  EXPECT_THAT(config_error([&] { rella("Judge.", "\"Judge {.\""); }), HasSubstr("written twice"));
  EXPECT_THAT(config_error([&] { rella("topic: genre\n", ""); }), HasSubstr("topic: missing"));
}

TEST_F(RellaTest, RetrievedHistoriesAreReadAgainForTheSameDataAlone) {
  const Rella r = rella();
  const auto file = dir_ / RetrievedHistories::kFile;
  const auto found = r.retrieve(at::rand({4, 3}), {"train", "test"}, 3);
  found.save(file);
  const auto again = RetrievedHistories::load(file, r);
  EXPECT_EQ(again.length(), 3);
  EXPECT_FALSE(again.has("valid"));
  EXPECT_THAT(again.nearest("test", 0, 3), ElementsAreArray(found.nearest("test", 0, 3)));
  EXPECT_THAT(data_error([&] { RetrievedHistories::load(file, rella("{title} ({genre})", "{title}")); }),
              HasSubstr("other texts"));
  RetrievedHistories wrong;
  wrong.describe("data", fmt::format("{:016x}", r.checksum()));
  wrong.add("test", at::full({1, 3}, 5, at::kInt));  // events are 0 to 4
  wrong.save(file);
  EXPECT_THAT(data_error([&] { RetrievedHistories::load(file, r); }), HasSubstr("events that there are not"));
}

}  // namespace
}  // namespace interplay::rella_test
