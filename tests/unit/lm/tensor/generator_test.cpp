#include <interplay/lm/generator.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/stored.h"
#include "support/tiny_generator.h"

namespace interplay::lm::generator_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::ids_of;
using interplay::testing::numeric_error;
using interplay::testing::prompts_of;
using interplay::testing::reference_file;
using interplay::testing::tiny_generator;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Decoder tiny_decoder(const char* name = "llama_untied.gguf") {
  return load_decoder(reference_file(name), nn::Precision::fp32);
}

/// Logits of what may follow, by one pass over all tokens.
at::Tensor next_logits(Decoder& decoder, const TokenIds& ids) {
  const at::NoGradGuard off;
  const auto batch = TokenBatch::of({ids});
  return decoder->logits(decoder->forward(batch, {.rows = batch.last_rows()}))[0];
}

// Token 1 is <|im_end|>, 0 <|im_start|>, which ends nothing.
TokenIds greedy_without_cache(Decoder& decoder, TokenIds ids, int64_t most) {
  TokenIds out;
  for (int64_t t = 0; t < most; ++t) {
    const auto next = next_logits(decoder, ids).argmax().item<int64_t>();
    if (next == 1) break;
    out.push_back(next), ids.push_back(next);
  }
  return out;
}

TEST(Generator, GreedyIsTheArgmaxOfWholePasses) {
  for (const char* name : {"llama_untied.gguf", "llama_tied.gguf"}) {
    const auto generator = tiny_generator(name);
    auto decoder = tiny_decoder(name);
    const auto prompts = prompts_of(12);
    const auto answers = generator->generate(prompts, {.max_tokens = 20, .batch = 5});
    for (size_t i = 0; i < prompts.size(); ++i) {
      const auto expected = greedy_without_cache(decoder, prompts[i].ids, 20);
      EXPECT_EQ(answers[i].ids, expected) << name << " " << i;
      EXPECT_EQ(answers[i].finish, expected.size() == 20 ? Finish::length : Finish::stop);
      EXPECT_EQ(answers[i].text, generator->tokenizer().decode(expected));
    }
  }
}

// Keys and values of 1,500 tokens, whose memory grows while the answer is written.
TEST(Generator, LongPromptsAreKeptWhole) {
  const auto generator = tiny_generator("tiny_chat.gguf");
  auto decoder = tiny_decoder("tiny_chat.gguf");
  std::vector<LmPrompt> prompts(2);
  for (int64_t t = 0; t < 1500; ++t) prompts[0].ids.push_back(3 + t * t % 256);
  prompts[1].ids.assign(prompts[0].ids.begin() + 700, prompts[0].ids.end());
  const auto answers = generator->generate(prompts, {.max_tokens = 6});
  for (size_t i = 0; i < 2; ++i) {
    TokenIds ids = prompts[i].ids;
    for (const int64_t token : answers[i].ids) {
      EXPECT_EQ(next_logits(decoder, ids).argmax().item<int64_t>(), token);
      ids.push_back(token);
    }
    EXPECT_FALSE(answers[i].ids.empty());
  }
}

// The same tokens whoever is written beside: greedy and drawn.
TEST(Generator, AnAnswerIsItsOwnWhateverTheBatchAndTheOrder) {
  const auto generator = tiny_generator();
  const auto prompts = prompts_of(20);
  std::vector<LmPrompt> backwards(prompts.rbegin(), prompts.rend());
  for (const double temperature : {0.0, 1.3}) {
    GenerateOptions options{.max_tokens = 24, .temperature = temperature, .top_k = 20, .top_p = 0.95, .seed = 5};
    options.batch = 1;
    const auto alone = ids_of(generator->generate(prompts, options));
    for (const int64_t batch : {3, 16}) {
      options.batch = batch;
      EXPECT_EQ(ids_of(generator->generate(prompts, options)), alone) << batch;
      auto turned = ids_of(generator->generate(backwards, options));
      std::reverse(turned.begin(), turned.end());
      EXPECT_EQ(turned, alone) << batch;
    }
  }
}

// What a token follows decides its place; an answer that was cut goes on as it would have.
TEST(Generator, LogitsOfAStepAreTheSameBitsInAnyCompany) {
  auto decoder = tiny_decoder();
  const auto prompts = prompts_of(9);
  KvCache all(0);
  std::vector<int64_t> last;
  std::vector<at::Tensor> alone;
  for (const auto& prompt : prompts) {
    KvCache own;
    decoder->extend(own, TokenBatch::of({prompt.ids}));
    KvCache copy = own;
    alone.push_back(decoder->step(copy, std::vector<int64_t>{7}));
    all.append(own);
    last.push_back(7);
  }
  const auto together = decoder->step(all, last);
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_TRUE(together[int64_t(i)].equal(alone[i][0])) << i;
    TokenIds whole = prompts[i].ids;
    whole.push_back(7);
    EXPECT_LT((next_logits(decoder, whole) - alone[i][0]).abs().max().item<float>(), 1e-5);
  }
}

TEST(Generator, AdaptersTakePartInSteps) {
  auto decoder = tiny_decoder();
  decoder->adapt({.rank = 3, .experts = 2, .targets = {"q_proj", "v_proj", "down_proj"}}, 1);
  {
    const at::NoGradGuard off;
    at::manual_seed(3);
    for (auto& p : decoder->parameters()) p.normal_(0, 0.5);
  }
  const TokenIds ids{5, 6, 7, 8, 9, 10};
  KvCache cache;
  decoder->extend(cache, TokenBatch::of({TokenIds(ids.begin(), ids.end() - 1)}));
  const auto found = decoder->step(cache, std::vector<int64_t>{10})[0], expected = next_logits(decoder, ids);
  EXPECT_LT((found - expected).abs().max().item<float>(), 1e-4);
  decoder->remove_adapters();
  EXPECT_GT((next_logits(decoder, ids) - expected).abs().max().item<float>(), 1e-2);
}

// Of two at a time, the one that ends makes room for the third, which is done before the first.
TEST(Generator, AWaitingPromptTakesThePlaceOfOneThatHasEnded) {
  const auto generator = tiny_generator();
  std::vector<LmPrompt> slow, quick;
  for (const auto& prompt : prompts_of(40)) {
    const size_t tokens = generator->generate(std::vector<LmPrompt>{prompt}, {.max_tokens = 20})[0].ids.size();
    if (tokens == 20) slow.push_back(prompt);
    if (tokens < 8) quick.push_back(prompt);
  }
  ASSERT_GE(slow.size(), 1u);
  ASSERT_GE(quick.size(), 2u);
  std::vector<int64_t> order;
  generator->generate_each(std::vector<LmPrompt>{slow[0], quick[0], quick[1]}, {.max_tokens = 20, .batch = 2},
                           [&](int64_t i, const Generated&) { order.push_back(i); });
  EXPECT_THAT(order, ElementsAre(1, 2, 0));
}

// 4,000 draws against the softmax of the logits that transformers would divide by the temperature: chi-square with 31
// degrees of freedom is above 61.1 once in a thousand times.
TEST(Generator, DrawsAreDistributedAsTheSoftmaxOfTheLogits) {
  const auto generator = tiny_generator();
  auto decoder = tiny_decoder();
  constexpr int64_t kDraws = 4000;
  std::vector<LmPrompt> prompts(kDraws, LmPrompt{{3, 9, 12}});
  for (size_t i = 0; i < prompts.size(); ++i) prompts[i].draw = i;
  const double temperature = 3;
  std::vector<double> counts(32, 0);
  const auto answers =
      generator->generate(prompts, {.max_tokens = 1, .temperature = temperature, .seed = 7, .batch = 64});
  for (const auto& answer : answers) ++counts[answer.ids.empty() ? 1 : size_t(answer.ids[0])];
  const auto p = (next_logits(decoder, {3, 9, 12}).to(at::kDouble) / temperature).softmax(0);
  double chi_square = 0;
  for (int64_t k = 0; k < 32; ++k) {
    const double expected = p[k].item<double>() * double(kDraws);
    chi_square += (counts[size_t(k)] - expected) * (counts[size_t(k)] - expected) / expected;
  }
  EXPECT_LT(chi_square, 61.1);
  EXPECT_EQ(ids_of(generator->generate(std::span(prompts).first(50),
                                       {.max_tokens = 1, .temperature = temperature, .seed = 7})),
            ids_of({answers.begin(), answers.begin() + 50}));
  const auto others =
      generator->generate(std::span(prompts).first(50), {.max_tokens = 1, .temperature = temperature, .seed = 8});
  EXPECT_NE(ids_of(others), ids_of({answers.begin(), answers.begin() + 50}));
}

/// A prompt of the tiny model and what it goes on with greedily.
struct Known {
  std::unique_ptr<DecoderGenerator> generator = tiny_generator();
  std::vector<LmPrompt> prompts;
  Generated whole;
  Known() {
    for (const auto& prompt : prompts_of(40)) {  // one that is long enough and of letters
      whole = generator->generate(std::vector<LmPrompt>{prompt}, {.max_tokens = 12})[0];
      prompts = {prompt};
      if (whole.ids.size() == 12 && whole.text.size() >= 8 && whole.text[4] != whole.text[0]) break;
    }
  }
};

TEST(Generator, StopTextsEndAnAnswerAndAreNoPartOfIt) {
  Known known;
  const std::string& text = known.whole.text;
  // Of two tokens or more; the one that begins first ends the answer.
  const std::string stop = text.substr(4, 3);
  const size_t first = text.find(stop);
  const auto cut = known.generator->generate(known.prompts, {.max_tokens = 12, .stop = {"@never@", stop}})[0];
  EXPECT_EQ(cut.text, text.substr(0, first));
  EXPECT_EQ(cut.finish, Finish::stop);
  EXPECT_EQ(TokenIds(known.whole.ids.begin(), known.whole.ids.begin() + int64_t(cut.ids.size())), cut.ids);
  EXPECT_LT(cut.ids.size(), known.whole.ids.size());
}

TEST(Generator, AnswersEndWhereTheContextDoes) {
  const auto generator = tiny_generator();
  auto decoder = tiny_decoder();
  std::vector<LmPrompt> prompts(3);
  for (int64_t t = 0; t < 64; ++t) prompts[0].ids.push_back(2 + t * 7 % 30);
  prompts[1].ids.assign(prompts[0].ids.begin(), prompts[0].ids.end() - 4);
  prompts[2].ids.assign(prompts[0].ids.begin() + 3, prompts[0].ids.end() - 1);
  const auto answers = generator->generate(prompts, {.max_tokens = 20});
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto room = int64_t(65 - prompts[i].ids.size());  // the last token is not read
    const auto expected = greedy_without_cache(decoder, prompts[i].ids, room);
    EXPECT_EQ(answers[i].ids, expected);
    EXPECT_EQ(answers[i].finish, int64_t(expected.size()) == room ? Finish::length : Finish::stop);
  }
  prompts[1].ids.assign(65, 5);
  EXPECT_THAT(data_error([&] { generator->generate(prompts); }),
              HasSubstr("prompt 2 of 3 has 65 tokens; the model was made for 64 at most; shorten it"));
  prompts[1].ids.clear();
  EXPECT_THAT(data_error([&] { generator->generate(prompts); }), HasSubstr("prompt 2 of 3 has no tokens"));
}

TEST(Generator, ChoosesTheContinuationOfTheLargestSumOfLogP) {
  const auto generator = tiny_generator();
  auto decoder = tiny_decoder();
  const std::vector<TokenIds> choices{{5, 9, 20}, {17}, {4, 4}};
  const auto prompts = prompts_of(6);
  const auto answers = generator->generate(prompts, {.choices = choices});
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::vector<double> expected;
    for (const auto& choice : choices) {
      TokenIds ids = prompts[i].ids;
      double sum = 0;
      for (const int64_t token : choice) {
        sum += next_logits(decoder, ids).to(at::kDouble).log_softmax(0)[token].item<double>();
        ids.push_back(token);
      }
      expected.push_back(sum);
    }
    const auto best = std::max_element(expected.begin(), expected.end()) - expected.begin();
    EXPECT_EQ(answers[i].choice, best);
    EXPECT_EQ(answers[i].ids, choices[size_t(best)]);
    EXPECT_EQ(answers[i].finish, Finish::choice);
    for (size_t k = 0; k < choices.size(); ++k) EXPECT_NEAR(answers[i].log_p[k], expected[k], 1e-4);
  }
  // Drawn, each as often as its share: 2,000 draws, three standard errors.
  std::vector<LmPrompt> many(2000, prompts[1]);
  for (size_t i = 0; i < many.size(); ++i) many[i].draw = i;
  const auto drawn = generator->generate(many, {.temperature = 1.5, .choices = choices});
  const auto p = (at::tensor(answers[1].log_p, at::kDouble) / 1.5).softmax(0);
  for (int64_t k = 0; k < 3; ++k) {
    const auto count = std::count_if(drawn.begin(), drawn.end(), [&](const auto& a) { return a.choice == k; });
    const double share = p[k].item<double>();
    EXPECT_NEAR(double(count) / 2000, share, 3 * std::sqrt(share * (1 - share) / 2000) + 1e-9);
  }
}

TEST(Generator, NamesWhatIsWrong) {
  const auto generator = tiny_generator();
  const auto prompts = prompts_of(2);
  const auto said = [&](const GenerateOptions& options) {
    return config_error([&] { generator->generate(prompts, options); });
  };
  EXPECT_THAT(said({.max_tokens = 0}), HasSubstr("max_tokens is 0"));
  EXPECT_THAT(said({.temperature = -1}), HasSubstr("temperature is -1"));
  EXPECT_THAT(said({.temperature = NAN}), HasSubstr("temperature is nan"));
  EXPECT_THAT(said({.top_k = -2}), HasSubstr("top_k is -2"));
  EXPECT_THAT(said({.top_p = 0}), HasSubstr("top_p is 0"));
  EXPECT_THAT(said({.stop = {""}}), HasSubstr("stop: an empty text"));
  EXPECT_THAT(said({.choices = {{1}, {}}}), HasSubstr("choice 2 of 2 has no tokens"));
  EXPECT_THAT(said({.batch = 0}), HasSubstr("batch is 0"));
  EXPECT_THAT(generator->generate(std::vector<LmPrompt>{}), IsEmpty());
}

TEST(Generator, NamesThePromptWhoseLogitsAreNoNumbers) {
  auto decoder = tiny_decoder();
  decoder->named_buffers()["embed_tokens"][17].fill_(NAN);
  DecoderGenerator generator(decoder, Tokenizer::load(reference_file("llama_untied.gguf")), "broken");
  EXPECT_THAT(numeric_error([&] {
                generator.generate(std::vector<LmPrompt>{{{4, 5}}, {{4, 17}}}, {.max_tokens = 1});
              }),
              HasSubstr("prompt 2 of 2: logits are NaN or infinite"));
}

}  // namespace
}  // namespace interplay::lm::generator_test
