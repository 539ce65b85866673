// Answers of SmolLM2 against stored ones of transformers: reference/generate.py.
#include <interplay/lm/generator.h>

#include <map>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <interplay/lm/model_files.h>

#include "lm/tensor/sampling.h"
#include "support/stored.h"

namespace interplay::lm::generator_test {
namespace {

std::vector<LmPrompt> stored_prompts(const nlohmann::ordered_json& stored) {
  std::vector<LmPrompt> out;
  for (const auto& entry : stored) out.push_back({entry.at("ids").get<TokenIds>()});
  return out;
}

TEST(SmolLm2, GreedyTokensAreThoseOfTheReference) {
  const auto stored = testing::reference_json("generate.json");
  ASSERT_EQ(stored.size(), 20u);
  const auto generator = load_generator(find_model("smollm2-135m"));
  const auto answers = generator->generate(stored_prompts(stored), {.max_tokens = 32});
  for (size_t i = 0; i < stored.size(); ++i) {
    EXPECT_EQ(generator->tokenizer().encode(stored[i].at("prompt").get<std::string>(), {.control = true}),
              stored[i].at("ids").get<TokenIds>());
    EXPECT_EQ(answers[i].ids, stored[i].at("greedy").get<TokenIds>()) << stored[i].at("prompt");
    EXPECT_EQ(answers[i].finish, answers[i].ids.size() == 32 ? Finish::length : Finish::stop);
  }
}

// Each token's share of 1,000 numbers that lie evenly in [0, 1) is its probability to within 2 / 1,000.
TEST(SmolLm2, TheNextTokenIsDrawnAsTheReferenceDrawsIt) {
  const auto stored = testing::reference_json("generate.json");
  auto decoder = load_decoder(find_model("smollm2-135m"), nn::Precision::fp32);
  const GenerateOptions options{.temperature = 0.7, .top_k = 40, .top_p = 0.9};
  constexpr int kSteps = 1000;
  for (const auto& entry : stored) {
    auto ids = entry.at("ids").get<TokenIds>();
    const int64_t last = ids.back();
    ids.pop_back();
    KvCache cache;
    decoder->extend(cache, TokenBatch::of({ids}));
    const auto logits = decoder->step(cache, std::vector<int64_t>{last});
    const std::span numbers(logits.const_data_ptr<float>(), size_t(logits.numel()));
    std::map<int64_t, double> shares;
    for (int i = 0; i < kSteps; ++i) shares[choose_token(numbers, options, (i + 0.5) / kSteps)] += 1.0 / kSteps;
    const auto tokens = entry.at("tokens").get<TokenIds>();
    const auto p = entry.at("p").get<std::vector<double>>();
    double all = 0;
    for (size_t k = 0; k < tokens.size(); ++k) {
      EXPECT_NEAR(shares[tokens[k]], p[k], 2.0 / kSteps) << entry.at("prompt") << " token " << tokens[k];
      all += shares[tokens[k]];
    }
    EXPECT_NEAR(all, 1, 1e-9);  // nothing else is drawn
  }
}

// The file's own blocks are the numbers that they are expanded to.
TEST(SmolLm2, StepsByQuantisedWeightsAreThoseByExpandedOnes) {
  auto decoder = load_decoder(find_model("smollm2-135m"), nn::Precision::fp32);
  const auto run = [&] {
    KvCache cache;
    decoder->extend(cache, TokenBatch::of({{504, 3575, 282, 4649}}));
    return decoder->step(cache, std::vector<int64_t>{314});
  };
  const auto expected = run();
  decoder->read_packed(find_model("smollm2-135m"));
  testing::expect_near(run(), expected, 1e-3, "logits");
}

// What was merged into the weights is not in the file.
TEST(SmolLm2, MergedAdaptersAreNotLostToTheFile) {
  auto decoder = load_decoder(find_model("smollm2-135m"), nn::Precision::fp32);
  decoder->read_packed(find_model("smollm2-135m"));
  decoder->adapt({.rank = 2, .targets = {"v_proj", "o_proj"}}, 1);
  {
    const at::NoGradGuard off;
    at::manual_seed(1);
    for (auto& p : decoder->parameters()) p.normal_(0, 0.05);
  }
  const auto run = [&] {
    KvCache cache;
    return decoder->step(cache, std::vector<int64_t>{314});
  };
  const auto expected = run();
  decoder->merge_adapters();
  testing::expect_near(run(), expected, 1e-3, "logits");
}

}  // namespace
}  // namespace interplay::lm::generator_test
