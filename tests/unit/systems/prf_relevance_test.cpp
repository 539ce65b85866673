#include <interplay/systems/relevance.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::prf_relevance_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::vector<Ranked> ranking(const std::vector<std::string>& documents) {
  std::vector<Ranked> out;
  for (const auto& d : documents) out.push_back({d, -double(out.size())});
  return out;
}

TEST(PrfRelevance, JudgesARanking) {
  // Documents 3, 1, 2 of levels 0, 2, 1: precision 1/2 and 2/3; gains 3 and 1 at ranks 2 and 3, at best at 1 and 2.
  const QueryQuality q = judge(ranking({"3", "1", "2"}), {{"1", 2}, {"2", 1}});
  EXPECT_NEAR(q.average_precision, 0.5833333333333333, 1e-12);
  EXPECT_NEAR(q.ndcg_20, 0.6590018048024133, 1e-12);
  EXPECT_NEAR(q.precision_10, .2, 1e-12);
  EXPECT_NEAR(q.recall, 1, 1e-12);
}

TEST(PrfRelevance, WhatIsNotFoundLowersRecallAndPrecision) {
  const QueryQuality q = judge(ranking({"1"}), {{"1", 1}, {"2", 1}, {"5", 1}, {"6", 1}});
  EXPECT_NEAR(q.average_precision, .25, 1e-12);
  EXPECT_NEAR(q.recall, .25, 1e-12);
  EXPECT_EQ(judge(ranking({}), {{"1", 1}}).average_precision, 0);
}

TEST(PrfRelevance, MeasuresStopAtTheirDepths) {
  std::vector<std::string> documents;
  for (int i = 0; i < 1200; ++i) documents.push_back(std::to_string(i));
  const Qrels::Levels levels{{"9", 1}, {"10", 1}, {"19", 1}, {"20", 1}, {"999", 1}, {"1000", 1}};
  const QueryQuality q = judge(ranking(documents), levels);
  EXPECT_NEAR(q.precision_10, .1, 1e-12);
  EXPECT_NEAR(q.recall, 5. / 6, 1e-12);
  EXPECT_NEAR(q.average_precision, (1. / 10 + 2. / 11 + 3. / 20 + 4. / 21 + 5. / 1000 + 6. / 1001) / 6, 1e-12);
}

TEST(PrfRelevance, GradesBecomeLevels) {
  EXPECT_THAT(parse_grades("-1=4,2=0"), ElementsAre(Pair(-1, 4), Pair(2, 0)));
  EXPECT_TRUE(parse_grades("").empty());
  for (const char* wrong : {"1", "1=", "=2", "1=2,", "a=1", "1=31", "1=-1"})
    EXPECT_THAT(testing::config_error([&] { parse_grades(wrong); }), HasSubstr("expected GRADE=LEVEL")) << wrong;
}

TEST(PrfRelevance, ReadsBothFormsOfJudgements) {
  const testing::TempDir dir;
  dir.write("three", "q1\ta\t2\nq1\tb\t-1\nq2\ta\t0\n");
  dir.write("four", "q1 0 a 2\nq1 Q0  b -1\n\nq2\t0\ta 0\n");
  for (const char* file : {"three", "four"}) {
    const Qrels qrels = Qrels::load(dir / file);
    ASSERT_NE(qrels.find("q1"), nullptr);
    EXPECT_THAT(*qrels.find("q1"), ElementsAre(Pair("a", 2)));
    EXPECT_EQ(qrels.find("q2"), nullptr);
    EXPECT_THAT(*Qrels::load(dir / file, {{-1, 4}}).find("q1"), ElementsAre(Pair("b", 4)));
  }
  dir.write("bad", "q1\ta\t2\nq1\ta\t1\n");
  EXPECT_THAT(testing::data_error([&] { Qrels::load(dir / "bad"); }), HasSubstr("bad:2: document 'a' has grade 1"));
  dir.write("worse", "q1 a b c d\n");
  EXPECT_THAT(testing::data_error([&] { Qrels::load(dir / "worse"); }), HasSubstr("worse:1: "));
}

TEST(PrfRelevance, ARunIsReadAsItIsWritten) {
  const testing::TempDir dir;
  const std::vector<Ranked> first{{"b", 2}, {"a", 2}, {"c", -1.5}};
  dir.write("run", fmt::format("{}{}", run_lines("7", first, "ql"), run_lines("8", first, "ql")));
  const TrecRun run = load_run(dir / "run");
  ASSERT_EQ(run.size(), 2u);
  ASSERT_EQ(run.at("7").size(), 3u);
  EXPECT_EQ(run.at("7")[0].document, "b");
  EXPECT_EQ(run.at("8")[2].document, "c");
  EXPECT_EQ(run.at("8")[2].score, -1.5);
  dir.write("twice", "7 Q0 a 1 2 x\n7 Q0 a 2 1 x\n");
  EXPECT_THAT(testing::data_error([&] { load_run(dir / "twice"); }),
              HasSubstr("twice:2: query '7' has document 'a' already"));
  dir.write("rank", "7 Q0 a 1 2 x\n7 Q0 b 1 1 x\n");
  EXPECT_THAT(testing::data_error([&] { load_run(dir / "rank"); }), HasSubstr("rank 1 already"));
  dir.write("short", "7 Q0 a 1 x\n");
  EXPECT_THAT(testing::data_error([&] { load_run(dir / "short"); }), HasSubstr("short:1: "));
}

TEST(PrfRelevance, RobustnessCountsWhoGains) {
  const auto c = compare_pairs(std::vector<double>{.5, .5, .5, .1, .3}, std::vector<double>{.1, .2, .3, .4, .3});
  EXPECT_EQ(c.better, 3);
  EXPECT_EQ(c.worse, 1);
  EXPECT_EQ(c.queries, 5);
  EXPECT_NEAR(c.robustness(), .4, 1e-12);
  EXPECT_NEAR(c.difference, (.4 + .3 + .2 - .3) / 5, 1e-12);
}

TEST(PrfRelevance, TheRandomisationTestIsTheShareOfAssignments) {
  // Of the 32 signs of 5 equal gains, 2 give a sum as far from 0; of gains 1, 2 and -3, all 8 do.
  const std::vector<double> zero(5), ones(5, 1);
  EXPECT_NEAR(compare_pairs(ones, zero).p_value, 2. / 32, .003);
  EXPECT_NEAR(compare_pairs(std::vector<double>{1, 2, -3}, std::vector<double>(3)).p_value, 1, 1e-4);
  EXPECT_EQ(compare_pairs(zero, zero).p_value, 1);
  const std::vector<double> many(200, .01);
  EXPECT_NEAR(compare_pairs(many, std::vector<double>(200)).p_value, 1. / 100001, 1e-9);
}

}  // namespace
}  // namespace interplay::prf_relevance_test
