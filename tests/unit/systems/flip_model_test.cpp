#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/core/model.h>
#include <interplay/core/objective.h>
#include <interplay/optim/optimizer.h>

#include "flip_rows.h"
#include "support/temp_dir.h"

namespace interplay::flip::flip_model_test {
namespace {

using interplay::testing::TempDir;
using testing::CodedRows;
using ::testing::Contains;
using ::testing::Not;

/// Scores a row by its number. For tests.
class Given final : public Model {
 public:
  using Options = NoOptions;
  Given(const Schema&, const Options&) {}
  Output forward(const Features& x) override { return x.dense.select(1, 0).contiguous(); }
};
INTERPLAY_REGISTER_MODEL("test_given", Given, "for tests: the row's number");

class FlipModel : public ::testing::Test {
 protected:
  FlipModel() { interplay::testing::write_tiny_bert(dir_ / "bert", rows_.words(), {.width = 16, .hidden = 24}); }
  Config config(const std::string& more) const {
    return Config::parse(fmt::format("{{name: flip, lm: {}, dropout: 0, {}}}", (dir_ / "bert").string(), more));
  }
  Schema with_number() const {
    auto fields = rows_.schema().fields();
    fields.push_back(interplay::testing::make_field("given", FieldKind::numeric));
    return Schema(fields, {"label"});
  }
  static std::vector<std::string> names(const Model& model) {
    std::vector<std::string> out;
    for (const auto& child : model.named_children()) out.push_back(child.key());
    return out;
  }
  const CodedRows rows_{.fields = 2, .codes = 5};
  const TempDir dir_;
};

/// Losses and the derivative were computed in float64 from the definition.
TEST_F(FlipModel, HasTheLossesAndTheDerivativeOfTheDefinition) {
  const auto model = make_model(config("backbone: test_given"), with_number());
  Batch batch;
  batch.features = rows_.rows(at::tensor({0, 1, 2, 3}, at::kLong).view({2, 2}));
  batch.features.dense = at::tensor({0.8f, -1.2f}).view({2, 1});
  batch.labels = at::tensor({1.f, 0.f}).view({2, 1});
  auto parameters = model->named_parameters();
  {
    // A last layer by which the two texts have the logits -0.3 and 0.4.
    const at::NoGradGuard no_grad;
    parameters["text_output.weight"].zero_();
    parameters["text_output.bias"].zero_();
    at::Tensor states = at::zeros({2, 16});
    for (int64_t k = 0; k < 16; ++k) {
      parameters["text_output.weight"][0][k] = 1;
      states.select(1, k).copy_(model->forward(batch.features).logit);
      parameters["text_output.weight"][0][k] = 0;
    }
    const auto wanted = at::tensor({-0.3, 0.4}, at::kDouble).unsqueeze(1), h = states.to(at::kDouble);
    parameters["text_output.weight"].copy_(at::matmul(at::linalg_pinv(h, 1e-9), wanted).t());
  }
  Objective objective(Config::scalar("bce"), {}, {"label"});
  const auto at_half = [&](double a) {
    const at::NoGradGuard no_grad;
    parameters["mix.share"].fill_(a);
    return objective(model->forward(batch.features), batch).total.item<double>();
  };
  EXPECT_NEAR(at_half(0.5), 1.7453541512165425, 1e-5);
  EXPECT_NEAR(at_half(0), 2.0845620635113846, 1e-5);
  const Output out = model->forward(batch.features);
  EXPECT_TRUE(at::equal(out.logit, out.terms.at(1).logit)) << "at a = 0 the logit is the text's";
  EXPECT_TRUE(at::allclose(out.terms.at(1).logit, at::tensor({-0.3f, 0.4f}), 0, 1e-5));
  EXPECT_TRUE(at::equal(out.terms.at(0).logit, at::tensor({0.8f, -1.2f})));
  objective(out, batch).total.backward();
  EXPECT_NEAR(parameters["mix.share"].grad().item<double>(), -0.7948935125678958, 1e-5);
}

TEST_F(FlipModel, OneTowerHasNothingOfTheOther) {
  const std::string dnn = "backbone: {name: dnn, hidden: [4]}";
  const Schema schema = rows_.schema(), without = schema.drop({"said"});
  EXPECT_EQ(names(*make_model(config(dnn), schema)),
            (std::vector<std::string>{"backbone", "text", "text_output", "mix"}));
  EXPECT_EQ(names(*make_model(config(dnn + ", tower: text"), schema)),
            (std::vector<std::string>{"text", "text_output"}));
  const auto id = make_model(Config::parse("{name: flip, lm: nowhere, tower: id, " + dnn + "}"), without);
  EXPECT_EQ(names(*id), (std::vector<std::string>{"backbone"}));
  const auto x = rows_.rows(at::tensor({0, 1, 2, 3}, at::kLong).view({2, 2}));
  EXPECT_EQ(id->forward(x).logit.sizes(), at::IntArrayRef({2}));
  const Output text = make_model(config(dnn + ", tower: text"), schema)->forward(x);
  EXPECT_EQ(text.logit.sizes(), at::IntArrayRef({2}));
  EXPECT_TRUE(text.terms.empty());
  EXPECT_EQ(text.tokens, 2 * rows_.text_length());
}

TEST_F(FlipModel, TextAndMixtureAreGroupsOfTheirOwn) {
  const auto model = make_model(config("backbone: {name: dnn, hidden: [4]}"), rows_.schema());
  const Optimizer optimizer(*model, Config::parse("{text: {lr: 5e-5}, mix: {lr: 1e-2}, dense: {lr: 1e-3}}"));
  EXPECT_EQ(optimizer.lr("text"), 5e-5);
  EXPECT_EQ(optimizer.lr("mix"), 1e-2);
}

TEST_F(FlipModel, HasTheFirstLayersOfTheLanguageModel) {
  const Schema schema = rows_.schema();
  const std::string text = "tower: text";
  const auto whole = make_model(config(text), schema), first = make_model(config(text + ", layers: 1"), schema);
  const auto of_whole = weights_of(*whole), of_first = weights_of(*first);
  EXPECT_EQ(of_first.count("text.layer1.up.weight"), 0u);
  for (const auto& [name, weight] : of_first) {
    if (name.starts_with("text.")) {
      EXPECT_TRUE(at::equal(weight, of_whole.at(name))) << name;
    }
  }
}

TEST_F(FlipModel, ScoresManyRowsAsFew) {
  const auto model = make_model(config("tower: text, tokens_at_once: 40"), rows_.schema());
  model->eval();
  const auto x = rows_.rows(at::randint(5, {30, 2}, at::kLong));
  const auto at_once = model->forward(x).logit;
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::allclose(model->forward(x).logit, at_once, 1e-5, 1e-6));
}

}  // namespace
}  // namespace interplay::flip::flip_model_test
