#include <filesystem>
#include <fstream>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/functional/loss.h>

#include <interplay/core/model.h>
#include <interplay/lm/decoder.h>
#include <interplay/optim/optimizer.h>

namespace interplay::rella_model_test {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const std::filesystem::path kModel = std::filesystem::path(INTERPLAY_TESTS_DIR) / "reference/data/tiny_chat.gguf";
constexpr int64_t kVocabulary = 266, kYes = 260, kNo = 261;  // as tests/reference/tiny_chat.py makes them

Field prompts(const std::string& name, int64_t tokens = kVocabulary) {
  Field f;
  f.name = name;
  f.kind = FieldKind::text;
  f.rows = tokens;
  return f;
}

Schema schema() { return Schema({prompts("prompt_recent"), prompts("prompt_retrieved")}, {"label"}); }

Config config(const std::string& more = "") {
  return Config::parse("{name: rella, lm: " + kModel.string() + ", weights: fp32, rank: 2, dropout: 0" +
                       (more.empty() ? "" : ", " + more) + "}");
}

using Ids = std::vector<std::vector<int64_t>>;
const Ids kRecent{{1, 40, 41, 42}, {1, 90}, {7}}, kRetrieved{{1, 50, 51}, {2, 60, 61, 62, 63}, {80, 81}};

Tokens prompt(const Ids& of) {
  std::vector<int32_t> ids;
  std::vector<int64_t> offsets{0};
  for (const auto& one : of) {
    for (const int64_t id : one) ids.push_back(int32_t(id));
    offsets.push_back(int64_t(ids.size()));
  }
  return {at::tensor(ids), at::tensor(offsets), at::full({int64_t(ids.size())}, -1, at::kChar)};
}

Features features(const Ids& recent, const Ids& retrieved) {
  Features x;
  x.rows = int64_t(recent.size());
  x.tokens = {prompt(recent), prompt(retrieved)};
  return x;
}

/// What the language model alone says after each text, over its vocabulary: [B, V]
at::Tensor next_token_logits(const Ids& texts) {
  at::NoGradGuard guard;
  auto decoder = lm::load_decoder(kModel, nn::Precision::fp32);
  std::vector<at::Tensor> rows;
  for (const auto& text : texts) {
    const auto batch = lm::TokenBatch::of({text});
    rows.push_back(decoder->logits(decoder->forward(batch)).select(0, batch.tokens() - 1));
  }
  return at::stack(rows);
}

at::Tensor yes_less_no(const at::Tensor& logits) { return logits.select(1, kYes) - logits.select(1, kNo); }

std::string told(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Rella, ScoresByTheAnswersAfterThePrompt) {
  at::NoGradGuard guard;
  const auto model = make_model(config(), schema());
  model->eval();
  const auto expected = yes_less_no(next_token_logits(kRetrieved));  // adapters start as nothing
  EXPECT_TRUE(at::allclose(model->forward(features(kRecent, kRetrieved)).logit, expected, 1e-5, 1e-5));
  const auto other = make_model(config("scored: prompt_recent, answers: [\"No\", \"Yes\"]"), schema());
  other->eval();
  EXPECT_TRUE(at::allclose(other->forward(features(kRecent, kRetrieved)).logit,
                           -yes_less_no(next_token_logits(kRecent)), 1e-5, 1e-5));
}

TEST(Rella, ARowDoesNotDependOnThoseReadWithIt) {
  at::NoGradGuard guard;
  const auto whole = make_model(config(), schema()), parts = make_model(config("tokens_at_once: 4"), schema());
  whole->eval(), parts->eval();
  const auto x = features(kRecent, kRetrieved);
  EXPECT_TRUE(at::allclose(whole->forward(x).logit, parts->forward(x).logit, 1e-6, 1e-6));
}

TEST(Rella, WhatAllPromptsBeginWithIsReadOnceAndForAll) {
  at::NoGradGuard guard;
  const Ids prompts{{5, 6, 7, 40, 41}, {5, 6, 7}, {5, 6, 90, 91, 92, 93}};  // the second is a beginning of the first
  const auto model = make_model(config(), schema());
  model->eval();
  const auto scores = model->forward(features(prompts, prompts)).logit;
  EXPECT_TRUE(at::allclose(scores, yes_less_no(next_token_logits(prompts)), 1e-5, 1e-5));
  const Ids same{{5, 6, 7}, {5, 6, 7}};
  EXPECT_TRUE(
      at::allclose(model->forward(features(same, same)).logit, yes_less_no(next_token_logits(same)), 1e-5, 1e-5));
}

TEST(Rella, LearnsFromEachPromptAndFromTheWholeVocabulary) {
  const auto model = make_model(config(), schema());
  model->train();
  const Output out = model->forward(features(kRecent, kRetrieved));
  const auto recent = next_token_logits(kRecent), retrieved = next_token_logits(kRetrieved);
  EXPECT_TRUE(at::allclose(out.logit, yes_less_no(recent), 1e-5, 1e-5));
  ASSERT_EQ(out.terms.size(), 3u);
  EXPECT_EQ(out.terms[0].name, "prompt_retrieved");
  EXPECT_TRUE(at::allclose(out.terms[0].logit, yes_less_no(retrieved), 1e-5, 1e-5));
  // Binary losses and the terms of the vocabulary together are the cross entropy of the right token among all.
  const auto label = at::tensor({1.f, 0.f, 1.f});
  const auto answer = at::where(label == 1, at::scalar_tensor(kYes, at::kLong), at::scalar_tensor(kNo, at::kLong));
  const auto expected = at::cross_entropy_loss(recent, answer) + at::cross_entropy_loss(retrieved, answer);
  const auto loss = at::binary_cross_entropy_with_logits(out.logit, label) +
                    at::binary_cross_entropy_with_logits(out.terms[0].logit, label) + out.terms[1].value.mean() +
                    out.terms[2].value.mean();
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-5);
  const auto two = make_model(config("vocabulary_loss: false, trained: [prompt_retrieved]"), schema());
  two->train();
  const Output of_two = two->forward(features(kRecent, kRetrieved));
  EXPECT_TRUE(of_two.terms.empty());
  EXPECT_TRUE(at::allclose(of_two.logit, yes_less_no(retrieved), 1e-5, 1e-5));
}

TEST(Rella, OnlyAdaptersLearnAndAreSaved) {
  const auto model = make_model(config(), schema());
  model->train();
  const Output out = model->forward(features(kRecent, kRetrieved));
  (out.logit.sum() + out.terms[0].logit.sum()).backward();
  // q and v of one layer, width 8, rank 2: A [2, 8] each, B [8, 2] and [4, 2]
  EXPECT_EQ(parameter_count(*model), 2 * 8 + 2 * 8 + 8 * 2 + 4 * 2);
  int64_t moved = 0;
  for (const auto& p : model->parameters()) moved += p.grad().defined() && p.grad().abs().max().item<float>() > 0;
  EXPECT_EQ(moved, 2);  // at first B alone: A's gradient goes through B, which is 0
  int64_t floating = 0;
  for (const auto& [name, weight] : weights_of(*model)) floating += weight.is_floating_point() ? weight.numel() : 0;
  EXPECT_EQ(floating, parameter_count(*model));
}

TEST(Rella, WeightsComeBack) {
  at::NoGradGuard guard;
  const auto x = features(kRecent, kRetrieved);
  const auto trained = make_model(config(), schema(), 1), loaded = make_model(config(), schema(), 2);
  for (auto& p : trained->parameters()) p.add_(0.1);
  load_weights(*loaded, weights_of(*trained), "here");
  trained->eval(), loaded->eval();
  EXPECT_TRUE(at::equal(trained->forward(x).logit, loaded->forward(x).logit));
  EXPECT_FALSE(at::allclose(loaded->forward(x).logit, yes_less_no(next_token_logits(kRetrieved))));
}

TEST(Rella, AdaptersOfAnotherLanguageModelAreRefused) {
  const auto model = make_model(config(), schema());
  auto weights = weights_of(*model);
  weights.at("lm_checksum") = at::tensor({int64_t{5}});
  load_weights(*model, weights, "here");
  EXPECT_THAT(told([&] { model->forward(features(kRecent, kRetrieved)); }),
              HasSubstr("of another language model (checksum 0000000000000005"));
}

TEST(Rella, RefusesWhatIsNoPromptForIt) {
  EXPECT_THAT(told([&] {
                make_model(config(), Schema({prompts("prompt_recent", 9), prompts("prompt_retrieved")}, {"y"}));
              }),
              HasSubstr("the prompts 'prompt_recent' are made of 9 tokens, the language model has 266"));
  EXPECT_THAT(told([&] { make_model(config("scored: prompt_recnt"), schema()); }),
              HasSubstr("fields: prompt_recent, prompt_retrieved"));
  EXPECT_THAT(told([&] { make_model(config("answers: [\"Yes\"]"), schema()); }),
              HasSubstr("[Yes]: expected two answers that differ"));
  EXPECT_THAT(told([&] { make_model(config("trained: []"), schema()); }), HasSubstr("names no prompt"));
}

}  // namespace
}  // namespace interplay::rella_model_test
