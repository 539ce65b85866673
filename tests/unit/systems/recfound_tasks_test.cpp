// Tasks as they are declared, their rows and their metrics.
#include "systems/recfound/task.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::recfound::recfound_tasks_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::TempDir;
using lm::TaskFamily;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

double value(const std::string& metric, const std::vector<RankedRow>& rows) {
  return ranking_value(TaskMetric::parse(metric, TaskFamily::embedding, Config()), rows);
}

double value(const std::string& metric, const std::vector<Answered>& rows, const std::vector<std::string>& answers,
             const std::string& positive = "") {
  return answer_value(TaskMetric::parse(metric, TaskFamily::generation, Config()), rows, answers, positive);
}

// (1 + 1/3 + 1/20) / 3
TEST(TaskMetrics, ReciprocalRanks) {
  const std::vector<RankedRow> rows{{{1}}, {{3}}, {{20}}};
  EXPECT_NEAR(value("mrr@20", rows), 0.4611111111111111, 1e-12);
  EXPECT_NEAR(value("mrr@10", rows), (1 + 1 / 3.0) / 3, 1e-12);
  EXPECT_NEAR(value("recall@3", rows), 2 / 3.0, 1e-12);
}

// Positives at places 1 and 3 of 5: (1 + 1/log2 4) / (1 + 1/log2 3) = 0.9197207891481876
TEST(TaskMetrics, DiscountedGain) {
  const std::vector<RankedRow> rows{{{1, 3}}};
  EXPECT_NEAR(value("ndcg@20", rows), 0.9197207891481876, 1e-12);
  EXPECT_NEAR(value("recall@1", rows), 0.5, 1e-12);
}

TEST(TaskMetrics, EqualScoresStandAtTheirMean) {
  EXPECT_THAT(ranked(std::vector<float>{0.5f, 0.5f, 0.9f, 0.1f}, 1).positions, ElementsAre(2.5));
  EXPECT_THAT(ranked(std::vector<float>{0.5f, 0.9f, 0.7f}, 2).positions, ElementsAre(1, 3));
}

// F1 of A 2/3, of B 4/5, of C 1
TEST(TaskMetrics, MeanOfTheClassesF1) {
  const std::vector<Answered> rows{{"A", "A"}, {"B", "A"}, {"B", "B"}, {"B", "B"}, {"C", "C"}};
  EXPECT_NEAR(value("macro_f1", rows, {"A", "B", "C"}), 0.8222222222222223, 1e-12);
  EXPECT_NEAR(value("accuracy", rows, {"A", "B", "C"}), 0.8, 1e-12);
}

// yes/no: what is neither counts as the one that is wrong; letters: as A, or as B where A is right
TEST(TaskMetrics, AnswersThatAreNoneCountAsWrong) {
  EXPECT_NEAR(value("f1", {{"maybe", "no"}, {"yes", "yes"}}, {"yes", "no"}, "yes"), 2 / 3.0, 1e-12);
  EXPECT_NEAR(value("f1", {{"maybe", "yes"}, {"yes", "yes"}}, {"yes", "no"}, "yes"), 2 / 3.0, 1e-12);
  // A: said once (for the second row), right once, never both; B: likewise; C is neither said nor right
  EXPECT_EQ(value("macro_f1", {{"?", "A"}, {"?", "B"}}, {"A", "B", "C"}), 0);
}

TEST(TaskMetrics, ExactAndContained) {
  const std::vector<Answered> rows{{"Comedy", "Comedy"}, {"a Comedy film", "Comedy"}, {"Drama", "Comedy"}};
  EXPECT_NEAR(value("exact", rows, {}), 1 / 3.0, 1e-12);
  EXPECT_NEAR(value("substring", rows, {}), 2 / 3.0, 1e-12);
}

TEST(TaskMetrics, OtherNamesAreRefused) {
  const auto error = [](const char* name, TaskFamily family) {
    return config_error([&] { TaskMetric::parse(name, family, Config()); });
  };
  EXPECT_THAT(error("auc@3", TaskFamily::embedding), HasSubstr("mrr@K, ndcg@K, recall@K"));
  EXPECT_THAT(error("mrr", TaskFamily::embedding), HasSubstr("expected mrr@K"));
  EXPECT_THAT(error("mrr@0", TaskFamily::embedding), HasSubstr("a whole number K of 1 or more"));
  EXPECT_THAT(error("mrr@5x", TaskFamily::embedding), HasSubstr("expected mrr@K"));
  EXPECT_THAT(error("mrr@5", TaskFamily::generation), HasSubstr("accuracy, exact, substring, f1, macro_f1"));
}

TEST(TaskRows, AreReadAsTheyAreWritten) {
  const TempDir dir;
  const auto rows = read_rows(dir.write("a.jsonl", R"({"query": "q", "positive": "p", "negatives": ["n", "m"]})"
                                                   "\n\n"
                                                   R"({"query": "r", "positive": ["s", "t"]})"),
                              TaskFamily::embedding);
  ASSERT_EQ(rows.size(), 2);
  EXPECT_EQ(rows.queries[0].query, "q");
  EXPECT_THAT(rows.queries[0].negatives, ElementsAre("n", "m"));
  EXPECT_THAT(rows.queries[1].positives, ElementsAre("s", "t"));
  const auto prompts =
      read_rows(dir.write("b.jsonl", R"({"prompt": "Is it?", "answer": "yes"})"), TaskFamily::generation);
  EXPECT_EQ(prompts.prompts[0].answer, "yes");
}

TEST(TaskRows, BadOnesAreNamedByFileAndLine) {
  const TempDir dir;
  const auto error = [&](const std::string& line, TaskFamily family = TaskFamily::embedding) {
    return data_error([&] { read_rows(dir.write("a.jsonl", "\n" + line), family); });
  };
  EXPECT_THAT(error("{"), AllOf(HasSubstr("a.jsonl:2: is no JSON object"), HasSubstr("parse error")));
  EXPECT_THAT(error("[1]"), HasSubstr("a.jsonl:2: a row is array; expected an object with query, positive, negatives"));
  EXPECT_THAT(error(R"({"query": "q"})"), HasSubstr("a.jsonl:2: has no positive"));
  EXPECT_THAT(error(R"({"query": "q", "positive": "p", "negative": ["n"]})"), HasSubstr("unknown key 'negative'"));
  EXPECT_THAT(error(R"({"query": 3, "positive": "p"})"), HasSubstr("query is number; expected a text"));
  EXPECT_THAT(error(R"({"query": " ", "positive": "p"})"), HasSubstr("query is empty"));
  EXPECT_THAT(error(R"({"query": "q", "positive": []})"), HasSubstr("positive is an empty list"));
  EXPECT_THAT(error(R"({"query": "q", "positive": ["p", null]})"), HasSubstr("positive is null; expected a text"));
  EXPECT_THAT(error("{\"query\": \"\xff\", \"positive\": \"p\"}"), HasSubstr("a.jsonl:2: is no JSON object"));
  EXPECT_THAT(error(R"({"prompt": "q"})", TaskFamily::generation), HasSubstr("has no answer"));
  EXPECT_THAT(data_error([&] { read_rows(dir.write("b.jsonl", "\n"), TaskFamily::generation); }),
              HasSubstr("has no row"));
}

class Declared : public ::testing::Test {
 protected:
  Config file(const std::string& task) {
    return Config::load(dir_.write("tasks.yaml", "tasks:\n  - {" + task + "}\n"));
  }
  std::string error(const std::string& task) {
    return config_error([&] { resolve_tune(file(task)); });
  }
  TempDir dir_;
};

TEST_F(Declared, FilesAreFoundBesideTheirs) {
  const Config resolved = resolve_tune(file("name: a, family: generation, train: rows/a.jsonl"));
  EXPECT_EQ(resolved["tasks"].items()[0]["train"].as<std::string>(), (dir_ / "rows/a.jsonl").string());
  EXPECT_EQ(resolve_tune(resolved), resolved);
}

TEST_F(Declared, MistakesAreNamedWhereTheyStand) {
  EXPECT_THAT(error("family: embedding"), HasSubstr("tasks.0.name: missing"));
  EXPECT_THAT(error("name: 'a:b', family: embedding"), HasSubstr("has no colon"));
  EXPECT_THAT(error("name: a, family: both"), HasSubstr("embedding | generation"));
  EXPECT_THAT(error("name: a, family: embedding, metrics: [f1]"), AllOf(HasSubstr("tasks.yaml:2"), HasSubstr("mrr@K")));
  EXPECT_THAT(error("name: a, family: generation, metrics: [f1]"), HasSubstr("which answer is f1 of?"));
  EXPECT_THAT(error("name: a, family: generation, answers: [x, y], positive: z"), HasSubstr("none of the answers"));
  EXPECT_THAT(error("name: a, family: embedding, answers: [x]"), HasSubstr("are of tasks of generation"));
  EXPECT_THAT(error("name: a, family: embedding, frame: hi"), AllOf(HasSubstr("task 'a'"), HasSubstr("{text}")));
  EXPECT_THAT(error("name: a, family: embedding, trian: x"), HasSubstr("did you mean"));
  EXPECT_THAT(error("name: a, family: embedding}\n  - {name: a, family: generation"),
              HasSubstr("'a' is the name of two tasks"));
  EXPECT_THAT(config_error([] { resolve_tune(Config::parse("steps: 3")); }), HasSubstr("names no task"));
  Config config = file("name: a, family: generation, train: a.jsonl");
  config.set("optimizer", Config::parse("{name: adam, schedule: cosine}"));
  EXPECT_THAT(config_error([&] { resolve_tune(config); }), HasSubstr("schedule: is of the whole file here"));
}

TEST_F(Declared, AnswersOfRowsHaveToBeDeclared) {
  dir_.write("a.jsonl", "{\"prompt\": \"p\", \"answer\": \"y\"}\n{\"prompt\": \"p\", \"answer\": \"n\"}\n");
  const Config resolved = resolve_tune(file("name: a, family: generation, train: a.jsonl, answers: [y, z]"));
  const auto tasks = read_tasks(read_tune(resolved), resolved);
  EXPECT_THAT(data_error([&] { tasks[0].rows("train"); }), HasSubstr("row 2: the answer 'n' is none of the task's"));
  EXPECT_THAT(config_error([&] { tasks[0].rows("test"); }), HasSubstr("has no rows of this split"));
}

TEST(StoredTasks, AreReadAsTheyStand) {
  const std::filesystem::path folder = std::filesystem::path(INTERPLAY_TESTS_DIR).parent_path() / "configs/recfound";
  const Config resolved = resolve_tune(Config::load(folder / "ml-1m.yaml"));
  const auto tasks = read_tasks(read_tune(resolved), resolved);
  EXPECT_EQ(tasks.size(), 7u);
  EXPECT_EQ(std::count_if(tasks.begin(), tasks.end(), [](const Task& t) { return t.embeds(); }), 3);
}

}  // namespace
}  // namespace interplay::recfound::recfound_tasks_test
