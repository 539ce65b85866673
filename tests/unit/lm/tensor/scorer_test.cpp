#include <interplay/lm/scorer.h>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/stored.h"

namespace interplay::lm::scorer_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::expect_near;
using interplay::testing::numeric_error;
using interplay::testing::Stored;
using ::testing::HasSubstr;

/// The tiny untied model and what transformers says of the two sequences stored with it.
struct Tiny {
  Stored stored{"llama.safetensors", "untied"};
  DecoderScorer scorer{load_decoder(interplay::testing::reference_file("llama_untied"), nn::Precision::fp32)};
  at::Tensor logits = stored.at("logits"), log_p = stored.at("logits").to(at::kDouble).log_softmax(1);
  TokenIds first, second;
  Tiny() {
    const auto ids = stored.at("ids").to(at::kLong);
    const auto* const p = ids.const_data_ptr<int64_t>();
    first.assign(p, p + 9), second.assign(p + 9, p + 14);
  }
  /// Sum of log P of tokens from `from` on, of the sequence that begins in row `row`.
  double log_likelihood(const TokenIds& ids, int64_t row, int64_t from) const {
    double sum = 0;
    for (int64_t t = from; t < int64_t(ids.size()); ++t) sum += log_p[row + t - 1][ids[size_t(t)]].item<double>();
    return sum;
  }
};

TEST(LmScorer, AnswersAreTheLogitsAfterTheLastToken) {
  Tiny tiny;
  const std::vector<TokenIds> prompts{tiny.second, tiny.first, tiny.second};
  const std::vector<int64_t> answers{30, 4, 0};
  const auto tokens = at::tensor(answers, at::kLong);
  const auto expected = at::stack({tiny.logits[13], tiny.logits[8], tiny.logits[13]}).index_select(1, tokens);
  for (const int64_t batch_tokens : {1, 10, 1000}) {  // each by itself; two and one; all
    expect_near(tiny.scorer.answers(prompts, answers, {.batch_tokens = batch_tokens}), expected, 1e-5, "logits");
  }
  expect_near(tiny.scorer.probabilities(prompts, answers), expected.softmax(1), 1e-5, "probabilities");
}

// All three begin with ten tokens of the first sequence and its repetition, which are then read once.
TEST(LmScorer, SharedBeginningsDoNotChangeAnswers) {
  Tiny tiny;
  TokenIds shared = tiny.first;
  shared.insert(shared.end(), tiny.first.begin(), tiny.first.end());
  std::vector<TokenIds> prompts(3, shared);
  prompts[0].push_back(3), prompts[1].insert(prompts[1].end(), {7, 8, 9});
  const std::vector<int64_t> answers{1, 2};
  const auto together = tiny.scorer.answers(prompts, answers);
  for (size_t i = 0; i < prompts.size(); ++i) {
    expect_near(together.narrow(0, int64_t(i), 1), tiny.scorer.answers(std::vector<TokenIds>{prompts[i]}, answers),
                1e-5, "logits");
  }
}

// Vectors of tokens in their places are the tokens; what all begin with, up to the first of them, is read once.
TEST(LmScorer, VectorsOfTokensAreThoseTokens) {
  Tiny tiny;
  auto decoder = load_decoder(interplay::testing::reference_file("llama_untied"), nn::Precision::fp32);
  TokenIds shared = tiny.first;
  shared.insert(shared.end(), tiny.first.begin(), tiny.first.end());
  std::vector<TokenIds> prompts(3, shared);
  prompts[0].insert(prompts[0].end(), {3, 5}), prompts[1].insert(prompts[1].end(), {7, 8, 9}), prompts[2].push_back(4);
  const std::vector<int64_t> answers{1, 2};
  const auto expected = tiny.scorer.answers(prompts, answers);
  auto marked = prompts;
  std::vector<int64_t> words;
  for (const auto& [prompt, place] : {std::pair{0, 18}, {1, 10}, {1, 20}, {2, 12}}) {
    auto& id = marked[size_t(prompt)][size_t(place)];
    words.push_back(id);
    id = TokenBatch::kVector;
  }
  const Conditions conditions(marked, decoder->embed(at::tensor(words)), {});
  for (const int64_t batch_tokens : {1, 30, 1000}) {
    expect_near(tiny.scorer.answers(marked, answers, conditions, {.batch_tokens = batch_tokens}), expected, 1e-5,
                "logits");
  }
  EXPECT_THAT(config_error([&] { tiny.scorer.answers(marked, answers); }), HasSubstr("token ids from -1"));
}

// Each prompt's core is its own, whichever prompts are read with it.
TEST(LmScorer, CoresFollowTheirPrompts) {
  Tiny tiny;
  auto decoder = load_decoder(interplay::testing::reference_file("llama_untied"), nn::Precision::fp32);
  decoder->adapt({.rank = 3}, 1);
  AdapterCall adapters;
  {
    const at::NoGradGuard no_grad;
    at::manual_seed(2);
    for (auto& p : decoder->named_parameters()) p.value().normal_();
    for (const char* name : {"layers.0.self_attn.q_proj", "layers.1.self_attn.v_proj"})
      adapters.mixes[name].core = at::randn({4, 3, 3});
  }
  const std::vector<TokenIds> prompts{tiny.second, tiny.first, tiny.second, tiny.first};
  const std::vector<int64_t> answers{30, 4, 0};
  DecoderScorer scorer(decoder);
  const auto together = scorer.answers(prompts, answers, Conditions(prompts, {}, adapters));
  for (int64_t i = 0; i < 4; ++i) {
    AdapterCall own;
    for (const auto& [name, mix] : adapters.mixes) own.mixes[name].core = mix.core.narrow(0, i, 1);
    const std::vector<TokenIds> prompt{prompts[size_t(i)]};
    expect_near(together.narrow(0, i, 1), scorer.answers(prompt, answers, Conditions(prompt, {}, own)), 1e-4, "core");
  }
  EXPECT_GT((together[0] - together[2]).abs().max().item<double>(), 1e-3);
}

TEST(LmScorer, LogLikelihoodIsTheSumOverTheContinuation) {
  Tiny tiny;
  const auto split = [](const TokenIds& ids, int64_t at) {
    return std::pair{TokenIds(ids.begin(), ids.begin() + at), TokenIds(ids.begin() + at, ids.end())};
  };
  const auto [a, b] = split(tiny.first, 3);
  const auto [c, d] = split(tiny.second, 4);
  const auto [e, f] = split(tiny.first, 8);
  const auto expected = at::tensor({tiny.log_likelihood(tiny.first, 0, 3), tiny.log_likelihood(tiny.second, 9, 4),
                                    tiny.log_likelihood(tiny.first, 0, 8)},
                                   at::kDouble);
  expect_near(tiny.scorer.log_likelihood(std::vector<TokenIds>{a, c, e}, std::vector<TokenIds>{b, d, f}), expected,
              1e-5, "log P");
  // What is shared reaches into the continuations, whose tokens have to be predicted all the same.
  expect_near(tiny.scorer.log_likelihood(std::vector<TokenIds>{a, a}, std::vector<TokenIds>{b, b}),
              expected[0].expand({2}), 1e-5, "shared");
}

TEST(LmScorer, PerplexityIsOfAllTokensButTheFirst) {
  Tiny tiny;
  const double expected = std::exp(-tiny.log_likelihood(tiny.second, 9, 1) / 4);
  expect_near(tiny.scorer.perplexity(std::vector<TokenIds>{tiny.second}), at::full({1}, expected, at::kDouble), 1e-5,
              "");
}

TEST(LmScorer, NamesThePromptWhoseAnswerIsNoNumber) {
  auto decoder = load_decoder(interplay::testing::reference_file("llama_untied"), nn::Precision::fp32);
  DecoderScorer scorer(decoder);
  decoder->named_buffers()["embed_tokens"][17].fill_(NAN);  // only a prompt with token 17 has it
  const std::vector<TokenIds> prompts{{1, 2}, {1, 17}};
  EXPECT_THAT(numeric_error([&] { scorer.answers(prompts, std::vector<int64_t>{3}); }), HasSubstr("prompt 2 of 2"));
  EXPECT_THAT(numeric_error([&] { scorer.log_likelihood(prompts, prompts); }), HasSubstr("prompt 2 of 2"));
}

TEST(LmScorer, NamesWhatIsWrong) {
  Tiny tiny;
  const std::vector<TokenIds> one{{1}}, none{{}};
  EXPECT_THAT(config_error([&] { tiny.scorer.answers(one, std::vector<int64_t>{32}); }), HasSubstr("answer token 32"));
  EXPECT_THAT(config_error([&] { tiny.scorer.answers(none, std::vector<int64_t>{3}); }), HasSubstr("prompt 1 of 1"));
  EXPECT_THAT(config_error([&] { tiny.scorer.perplexity(one); }), HasSubstr("perplexity needs two"));
  EXPECT_THAT(config_error([&] { tiny.scorer.log_likelihood(one, none); }), HasSubstr("pair 1 of 1"));
}

}  // namespace
}  // namespace interplay::lm::scorer_test
