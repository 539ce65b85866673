// Ranking and classical feedback, against figures computed from the definitions on three documents.
#include <interplay/systems/text_search.h>

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prf_files.h"
#include "support/error_of.h"

namespace interplay::prf_search_test {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr double kNear = 1e-9;

class PrfSearch : public testing::IndexedTexts {
 protected:
  PrfSearch() : index_(index_of(testing::kThreeTexts)), query_(query_terms(index_, "wing flow")) {}
  double weight(const WeightedTerms& terms, const char* term) const {
    for (const auto& t : terms) {
      if (t.term == index_.find(term)) return t.weight;
    }
    return 0;
  }
  std::vector<Hit> feedback() const { return best_documents(likelihood_scores(index_, query_, 10), 2); }
  TextIndex index_;
  WeightedTerms query_;
};

std::vector<uint32_t> places(const std::vector<Hit>& hits) {
  std::vector<uint32_t> out;
  for (const auto& hit : hits) out.push_back(hit.document);
  return out;
}

TEST_F(PrfSearch, Bm25) {
  EXPECT_THAT(bm25_scores(index_, query_),
              Pointwise(DoubleNear(kNear), {0.4991762683023676, 0.9133193552535431, 0.6335278678673374}));
}

TEST_F(PrfSearch, QueryLikelihood) {
  EXPECT_THAT(likelihood_scores(index_, query_, 10),
              Pointwise(DoubleNear(kNear), {-3.6286714121827175, -3.383664902900515, -3.638039777334527}));
  EXPECT_THAT(testing::config_error([&] { likelihood_scores(index_, query_, 0); }), HasSubstr("mu"));
}

TEST_F(PrfSearch, LikelihoodOfManyOccurrencesIsThatOfTheFormula) {
  std::string often;
  for (int i = 0; i < 1500; ++i) often += "wing ";
  const TextIndex index = index_of({often, "heat"});
  const auto scores = likelihood_scores(index, query_terms(index, "wing"), 10);
  const double background = 10 * 1500. / 1501;
  EXPECT_NEAR(scores[0], std::log((1500 + background) / 1510), kNear);
  EXPECT_NEAR(scores[1], std::log(background / 11), kNear);
}

TEST_F(PrfSearch, FeedbackDocumentsAndTheirWeights) {
  EXPECT_THAT(places(feedback()), ElementsAre(1, 0));
  EXPECT_THAT(document_weights(feedback()), Pointwise(DoubleNear(kNear), {0.5609470534668921, 0.4390529465331079}));
}

TEST_F(PrfSearch, EqualScoresKeepTheOrderOfTheIndex) {
  const std::vector<double> scores{1, 3, 2, 3, 1, 3, 0};
  EXPECT_THAT(places(best_documents(scores, 0)), ElementsAre(1, 3, 5, 2, 0, 4, 6));
  for (int64_t depth = 1; depth <= 9; ++depth) {
    auto first = places(best_documents(scores, 0));
    first.resize(std::min<size_t>(7, size_t(depth)));
    EXPECT_EQ(places(best_documents(scores, depth)), first) << depth;
  }
}

TEST_F(PrfSearch, RelevanceModel) {
  const auto rm1 = relevance_model(index_, feedback());
  EXPECT_NEAR(weight(rm1, "drag"), 0.10976323663327697, kNear);
  EXPECT_NEAR(weight(rm1, "flow"), 0.11218941069337843, kNear);
  EXPECT_NEAR(weight(rm1, "heat"), 0.33656823208013525, kNear);
  EXPECT_NEAR(weight(rm1, "lift"), 0.21952647326655395, kNear);
  EXPECT_NEAR(weight(rm1, "wing"), 0.2219526473266554, kNear);
  EXPECT_EQ(weight(rm1, "layer"), 0);
}

TEST_F(PrfSearch, Rm3) {
  auto unit = query_;
  for (auto& t : unit) t.weight /= 2;
  const auto rm3 = rm3_query(index_, unit, feedback(), {.terms = 4});
  ASSERT_EQ(rm3.size(), 4u);
  EXPECT_NEAR(weight(rm3, "wing"), 0.374659335841888, kNear);
  EXPECT_NEAR(weight(rm3, "flow"), 0.313010996237168, kNear);
  EXPECT_NEAR(weight(rm3, "heat"), 0.18903298871150404, kNear);
  EXPECT_NEAR(weight(rm3, "lift"), 0.12329667920943999, kNear);
  EXPECT_THAT(likelihood_scores(index_, rm3, 10),
              Pointwise(DoubleNear(kNear), {-1.7720738508549467, -1.6636358520340206, -1.9414628074691491}));
}

TEST_F(PrfSearch, Bo1) {
  const auto model = bo1_model(index_, feedback());
  EXPECT_NEAR(weight(model, "drag"), 2.0588936890535683, kNear);
  EXPECT_NEAR(weight(model, "flow"), 2, kNear);
  EXPECT_NEAR(weight(model, "heat"), 4, kNear);
  EXPECT_NEAR(weight(model, "lift"), 3.380821783940931, kNear);
  EXPECT_NEAR(weight(model, "wing"), 3.380821783940931, kNear);
  const auto query = bo1_query(index_, query_, feedback());
  EXPECT_NEAR(weight(query, "wing"), 1.8452054459852327, kNear);
  EXPECT_NEAR(weight(query, "heat"), 1, kNear);
  EXPECT_NEAR(weight(query, "lift"), 0.8452054459852327, kNear);
  EXPECT_NEAR(weight(query, "drag"), 0.5147234222633921, kNear);
  EXPECT_NEAR(weight(query, "flow"), 1.5, kNear);
}

TEST_F(PrfSearch, EqualTermsComeInTheOrderOfTheirBytes) {
  const auto best = best_terms({{0, 1}, {1, 5}, {4, 2}, {3, 2}, {2, 2}}, 3);
  std::vector<uint32_t> terms;
  for (const auto& t : best) terms.push_back(t.term);
  EXPECT_THAT(terms, ElementsAre(1, 2, 3));
}

TEST_F(PrfSearch, AMixOfNothingIsTheQueryToTheBit) {
  const WeightedTerms query{{2, 3}, {6, .1}};
  const auto same = mixed_query(query, std::vector<TermWeight>{{5, .7}}, 0);
  ASSERT_EQ(same.size(), 2u);
  EXPECT_EQ(same[0].weight, 3);
  EXPECT_EQ(same[1].weight, .1);
}

TEST_F(PrfSearch, WordsThatNoDocumentHasAreWordsOfTheQuery) {
  // Two of four words are known: the expansion weighs as much as all four would.
  const auto mixed = mixed_query(query_, std::vector<TermWeight>{{index_.find("heat").value(), .3}}, .5,
                                 query_length(index_, "wing flow of turbines everywhere"));
  EXPECT_NEAR(weight(mixed, "wing"), .5, kNear);
  EXPECT_NEAR(weight(mixed, "heat"), 2, kNear);
}

TEST_F(PrfSearch, QueriesAreRefusedByPlace) {
  dir_.write("q.tsv", "1\tone\n1\ttwo\n");
  EXPECT_THAT(testing::data_error([&] { read_queries(dir_ / "q.tsv"); }),
              HasSubstr("q.tsv:2: query '1' is there already"));
  dir_.write("r.tsv", "1 one\n");
  EXPECT_THAT(testing::data_error([&] { read_queries(dir_ / "r.tsv"); }), HasSubstr("r.tsv:1: has no tab"));
}

}  // namespace
}  // namespace interplay::prf_search_test
