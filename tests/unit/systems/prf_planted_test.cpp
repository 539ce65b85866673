// The reader must find what frequencies hide: a synonym that is stated once.
#include <algorithm>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <interplay/base/log.h>
#include <interplay/core/generators.h>

#include "prf_files.h"
#include "prf_planted.h"
#include "systems/qa4prf/fold.h"

namespace interplay::qa4prf::prf_planted_test {
namespace {

class PrfPlanted : public testing::IndexedTexts {
 protected:
  static constexpr int64_t kQueries = 200, kTrain = 125, kHeldOut = 25;  // and 50 that nothing is learnt from
  PrfPlanted() : task_(kQueries), index_(index_of(task_.documents)), vectors_(index_, "", 64, {}) {
    log::set_level(log::Level::off);
    o_.feedback.documents = 3;
    o_.network = {.width = 32, .hidden = 24, .steps = 3, .dropout = .1, .epochs = 12, .lr = 5e-3};
    std::vector<Question> questions;
    for (int64_t q = 0; q < kQueries; ++q) {
      questions.push_back(ask(index_, {std::to_string(q), task_.queries[size_t(q)]}, o_.feedback));
      vectors_.add(words_of(questions.back()));
    }
    words_ = vectors_.words(o_.feedback.candidates);
    for (auto& question : questions)
      readable_.push_back(readable(std::move(question), vectors_, o_.feedback.candidates));
    for (int64_t q = 0; q < kQueries; ++q) {
      std::vector<uint32_t> relevant(task_.relevant[size_t(q)].begin(), task_.relevant[size_t(q)].end());
      lessons_.push_back(lesson_of(index_, readable_[size_t(q)].question, relevant, o_.feedback));
      learnable_.push_back({&readable_[size_t(q)], nullptr, relevant});
    }
    for (size_t q = 0; q < lessons_.size(); ++q) learnable_[q].lesson = &lessons_[q];
  }
  ~PrfPlanted() override { log::set_level(log::Level::info); }

  std::vector<Learnable> some(int64_t first, int64_t last) const {
    return {learnable_.begin() + first, learnable_.begin() + last};
  }
  bool has_synonym(int64_t q, const std::vector<TermWeight>& terms) const {
    return std::any_of(terms.begin(), terms.begin() + std::min<int64_t>(5, int64_t(terms.size())),
                       [&](const TermWeight& t) { return index_.term(t.term) == task_.synonym[size_t(q)]; });
  }

  const testing::SynonymTask task_;
  Qa4PrfOptions o_;
  TextIndex index_;
  WordVectors vectors_;
  Words words_;
  std::vector<Readable> readable_;
  std::vector<Lesson> lessons_;
  std::vector<Learnable> learnable_;
};

TEST_F(PrfPlanted, TheReaderFindsSynonymsThatRm3DoesNot) {
  const KeptGenerators kept;
  at::manual_seed(3);
  Networks networks(vectors_.width(), o_);
  const FoldData data{0, some(0, kTrain), some(kTrain, kTrain + kHeldOut)};
  const FoldReport report = learn_fold(networks, data, {index_, vectors_, words_, o_, dir_.path(), {}, {}});
  double by_rm3 = 0, by_reader = 0, first = 0, after = 0;
  for (int64_t q = kTrain + kHeldOut; q < kQueries; ++q) {
    const auto& r = readable_[size_t(q)];
    auto model = relevance_model(index_, r.question.feedback);
    std::erase_if(model, [&](const TermWeight& t) { return t.term == r.question.terms.back().term; });  // the topic
    by_rm3 += has_synonym(q, best_terms(model, 5));
    std::vector<double> masses;
    for (const double mass : networks->read(words_, r).mass) masses.push_back(log_mass(mass));
    by_reader += has_synonym(q, expansion_of(r.question, masses, 5));
    const auto expansion = expansion_of(r.question, networks->scores(words_, vectors_, r), o_.terms);
    const auto precision = [&](double beta) {
      return average_precision_of(likelihood_scores(index_, mixed_query(r.question.terms, expansion, beta)),
                                  learnable_[size_t(q)].relevant);
    };
    first += precision(0), after += precision(report.beta);
  }
  constexpr double kTested = kQueries - kTrain - kHeldOut;
  RecordProperty("figures", fmt::format("recall of the synonym: RM3 {}, reader {}; MAP {} to {}", by_rm3 / kTested,
                                        by_reader / kTested, first / kTested, after / kTested));
  EXPECT_LT(by_rm3 / kTested, .3);
  EXPECT_GT(by_reader / kTested, .9);
  EXPECT_GT(after / kTested, first / kTested + .2) << first / kTested;
}

TEST_F(PrfPlanted, TheTeacherGradesTheSynonymHighest) {
  for (const size_t q : {size_t(50), size_t(77), size_t(199)}) {
    const auto& candidates = readable_[q].question.candidates;
    const auto best = std::max_element(lessons_[q].gains.begin(), lessons_[q].gains.end()) - lessons_[q].gains.begin();
    EXPECT_EQ(index_.term(candidates[size_t(best)].term), task_.synonym[q]);
    EXPECT_EQ(lessons_[q].grades[size_t(best)], 2);
  }
}

}  // namespace
}  // namespace interplay::qa4prf::prf_planted_test
