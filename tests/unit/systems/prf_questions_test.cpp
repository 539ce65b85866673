#include "systems/qa4prf/questions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prf_files.h"

namespace interplay::qa4prf::prf_questions_test {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

class PrfQuestions : public testing::IndexedTexts {};

TEST_F(PrfQuestions, CandidatesAreRareTermsOfTheFirstDocuments) {
  std::vector<std::string> texts{"wing alpha alpha common beta wing", "wing gamma common", "common", "common delta"};
  const TextIndex index = index_of(texts);
  const Question q = ask(index, {"1", "the wing"}, {.mu = 10, .documents = 2, .window = 1, .most_common = .5});
  ASSERT_EQ(q.feedback.size(), 2u);
  std::vector<std::string> terms;
  for (const auto& c : q.candidates) terms.emplace_back(index.term(c.term));
  // `common` is in all of four documents, `wing` is asked for already.
  EXPECT_THAT(terms, ::testing::UnorderedElementsAre("alpha", "beta", "gamma"));
  const auto& alpha = *std::find_if(q.candidates.begin(), q.candidates.end(),
                                    [&](const Candidate& c) { return index.term(c.term) == "alpha"; });
  EXPECT_EQ(alpha.count, 2);
  EXPECT_EQ(alpha.documents, 1);
  EXPECT_EQ(alpha.near, 1);  // the first of the two stands beside `wing`
  EXPECT_NEAR(alpha.place, (1. / 6 + 2. / 6) / 2, 1e-12);
}

TEST_F(PrfQuestions, AQueryOfUnknownWordsAsksNothing) {
  const TextIndex index = index_of(testing::kThreeTexts);
  const Question q = ask(index, {"1", "turbine"}, {});
  EXPECT_TRUE(q.terms.empty());
  EXPECT_TRUE(q.candidates.empty());
}

TEST(PrfAveragePrecision, IsThatOfTheSortedRanking) {
  const std::vector<double> scores{.5, .9, .5, .1, .7, .5};  // order: 1, 4, 0, 2, 5, 3
  const auto of = [&](const std::vector<uint32_t>& relevant) { return average_precision_of(scores, relevant); };
  EXPECT_NEAR(of({1}), 1, 1e-12);
  EXPECT_NEAR(of({3}), 1. / 6, 1e-12);
  EXPECT_NEAR(of({2, 0}), (1. / 3 + 2. / 4) / 2, 1e-12);
  EXPECT_NEAR(of({5, 4, 3}), (1. / 2 + 2. / 5 + 3. / 6) / 3, 1e-12);
}

TEST_F(PrfQuestions, GainsAreRelativeAndGraded) {
  // The query finds 0 and 1, and then all others, which are as long, in their order; `beta` alone leads to 5.
  const TextIndex index = index_of(
      {"wing beta", "wing gamma", "gamma gamma eta", "epsilon epsilon eta", "zeta zeta eta", "beta beta delta"});
  const QuestionOptions options{.mu = 10, .documents = 2, .most_common = .5};
  const Question q = ask(index, {"1", "wing"}, options);
  const Lesson lesson = lesson_of(index, q, std::vector<uint32_t>{5}, options);
  ASSERT_EQ(lesson.gains.size(), q.candidates.size());
  for (size_t i = 0; i < q.candidates.size(); ++i) {
    const bool helps = index.term(q.candidates[i].term) == "beta";
    EXPECT_EQ(lesson.grades[i] > 0, helps) << index.term(q.candidates[i].term);
    // By hand: what the relevant document's rank is with the term at .2 and without.
    const auto with = likelihood_scores(
        index,
        WeightedTerms{
            {std::min(q.terms[0].term, q.candidates[i].term), q.terms[0].term < q.candidates[i].term ? 1. : .2},
            {std::max(q.terms[0].term, q.candidates[i].term), q.terms[0].term < q.candidates[i].term ? .2 : 1.}},
        10);
    const auto rank = double(std::count_if(with.begin(), with.end(), [&](double s) { return s >= with[5]; }));
    EXPECT_NEAR(lesson.gains[i], (1 / rank - lesson.average_precision) / lesson.average_precision, 1e-9);
  }
}

}  // namespace
}  // namespace interplay::qa4prf::prf_questions_test
