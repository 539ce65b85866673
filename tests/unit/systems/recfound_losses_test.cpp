// Losses of texts and answers on a tiny random decoder: reading both ways, chunks, and what tasks may change.
#include "systems/recfound/tune_losses.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/nn/contrastive.h>

#include "support/stored.h"

namespace interplay::recfound::recfound_losses_test {
namespace {

using interplay::testing::expect_near;
using lm::FramedText;
using lm::TaskFamily;

/// Two layers of width 16, four experts on their projections, B drawn so that they say something.
lm::TunedDecoder tuned(double dropout = 0) {
  lm::Decoder decoder = lm::load_decoder(interplay::testing::reference_file("llama_untied"), nn::Precision::fp32);
  lm::AdapterOptions options;
  options.rank = 2, options.experts = 6, options.dropout = dropout;
  options.targets = {"q_proj", "k_proj", "v_proj", "o_proj"};
  decoder->adapt(options, 3);
  const at::NoGradGuard off;
  uint64_t seed = 0;
  for (auto& [name, w] : decoder->adapter_weights()) {
    if (name.ends_with("lora_B.weight"))
      w.copy_(at::randn(w.sizes(), at::make_generator<at::CPUGeneratorImpl>(++seed), w.options()) * 0.3);
  }
  return {decoder, lm::TaskRouter(std::vector<TaskFamily>{TaskFamily::embedding, TaskFamily::generation},
                                  decoder->adapted(), lm::ExpertCounts{}, 8, 5)};
}

/// `count` tokens, of which the last `own` are the text's.
FramedText text(int64_t first, int64_t count, int64_t own) {
  FramedText out;
  for (int64_t t = 0; t < count; ++t) out.ids.push_back(2 + (first + 7 * t) % 30);
  out.first = count - own, out.last = count;
  return out;
}

std::vector<QueryTexts> queries() {
  std::vector<QueryTexts> out;
  for (int64_t i = 0; i < 5; ++i) out.push_back({0, text(i, 6 + i, 3), {text(11 * i, 5, 5), text(3 + i, 8, 4)}});
  return out;
}

std::vector<PromptTokens> prompts() {
  std::vector<PromptTokens> out;
  for (int64_t i = 0; i < 5; ++i) out.push_back({1, text(5 * i, 7 + i, 1).ids, 1 + i % 3});
  return out;
}

std::map<std::string, at::Tensor> gradients(lm::TunedDecoder& model) {
  std::map<std::string, at::Tensor> out;
  for (auto& [name, w] : model.weights()) {
    if (w.grad().defined()) out[name] = w.grad().clone();
    w.mutable_grad() = at::Tensor();
  }
  return out;
}

TEST(RecfoundLosses, ALaterTokenChangesAnEarlierVectorOnlyWhereAllIsSeen) {
  auto model = tuned();
  const at::NoGradGuard off;
  model.decoder()->eval();
  const auto first_state = [&](int64_t last, bool causal) {
    lm::DecoderCall call;
    call.causal = causal;
    return model.decoder()->forward(lm::TokenBatch::of({{4, 9, 11, last}}), call)[0].clone();
  };
  const auto causal = first_state(5, true);
  EXPECT_GT((first_state(5, false) - first_state(6, false)).abs().max().item<double>(), 1e-4);
  EXPECT_TRUE(at::equal(first_state(5, true), causal)) << "a pass that sees all leaves something behind";
  EXPECT_TRUE(at::equal(first_state(6, true), causal));
}

TEST(RecfoundLosses, VectorsAreMeansOfTheTextsOwnTokensAndOneLong) {
  auto model = tuned();
  const at::NoGradGuard off;
  model.decoder()->eval();
  const std::vector<FramedText> texts{text(1, 6, 4), text(9, 3, 3)};
  const auto found = lm::text_vectors(model.decoder(), texts);
  lm::DecoderCall call;
  call.causal = false;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto states = model.decoder()->forward(lm::TokenBatch::of({texts[i].ids}), call);
    const auto mean = states.slice(0, texts[i].first, texts[i].last).mean(0);
    expect_near(found[int64_t(i)], mean / mean.norm(), 1e-5, "vector");
  }
}

/// Two gradients of the whole model differ by no more than 1e-6 of its length.
void expect_equal(const std::map<std::string, at::Tensor>& found, const std::map<std::string, at::Tensor>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  double length2 = 0, difference2 = 0;
  for (const auto& [name, g] : expected) {
    length2 += g.square().sum().item<double>();
    difference2 += (found.at(name) - g).square().sum().item<double>();
  }
  EXPECT_GT(length2, 0);
  EXPECT_LE(std::sqrt(difference2 / length2), 1e-6);
}

// At temperature 1, and not text by text: a lower one, and more parts, multiply what f32 rounds.
TEST(RecfoundLosses, ChunksHaveTheGradientsOfOnePass) {
  auto model = tuned();
  model.decoder()->train();
  const auto rows = queries();
  const double whole = vector_loss(model, rows, {1, 64}, 1);
  const auto expected = gradients(model);
  for (const int64_t chunk : {4, 7, 14}) {
    SCOPED_TRACE(chunk);
    EXPECT_NEAR(vector_loss(model, rows, {1, chunk}, 1), whole, 1e-5);
    expect_equal(gradients(model), expected);
  }
}

TEST(RecfoundLosses, AnswersInChunksHaveTheGradientsOfOnePass) {
  auto model = tuned();
  model.decoder()->train();
  const auto rows = prompts();
  const double whole = answer_loss(model, rows, {1, 64}, 0.5);
  const auto expected = gradients(model);
  EXPECT_NEAR(answer_loss(model, rows, {1, 2}, 0.5), whole, 1e-5);
  expect_equal(gradients(model), expected);
}

// Dropout is drawn in both readings: with other numbers in the second, its gradient is of another function, and a small
// step against it lowers the loss by other than its squared length.
TEST(RecfoundLosses, SecondReadingsDropWhatTheFirstDropped) {
  auto model = tuned(0.5);
  model.decoder()->train();
  const auto rows = queries();
  const auto loss = [&](double scale) {
    at::manual_seed(7);
    return vector_loss(model, rows, {1, 4}, scale);
  };
  const double before = loss(1);
  double length2 = 0;
  for (const auto& [name, w] : model.weights())
    if (w.grad().defined()) length2 += w.grad().square().sum().item<double>();
  const double step = 1e-3 / length2;
  {
    const at::NoGradGuard off;
    for (auto& [name, w] : model.weights())
      if (w.grad().defined()) w.sub_(w.grad(), step);
  }
  gradients(model);
  EXPECT_NEAR((before - loss(1)) / 1e-3, 1, 0.05);
}

TEST(RecfoundLosses, AnswersAreTheirTokensMeanLogProbability) {
  auto model = tuned();
  const at::NoGradGuard off;
  model.decoder()->eval();
  const auto rows = prompts();
  double sum = 0, count = 0;
  for (const auto& row : rows) {
    const auto call = model.call(std::vector<int64_t>{row.task});
    lm::DecoderCall how;
    how.adapters = &call;
    const auto logs =
        model.decoder()->logits(model.decoder()->forward(lm::TokenBatch::of({row.ids}), how)).log_softmax(1);
    for (auto t = int64_t(row.ids.size()) - row.answer; t < int64_t(row.ids.size()); ++t, ++count)
      sum -= logs[t - 1][row.ids[size_t(t)]].item<double>();
  }
  EXPECT_NEAR(answer_loss(model, rows, {1, 2}, 0), sum / count, 1e-5);
}

TEST(RecfoundLosses, ExpertsOfOneFamilyLeaveTheOtherAlone) {
  auto model = tuned();
  model.decoder()->train();
  vector_loss(model, queries(), {0.1, 64}, 1);
  for (auto& [name, g] : gradients(model)) {
    if (!name.ends_with("lora_A.weight")) continue;
    const auto by_expert = g.view({6, -1}).abs().sum(1);
    EXPECT_EQ(by_expert.narrow(0, 4, 2).sum().item<float>(), 0) << name;
    EXPECT_GT(by_expert.narrow(0, 0, 4).min().item<float>(), 0) << name;
  }
  answer_loss(model, prompts(), {1, 64}, 1);
  for (auto& [name, g] : gradients(model)) {
    if (!name.ends_with("lora_A.weight")) continue;
    EXPECT_EQ(g.view({6, -1}).abs().sum(1).narrow(0, 0, 2).sum().item<float>(), 0) << name;
  }
}

TEST(RecfoundLosses, AFixedTaskReadsAsTheCallDoes) {
  auto model = tuned();
  const at::NoGradGuard off;
  model.decoder()->eval();
  const auto batch = lm::TokenBatch::of({{4, 9, 11}, {3, 3}});
  for (const int64_t task : {1, 0, -1, 1}) {
    const auto call = model.call(std::vector<int64_t>{task, task});
    lm::DecoderCall how;
    how.adapters = &call;
    model.focus(-1);
    const auto expected = model.decoder()->forward(batch, how);
    model.focus(task);
    expect_near(model.decoder()->forward(batch), expected, 1e-5, fmt::format("task {}", task));
  }
}

}  // namespace
}  // namespace interplay::recfound::recfound_losses_test
