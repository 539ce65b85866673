#include <interplay/train/trainer.h>

#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/field_embedding.h>
#include <interplay/core/sees_rows.h>
#include <interplay/train/evaluator.h>

#include "search/turn_taking.h"
#include "support/error_of.h"
#include "support/temp_dir.h"
#include "support/toy_rows.h"

namespace interplay::trainer_test {
namespace {

using testing::config_error;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_field;
using ::testing::Pointwise;

const double kLog2 = std::log(2.0);

/// Rows with one number, 1 for a click and -1 for none, in turn.
Schema sign_schema() { return Schema({make_field("sign", FieldKind::numeric)}, {"click"}); }

EncodedBatch sign_rows(int64_t rows, std::vector<float> weight = {}) {
  EncodedBatch batch;
  batch.rows = rows;
  for (int64_t r = 0; r < rows; ++r) {
    batch.dense.push_back(r % 2 == 0 ? 1 : -1);
    batch.labels.push_back(r % 2 == 0 ? 1 : 0);
  }
  batch.weight = std::move(weight);
  return batch;
}

Dataset signs(int64_t rows) { return Dataset::from(sign_schema(), {sign_rows(rows)}); }

/// A model whose course is known. In training its logits are 0 and its term is the weight, so that every step of SGD
/// takes one learning rate from the weight. In evaluation its logits are quality[i] times `sign`, i counting them.
class Scripted final : public Model {
 public:
  explicit Scripted(std::vector<float> quality = {})
      : weight(register_parameter("weight", at::zeros({1}))), quality_(std::move(quality)) {}
  Output forward(const Features& x) override {
    if (is_training()) {
      Output out(at::zeros({x.rows}));
      out.terms.push_back({.name = "weight", .value = weight.sum()});
      return out;
    }
    const float q = quality_.empty() ? 0 : quality_[std::min(evaluations_, quality_.size() - 1)];
    ++evaluations_;
    return q * x.dense.select(1, 0);
  }
  double value() const { return weight.item<double>(); }
  at::Tensor weight;

 private:
  std::vector<float> quality_;
  size_t evaluations_ = 0;
};

/// logit = bias for every row.
class Bias final : public Model {
 public:
  Bias() : bias(register_parameter("bias", at::zeros({1}))) {}
  Output forward(const Features& x) override { return bias.expand({x.rows}); }
  at::Tensor bias;
};

/// One weight of group `gates`.
struct Grouped : torch::nn::Module, nn::HasGroup {
  Grouped() : w(register_parameter("w", at::zeros({1}))) {}
  std::string parameter_group() const override { return "gates"; }
  at::Tensor w;
};

/// Logloss of `quality`: every row is right by that logit. log(1 + exp(-q))
double logloss(double quality) { return std::log1p(std::exp(-quality)); }

/// `train` is the train: part of a configuration, beside SGD with learning rate 1 and two batches an epoch of signs(8).
Config config(const std::string& train) {
  Config c;
  c.set("train", Config::parse(train));
  c.set("optimizer", Config::parse("{dense: {name: sgd, lr: 1}}"));
  const Config given = c["train"];
  if (!given.has("batch_size")) c.set("train.batch_size", Config::scalar("4"));
  return c;
}

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() {
    Progress::enable(false);
    log::set_level(log::Level::warning);
  }
  ~TrainerTest() override { log::set_level(log::Level::info); }

  /// The monitored values of a fit, whose report is kept.
  std::vector<double> monitored(Scripted& model, const Config& c) {
    report_ = Trainer(model, c).fit(signs(8), signs(8));
    std::vector<double> out;
    for (const auto& e : report_.evaluations) out.push_back(e.monitor);
    return out;
  }
  std::vector<bool> improved() const {
    std::vector<bool> out;
    for (const auto& e : report_.evaluations) out.push_back(e.improved);
    return out;
  }
  FitReport report_;
};

TEST_F(TrainerTest, StopsAfterItsPatienceAndKeepsTheBestWeights) {
  Scripted model({1, 2, 1.5, 1.75, 9});
  monitored(model, config("{epochs: 9, monitor: logloss, patience: 2}"));
  EXPECT_EQ(improved(), (std::vector<bool>{true, true, false, false}));
  EXPECT_EQ(report_.best, 1);
  EXPECT_EQ(report_.steps, 8);
  EXPECT_EQ(report_.stopped_by, "no improvement in 2 evaluations");
  EXPECT_FALSE(report_.interrupted);
  EXPECT_EQ(model.value(), -4);  // after the second epoch of two steps
}

TEST_F(TrainerTest, StagesAddUpToTheTimeOfEachEpochAndOfTheWhole) {
  Scripted model({1, 2, 3});
  monitored(model, config("{epochs: 3, monitor: logloss}"));
  ASSERT_EQ(report_.evaluations.size(), 3u);
  StageSeconds sum{};
  for (const auto& e : report_.evaluations) {
    EXPECT_EQ(e.rows, 8);
    EXPECT_DOUBLE_EQ(total(e.stages), e.seconds);
    for (const auto stage : {Stage::load, Stage::forward, Stage::backward, Stage::row_update, Stage::dense_update})
      EXPECT_GT(e.stages[size_t(stage)], 0) << kStageNames[size_t(stage)];
    EXPECT_EQ(e.stages[size_t(Stage::gather)], 0);  // it has no table
    for (size_t i = 0; i < kStages; ++i) sum[i] += e.stages[i];
  }
  for (size_t i = 0; i < kStages; ++i) EXPECT_NEAR(report_.stages[i], sum[i], 1e-9) << kStageNames[i];
  EXPECT_DOUBLE_EQ(report_.seconds, total(report_.stages));
}

TEST_F(TrainerTest, CountsEvaluationsWithoutImprovementInARowOnly) {
  Scripted model({3, 2, 4, 3, 5, 1, 1});
  monitored(model, config("{epochs: 9, monitor: logloss, patience: 2}"));
  EXPECT_EQ(improved(), (std::vector<bool>{true, false, true, false, true, false, false}));
  EXPECT_EQ(model.value(), -10);
}

TEST_F(TrainerTest, NeverStopsEarlyWithoutPatience) {
  Scripted model({3, 2, 1, 1, 1});
  monitored(model, config("{epochs: 5, monitor: logloss, patience: 0}"));
  EXPECT_EQ(report_.evaluations.size(), 5u);
  EXPECT_EQ(report_.stopped_by, "all 5 epochs done");
  EXPECT_EQ(report_.best, 0);
  EXPECT_EQ(model.value(), -2);
}

TEST_F(TrainerTest, KeepsTheLastWeightsWhereAsked) {
  Scripted model({1, 2, 1.5});
  monitored(model, config("{epochs: 3, monitor: logloss, keep: last}"));
  EXPECT_EQ(improved(), (std::vector<bool>{true, true, false}));
  EXPECT_EQ(report_.best, 2);
  EXPECT_EQ(model.value(), -6);
}

// Beside a logit of 2 the logloss falls by 0.119 of what is added to it.
TEST_F(TrainerTest, TakesAGainBelowAMillionthForNone) {
  Scripted model({2, 2 + 5e-6f, 2 + 2e-5f, 2 + 2.5e-5f});
  monitored(model, config("{epochs: 4, monitor: logloss, patience: 0}"));
  EXPECT_EQ(improved(), (std::vector<bool>{true, false, true, false}));
}

TEST_F(TrainerTest, MonitorsAMetricByItsMeritAndAMixtureByItsWeights) {
  Scripted by_name({1, -2});
  EXPECT_THAT(monitored(by_name, config("{epochs: 2, monitor: logloss, metrics: [auc]}")),
              Pointwise(DoubleNear(1e-6), {-logloss(1), -logloss(-2)}));
  std::vector<std::string> names;
  for (const auto& m : report_.evaluations[0].metrics) names.push_back(m.name);
  EXPECT_THAT(names, ElementsAre("auc", "logloss"));  // what is monitored is computed too
  Scripted mixed({1, -2});
  EXPECT_THAT(monitored(mixed, config("{epochs: 2, monitor: {auc: 2, logloss: -3}}")),
              Pointwise(DoubleNear(1e-6), {2 * 1 - 3 * logloss(1), 2 * 0 - 3 * logloss(-2)}));
}

TEST_F(TrainerTest, MixtureMayPreferWhatOneMetricDoesNot) {
  // AUC is 1 both times, so alone it sees no gain; with the logloss it does.
  Scripted alone({1, 2}), mixed({1, 2});
  monitored(alone, config("{epochs: 2, monitor: auc}"));
  EXPECT_EQ(improved(), (std::vector<bool>{true, false}));
  monitored(mixed, config("{epochs: 2, monitor: {auc: 1, logloss: -1}}"));
  EXPECT_EQ(improved(), (std::vector<bool>{true, true}));
}

TEST_F(TrainerTest, EvaluatesEverySoManyStepsAndAtTheEndOfEachEpoch) {
  Scripted model({1, 2, 3, 4, 5, 6});
  Trainer trainer(model, config("{epochs: 2, eval_every: 2, batch_size: 2, monitor: logloss}"));
  std::vector<int64_t> steps, epochs;
  std::vector<double> losses;
  trainer.on_epoch([&](const EpochReport& r) {
    steps.push_back(r.step), epochs.push_back(r.epoch), losses.push_back(r.train_loss);
  });
  report_ = trainer.fit(signs(10), signs(4));  // five steps an epoch
  EXPECT_THAT(steps, ElementsAre(2, 4, 5, 6, 8, 10));
  EXPECT_THAT(epochs, ElementsAre(1, 1, 1, 2, 2, 2));
  EXPECT_EQ(report_.evaluations.size(), 6u);
  // Step s begins at weight 1 - s, and its loss is log 2 and that; the mean is since the evaluation before.
  EXPECT_THAT(losses,
              Pointwise(DoubleNear(1e-6), {kLog2 - 0.5, kLog2 - 2.5, kLog2 - 4, kLog2 - 5, kLog2 - 6.5, kLog2 - 8.5}));
}

TEST_F(TrainerTest, TellsEveryStepWithItsNumberAndLoss) {
  Scripted model;
  Trainer trainer(model, config("{epochs: 2}"));
  std::vector<int64_t> steps;
  std::vector<double> losses;
  trainer.stepper().after_step([&](const StepReport& s) { steps.push_back(s.step), losses.push_back(s.loss); });
  trainer.fit(signs(8));
  EXPECT_THAT(steps, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(losses, Pointwise(DoubleNear(1e-6), {kLog2, kLog2 - 1, kLog2 - 2, kLog2 - 3}));
}

TEST_F(TrainerTest, WithoutValidationTrainsEveryEpochAndKeepsTheLastWeights) {
  Scripted model;
  Trainer trainer(model, config("{epochs: 3, eval_every: 1, patience: 1}"));
  trainer.on_epoch([](const EpochReport&) { FAIL() << "there is nothing to evaluate on"; });
  report_ = trainer.fit(signs(8));
  EXPECT_EQ(report_.steps, 6);
  EXPECT_EQ(report_.best, -1);
  EXPECT_TRUE(report_.evaluations.empty());
  EXPECT_EQ(report_.stopped_by, "all 3 epochs done");
  EXPECT_EQ(model.value(), -6);
}

TEST_F(TrainerTest, StopsWhenAskedAndKeepsThePresentWeights) {
  Scripted model({5, 1});
  Trainer trainer(model, config("{epochs: 9, monitor: logloss}"));
  trainer.stepper().after_step([&](const StepReport& s) { s.step == 3 ? trainer.stop() : void(); });
  report_ = trainer.fit(signs(8), signs(8));
  EXPECT_TRUE(report_.interrupted);
  EXPECT_EQ(report_.stopped_by, "interrupted");
  EXPECT_EQ(report_.steps, 3);
  EXPECT_EQ(model.value(), -3);  // not the best ones: it will go on
}

TEST_F(TrainerTest, WarmUpMultipliesTheSchedule) {
  Scripted model;
  Trainer trainer(model, config("{epochs: 1, batch_size: 2, warmup_steps: 4, schedule: {name: step, every: 2, factor: "
                                "0.5}}"));
  std::vector<double> weights;
  trainer.stepper().after_step([&](const StepReport&) { weights.push_back(model.value()); });
  trainer.fit(signs(10));
  // Rates 1/4, 2/4, 3/4 x 1/2, 4/4 x 1/2, 1/4: exact in fp32.
  EXPECT_THAT(weights, ElementsAre(-.25, -.75, -1.125, -1.625, -1.875));
}

TEST_F(TrainerTest, AGroupMayHaveAScheduleOfItsOwn) {
  Scripted model;
  Config own = config("{epochs: 1, batch_size: 2, warmup_steps: 4, schedule: cosine}");
  own.set("optimizer.dense.schedule", Config::parse("{name: step, every: 2, factor: 0.5}"));
  Trainer trainer(model, own);
  std::vector<double> weights;
  trainer.stepper().after_step([&](const StepReport&) { weights.push_back(model.value()); });
  trainer.fit(signs(10));
  EXPECT_THAT(weights, ElementsAre(-.25, -.75, -1.125, -1.625, -1.875));  // as above: not the cosine
}

TEST_F(TrainerTest, CosineEndsWithTheLastEpoch) {
  Scripted model;
  Trainer trainer(model, config("{epochs: 2, schedule: cosine}"));  // four steps
  std::vector<double> weights;
  trainer.stepper().after_step([&](const StepReport&) { weights.push_back(model.value()); });
  trainer.fit(signs(8));
  EXPECT_THAT(weights, Pointwise(DoubleNear(1e-6), {-1.0, -1.75, -2.0, -2.0}));  // (1 + cos(0, pi/3, 2 pi/3, pi)) / 2
}

TEST_F(TrainerTest, PlateauLowersTheRateAfterAnEvaluationWithoutImprovement) {
  Scripted model({2, 1, 1, 3});
  Trainer trainer(model, config("{epochs: 4, patience: 0, monitor: logloss, schedule: {name: plateau, factor: 0.5}}"));
  std::vector<double> weights, rates;
  trainer.on_epoch([&](const EpochReport& r) { weights.push_back(model.value()), rates.push_back(r.lr); });
  trainer.fit(signs(8), signs(8));
  EXPECT_THAT(weights, ElementsAre(-2, -4, -5, -5.5));
  EXPECT_THAT(rates, ElementsAre(1, 1, .5, .25));  // in force while the epoch ran
}

TEST_F(TrainerTest, ClipsGradients) {
  Scripted model;
  Trainer(model, config("{epochs: 1, clip_norm: 0.25}")).fit(signs(8));
  EXPECT_NEAR(model.value(), -0.5, 1e-6);  // two steps of a quarter; clip_grad_norm_ adds 1e-6 to the norm
}

TEST_F(TrainerTest, AddsTheLogarithmOfTheNegativeRateToEvaluatedLogits) {
  Scripted model({0});
  Trainer trainer(model, config("{epochs: 1, negative_rate: 0.25, metrics: [logloss], monitor: logloss}"));
  report_ = trainer.fit(signs(400), signs(8));
  // A logit of log(1/4) is a probability of 1/5 for each row, half of which are clicks.
  EXPECT_NEAR(report_.evaluations[0].metrics[0].value, -(std::log(0.2) + std::log(0.8)) / 2, 1e-6);
  const double negatives = 4.0 * double(report_.steps) - 200;
  EXPECT_NEAR(negatives, 50, 5 * std::sqrt(200 * .25 * .75) + 4);  // five deviations and a batch
}

TEST_F(TrainerTest, CountsPositivesByTheirWeightInTheLoss) {
  Bias model;
  Trainer trainer(model, config("{loss: {name: bce, pos_weight: 3}}"));
  const double loss = trainer.step(signs(4).slice(0, 4));
  EXPECT_NEAR(loss, (3 * kLog2 + kLog2) / 2, 1e-6);
  EXPECT_NEAR(model.bias.item<double>(), (3 * 0.5 - 0.5) / 2, 1e-6);  // minus the mean of w (p - y)
}

TEST_F(TrainerTest, CountsRowsByTheirWeightInTheLoss) {
  Bias model;
  Trainer trainer(model, config("{}"));
  const Dataset weighted = Dataset::from(sign_schema(), {sign_rows(4, {1, 2, 3, 10})});
  trainer.step(weighted.slice(0, 4));
  EXPECT_NEAR(model.bias.item<double>(), (1 * .5 - 2 * .5 + 3 * .5 - 10 * .5) / 16, 1e-6);
}

TEST_F(TrainerTest, CountsRowsByTheirWeightInEvaluation) {
  Scripted model({1, 1});
  Trainer trainer(model, config("{epochs: 1, metrics: [logloss], monitor: logloss, negative_rate: 0.5}"));
  const Dataset weighted = Dataset::from(sign_schema(), {sign_rows(2, {1, 3})});
  report_ = trainer.fit(signs(8), weighted);
  const double offset = std::log(0.5);
  EXPECT_NEAR(report_.evaluations[0].metrics[0].value, (1 * logloss(1 + offset) + 3 * logloss(1 - offset)) / 4, 1e-6);
}

TEST_F(TrainerTest, AddsTermsByTheirScales) {
  struct Two final : Model {
    Two() : a(register_parameter("a", at::zeros({1}))), b(register_parameter("b", at::zeros({1}))) {}
    Output forward(const Features& x) override {
      Output out(a.expand({x.rows}) + 1);
      out.terms.push_back({.name = "side", .logit = b.expand({x.rows}) - 1, .scale = 0.25});
      return out;
    }
    at::Tensor a, b;
  } model;
  Trainer trainer(model, config("{}"));
  const double loss = trainer.step(signs(2).slice(0, 1));  // one click
  EXPECT_NEAR(loss, logloss(1) + 0.25 * logloss(-1), 1e-6);
  const auto p = [](double logit) { return 1 / (1 + std::exp(-logit)); };
  EXPECT_NEAR(model.a.item<double>(), 1 - p(1), 1e-6);
  EXPECT_NEAR(model.b.item<double>(), 0.25 * (1 - p(-1)), 1e-6);
}

TEST_F(TrainerTest, LearnsAsManyLabelsAsTheModelHasLogits) {
  struct PerLabel final : Model {
    PerLabel() : bias(register_parameter("bias", at::zeros({2}))) {}
    Output forward(const Features& x) override { return bias.expand({x.rows, 2}); }
    at::Tensor bias;
  } model;
  Trainer trainer(model, config("{}"));
  const Batch two = Dataset::from(testing::toy_schema(), {testing::toy_rows(0, 6, false)}).slice(0, 6);
  trainer.step(two);
  // Of six rows 0 and 3 are clicks, 0 and 5 likes; a step of the mean over rows for each label.
  EXPECT_TRUE(at::allclose(model.bias, at::full({2}, (2 * .5 - 4 * .5) / 6)));
  Bias one;
  Trainer narrow(one, config("{}"));
  EXPECT_THAT(config_error([&] { narrow.step(two); }), HasSubstr("logits [6] for labels [6, 2]"));
}

TEST_F(TrainerTest, StepMovesOnlyTheGroupsAskedFor) {
  struct TwoGroups final : Model {
    TwoGroups()
        : w(register_parameter("w", at::zeros({1}))),
          gates(register_module("gates", std::make_shared<Grouped>())),
          table(register_module("table", nn::Embedding(2, 1, 0.))) {}
    Output forward(const Features& x) override {
      Output out(at::zeros({x.rows}));
      out.terms.push_back({.name = "sum", .value = (w + gates->w + table(at::ones({1}, at::kInt)).squeeze(1)).sum()});
      return out;
    }
    std::vector<double> values() {
      return {w.item<double>(), gates->w.item<double>(), table->weight()[1].item<double>()};
    }
    at::Tensor w;
    std::shared_ptr<Grouped> gates;
    nn::Embedding table;
  } model;
  Trainer trainer(model, config("{}"));
  const Batch batch = signs(4).slice(0, 4);
  trainer.step(batch, {"gates"});
  EXPECT_THAT(model.values(), ElementsAre(0, -1, 0));
  trainer.step(batch, {"dense", "embedding"});
  EXPECT_THAT(model.values(), ElementsAre(-1, -1, -1));
  trainer.step(batch);
  EXPECT_THAT(model.values(), ElementsAre(-2, -2, -2));
  EXPECT_EQ(trainer.optimizer().steps(), 3);
  EXPECT_THAT(config_error([&] { trainer.step(batch, {"gate"}); }), HasSubstr("no parameter group 'gate'"));
}

TEST_F(TrainerTest, GroupsThatTakeTurnsLearnFromTheHeldOutRowsAlone) {
  // The gradient of both weights is the mean of `sign`: 1 on training rows, 10 on held-out ones.
  struct TwoGroups final : Model {
    TwoGroups()
        : w(register_parameter("w", at::zeros({1}))), gates(register_module("gates", std::make_shared<Grouped>())) {}
    Output forward(const Features& x) override {
      Output out(at::zeros({x.rows}));
      out.terms.push_back({.name = "sum", .value = (w + gates->w).sum() * x.dense.mean()});
      return out;
    }
    at::Tensor w;
    std::shared_ptr<Grouped> gates;
  } model;
  const auto rows = [](int64_t count, float value) {
    EncodedBatch batch = sign_rows(count);
    batch.dense.assign(size_t(count), value);
    return Dataset::from(sign_schema(), {batch});
  };
  Trainer trainer(model, config("{epochs: 3}"));
  take_turns(trainer, {"gates"}, rows(7, 10));  // two batches, as training has, and one of them is short
  EXPECT_EQ(trainer.fit(rows(8, 1)).steps, 6);
  EXPECT_EQ(model.w.item<double>(), -6);
  EXPECT_EQ(model.gates->w.item<double>(), -60);
  EXPECT_THAT(testing::data_error([&] { take_turns(trainer, {"gates"}, rows(0, 1)); }), HasSubstr("no held-out rows"));
}

TEST_F(TrainerTest, EvaluatesInEvalModeAndTrainsInTrainingMode) {
  struct Modes final : Model {
    Modes() : w(register_parameter("w", at::zeros({1}))) {}
    Output forward(const Features& x) override {
      EXPECT_EQ(at::GradMode::is_enabled(), is_training());
      (is_training() ? trained : evaluated) += x.rows;
      return w.expand({x.rows}) + x.dense.select(1, 0);
    }
    at::Tensor w;
    int64_t trained = 0, evaluated = 0;
  } model;
  model.eval();
  Trainer(model, config("{epochs: 2, eval_batch_size: 3}")).fit(signs(8), signs(10));
  EXPECT_EQ(model.trained, 16);
  EXPECT_EQ(model.evaluated, 20);
}

TEST_F(TrainerTest, SameSeedGivesTheSameBytesAndAnotherSeedAnotherOrder) {
  const Dataset data = Dataset::from(testing::toy_schema(), {testing::toy_rows(0, 90, false)})
                           .select(Schema(testing::toy_schema().fields(), {"click"}));
  const auto train = [&](const std::string& seed) {
    const auto model = make_model(Config::parse("{name: fm, embedding_dim: 3}"), data.schema(), 5);
    Config c = config("{epochs: 2, batch_size: 16}");
    c.set("seed=" + seed);
    c.set("optimizer", Config::parse("{dense: adam}"));
    Trainer(*model, c).fit(data);
    return weights_of(*model).at("fields.item_id.weight").clone();
  };
  EXPECT_TRUE(at::equal(train("3"), train("3")));
  EXPECT_FALSE(at::equal(train("3"), train("4")));
}

TEST_F(TrainerTest, ResolvesEveryDefaultAndNamesTheNearestOfAnUnknownKey) {
  const Config resolved = resolve_training(Config());
  EXPECT_EQ(resolved["train"]["loss"]["pos_weight"].as<double>(), 1);
  EXPECT_EQ(resolved["train"]["schedule"]["name"].as<std::string>(), "constant");
  EXPECT_EQ(resolved["optimizer"]["dense"]["name"].as<std::string>(), "adam");
  EXPECT_EQ(resolved["seed"].as<int64_t>(), 1);
  EXPECT_EQ(resolve_training(resolved), resolved);
  const auto say = [](const char* train) { return config_error([&] { resolve_training(Config::parse(train)); }); };
  EXPECT_THAT(say("{train: {epoch: 3}}"), HasSubstr("did you mean train.epochs?"));
  EXPECT_THAT(say("{train: {loss: bcd}}"), HasSubstr("bce"));
  EXPECT_THAT(say("{train: {monitor: auk}}"), HasSubstr("auc"));
  Bias model;
  EXPECT_THAT(config_error([&] { Trainer(model, config("{device: tpu9}")); }), HasSubstr("'tpu9' is not a device"));
}

// The gradient of sqrt at 0 is infinite, the loss is not.
TEST_F(TrainerTest, AStepWhoseGradientIsNotFiniteReplacesNothing) {
  struct Root final : Model {
    Root() : w(register_parameter("w", at::full({1}, 4.f))) {}
    Output forward(const Features& x) override {
      return (calls++ == 2 ? (w - w.detach()).sqrt() : w) + at::zeros({x.rows});
    }
    at::Tensor w;
    int calls = 0;
  } model;
  const testing::TempDir dir;
  Trainer trainer(model, config("{epochs: 9, checkpoint_every: 1}"));
  trainer.run_in(dir.path(), false);
  EXPECT_THAT(testing::numeric_error([&] { trainer.fit(signs(16)); }),
              HasSubstr("step 3: the gradient of parameter 'w' is not finite at element 0"));
  EXPECT_TRUE(at::isfinite(model.w).all().item<bool>());
  EXPECT_EQ(read_file(dir / "LATEST"), "checkpoint-2\n");
  EXPECT_TRUE(std::filesystem::exists(dir / "checkpoint-1"));  // two are kept
}

TEST_F(TrainerTest, WeightsThatAreNotFiniteAreNeverSaved) {
  Scripted model;
  Config c = config("{epochs: 1, checkpoint_every: 1}");
  c.set("optimizer", Config::parse("{dense: {name: sgd, lr: 1e9}}"));
  const testing::TempDir dir;
  Trainer trainer(model, c);
  trainer.run_in(dir.path(), false);
  trainer.stepper().after_step([&](const StepReport& s) {
    const at::NoGradGuard no_grad;
    if (s.step == 1) model.weight.fill_(-INFINITY);
  });
  EXPECT_THAT(testing::numeric_error([&] { trainer.fit(signs(8)); }),
              HasSubstr("step 1: parameter 'weight' is not finite at element 0, so nothing of it is saved"));
  EXPECT_FALSE(std::filesystem::exists(dir / "LATEST"));
}

TEST_F(TrainerTest, ValidationWithoutRowsIsNone) {
  Scripted model;
  report_ = Trainer(model, config("{epochs: 3}")).fit(signs(8), signs(0));
  EXPECT_EQ(report_.steps, 6);
  EXPECT_TRUE(report_.evaluations.empty());
}

TEST_F(TrainerTest, ASecondFitGoesOn) {
  Scripted model;
  Trainer trainer(model, config("{epochs: 1, schedule: {name: step, every: 3, factor: 0.5}}"));
  EXPECT_EQ(trainer.fit(signs(8)).steps, 2);
  EXPECT_EQ(model.value(), -2);
  EXPECT_EQ(trainer.fit(signs(12)).steps, 5);  // three steps of other rows, the last two at half the rate
  EXPECT_EQ(model.value(), -4);
}

TEST_F(TrainerTest, PatienceAndTheBestBeginAnewWithASecondFit) {
  Scripted model({5, 1, 2, 1});
  Trainer trainer(model, config("{epochs: 2, patience: 1, monitor: logloss}"));
  EXPECT_EQ(trainer.fit(signs(8), signs(8)).best, 0);
  EXPECT_EQ(model.value(), -2);  // the best of the first, from which the second goes on
  report_ = trainer.fit(signs(8), signs(8));
  EXPECT_EQ(report_.best, 2);
  EXPECT_EQ(report_.evaluations.size(), 4u);
  EXPECT_EQ(model.value(), -4);
}

TEST_F(TrainerTest, AFitThatWasStoppedIsEndedByTheNext) {
  Scripted model;
  Trainer trainer(model, config("{epochs: 3}"));
  trainer.stepper().after_step([&](const StepReport& s) { s.step == 3 ? trainer.stop() : void(); });
  EXPECT_TRUE(trainer.fit(signs(8)).interrupted);
  report_ = trainer.fit(signs(8));
  EXPECT_FALSE(report_.interrupted);
  EXPECT_EQ(report_.steps, 6);  // three epochs in all
}

TEST_F(TrainerTest, StoppingCutsAnEvaluationShortAndWhoGoesOnBeginsItAnew) {
  struct Asked final : Model {
    Asked() : w(register_parameter("w", at::zeros({1}))) {}
    Output forward(const Features& x) override {
      if (!is_training() && ++batches == 2 && trainer) trainer->stop();
      return w + x.dense.select(1, 0);
    }
    at::Tensor w;
    Trainer* trainer = nullptr;
    int batches = 0;
  };
  const Config c = config("{epochs: 2, eval_batch_size: 4, monitor: logloss}");
  const testing::TempDir dir;
  Asked stopped, straight;
  {
    Trainer trainer(stopped, c);
    trainer.run_in(dir.path(), false);
    stopped.trainer = &trainer;
    report_ = trainer.fit(signs(8), signs(16));
    EXPECT_TRUE(report_.interrupted);
    EXPECT_TRUE(report_.evaluations.empty());
    EXPECT_EQ(stopped.batches, 2);  // of four
    stopped.trainer = nullptr;
  }
  Trainer resumed(stopped, c), whole(straight, c);
  resumed.run_in(dir.path(), true);
  report_ = resumed.fit(signs(8), signs(16));
  EXPECT_EQ(stopped.batches, 2 + 4 + 4);
  const auto expected = whole.fit(signs(8), signs(16));
  ASSERT_EQ(report_.evaluations.size(), 2u);
  for (size_t e = 0; e < 2; ++e) {
    EXPECT_EQ(report_.evaluations[e].step, expected.evaluations[e].step);
    EXPECT_EQ(report_.evaluations[e].train_loss, expected.evaluations[e].train_loss);
    EXPECT_EQ(report_.evaluations[e].monitor, expected.evaluations[e].monitor);
  }
  EXPECT_EQ(stopped.w.item<float>(), straight.w.item<float>());
}

TEST_F(TrainerTest, StoppingMayComeWhenTheTrainerIsGone) {
  Scripted model;
  auto trainer = std::make_unique<Trainer>(model, config("{}"));
  const auto stop = trainer->stopper();
  EXPECT_FALSE(trainer->stop_asked());
  stop();
  EXPECT_TRUE(trainer->stop_asked());
  trainer.reset();
  stop();
}

/// Batches of four rows, `count` of them, as a generator gives them.
BatchStream generated(int64_t count, std::vector<int64_t>* asked = nullptr) {
  return [=](int64_t taken) -> std::optional<Batch> {
    if (asked) asked->push_back(taken);
    if (taken == count) return std::nullopt;
    return signs(8).slice(4 * (taken % 2), 4);
  };
}

TEST_F(TrainerTest, LearnsFromAStreamAsFromTheSameRows) {
  Bias from_rows, from_stream;
  Trainer(from_rows, config("{epochs: 3, shuffle: false, loss: {name: bce, pos_weight: 3}}")).fit(signs(8));
  Trainer trainer(from_stream, config("{loss: {name: bce, pos_weight: 3}}"));
  report_ = trainer.fit(generated(6), sign_schema());
  EXPECT_EQ(report_.steps, 6);
  EXPECT_EQ(report_.stopped_by, "the stream has ended");
  EXPECT_GT(from_stream.bias.item<float>(), 0);
  EXPECT_EQ(from_stream.bias.item<float>(), from_rows.bias.item<float>());
}

TEST_F(TrainerTest, EvaluatesEverySoManyStepsOfAStreamAndOnceAtItsEnd) {
  for (const int64_t count : {5, 6}) {
    Scripted model({1, 2, 3, 4});
    Trainer trainer(model, config("{eval_every: 2, monitor: logloss}"));
    std::vector<int64_t> steps;
    trainer.on_epoch([&](const EpochReport& r) { steps.push_back(r.step); });
    trainer.fit(generated(count), signs(4));
    EXPECT_THAT(steps, ElementsAre(2, 4, count));
  }
}

TEST_F(TrainerTest, AStreamGoesOnWhereItsCheckpointWas) {
  const testing::TempDir dir;
  const Config c = config("{checkpoint_every: 2}");
  Bias stopped, resumed, straight;
  {
    Trainer trainer(stopped, c);
    trainer.run_in(dir.path(), false);
    trainer.stepper().after_step([&](const StepReport& s) { s.step == 3 ? trainer.stop() : void(); });
    EXPECT_TRUE(trainer.fit(generated(6), sign_schema()).interrupted);
  }
  std::vector<int64_t> asked;
  Trainer trainer(resumed, c);
  trainer.run_in(dir.path(), true);
  trainer.fit(generated(6, &asked), sign_schema());
  EXPECT_THAT(asked, ElementsAre(3, 4, 5, 6));
  Trainer(straight, c).fit(generated(6), sign_schema());
  EXPECT_EQ(resumed.bias.item<float>(), straight.bias.item<float>());
}

TEST_F(TrainerTest, AStreamHasNoEndThatAScheduleCouldFallTowards) {
  Scripted model;
  EXPECT_THAT(config_error([&] { Trainer(model, config("{schedule: cosine}")).fit(generated(2), sign_schema()); }),
              HasSubstr("train.schedule: falls towards the last step, and a stream of batches has none in sight"));
}

TEST_F(TrainerTest, WhatHooksRememberIsThereWhenTrainingGoesOn) {
  const testing::TempDir dir;
  std::vector<int64_t> seen;
  const auto train = [&](bool resume, int64_t stop_at) {
    Scripted model;
    Trainer trainer(model, config("{epochs: 3}"));
    trainer.run_in(dir.path(), resume);
    int64_t count = 0;
    trainer.stepper().after_step([&](const StepReport& s) { ++count, s.step == stop_at ? trainer.stop() : void(); });
    trainer.remember(
        "count", [&] { return Config::scalar(std::to_string(count)); },
        [&](const Config& saved) { count = saved.as<int64_t>(); });
    EXPECT_THAT(config_error([&] { trainer.remember("count", {}, {}); }), HasSubstr("'count' is taken"));
    trainer.fit(signs(8));
    seen.push_back(count);
  };
  train(false, 4);
  train(true, -1);
  EXPECT_THAT(seen, ElementsAre(4, 6));
}

TEST_F(TrainerTest, MetricsMayHaveOptions) {
  // Groups of 2 and of 6 rows: with gauc's minimum in between, the small one does not count.
  EXPECT_THAT(config_error([&] { resolve_training(Config::parse("{train: {metrics: [{name: auc, bins: 3}]}}")); }),
              HasSubstr("bins"));
  EXPECT_THAT(config_error([&] { resolve_training(Config::parse("{train: {metrics: [auc, {name: auc}]}}")); }),
              HasSubstr("'auc' is named twice"));
  Scripted model({1});
  report_ =
      Trainer(model, config("{epochs: 1, metrics: [{name: logloss}, auc], monitor: logloss}")).fit(signs(8), signs(8));
  ASSERT_EQ(report_.evaluations.at(0).metrics.size(), 2u);
  EXPECT_EQ(report_.evaluations[0].metrics[0].name, "logloss");
}

TEST_F(TrainerTest, AnEvaluationThatFailsPutsTheModeBack) {
  struct Failing final : Model {
    Output forward(const Features&) override { throw Error("no"); }
  } model;
  model.train();
  EXPECT_THROW(predict(model, signs(8)), Error);
  EXPECT_TRUE(model.is_training());
}

// Row 5 of 8 holds 1e30, twice which is a logit that overflows once it is squared.
TEST_F(TrainerTest, ALogitThatIsNotFiniteIsNamedWithItsRowAndNumber) {
  struct Square final : Model {
    Output forward(const Features& x) override { return x.dense.select(1, 0).square(); }
  } model;
  EncodedBatch rows = sign_rows(8);
  rows.dense[5] = 1e30f;
  const std::string said =
      testing::numeric_error([&] { predict(model, Dataset::from(sign_schema(), {rows}), {.batch_size = 3}); });
  EXPECT_THAT(said, HasSubstr("the logit of row 5 (from 0) is inf: the row's largest input is 1e+30, of numeric field "
                              "'sign'; mend the value"));
}

/// A logit for each of two labels: biases.
class TwoBiases final : public Model {
 public:
  TwoBiases() : bias(register_parameter("bias", at::zeros({2}))) {}
  Output forward(const Features& x) override { return bias.expand({x.rows, 2}); }
  at::Tensor bias;
};

/// Four rows: clicks in turn; `like` is 1 in row 0, 0 in rows 1 and 2, missing in row 3.
Dataset two_labels() {
  EncodedBatch batch = sign_rows(4);
  batch.labels = {1, 1, 0, 0, 1, 0, 0, std::nanf("")};
  return Dataset::from(Schema({make_field("sign", FieldKind::numeric)}, {"click", "like"}), {batch});
}

TEST_F(TrainerTest, LearnsEachLabelFromTheRowsThatHaveIt) {
  TwoBiases model;
  Trainer trainer(model, config("{epochs: 1, metrics: [logloss], monitor: logloss:like, keep: last}"));
  report_ = trainer.fit(two_labels(), two_labels());
  // d loss / d bias = mean(1/2 - y): 0 for clicks, (1/2 - 1/3) for likes; one step of 1.
  EXPECT_NEAR(model.bias[0].item<double>(), 0, 1e-7);
  EXPECT_NEAR(model.bias[1].item<double>(), -1.0 / 6, 1e-6);
  const auto& e = report_.evaluations.at(0);
  EXPECT_NEAR(e.train_loss, 2 * kLog2, 1e-6);
  ASSERT_EQ(e.terms.size(), 2u);
  EXPECT_EQ(e.terms[1].first, "like");
  EXPECT_NEAR(e.terms[1].second, kLog2, 1e-6);
  const double likes = (logloss(-1.0 / 6) + 2 * logloss(1.0 / 6)) / 3;
  std::map<std::string, double> valid;
  for (const auto& m : e.metrics) valid[m.name] = m.value;
  EXPECT_NEAR(valid.at("logloss:like"), likes, 1e-6);
  EXPECT_NEAR(valid.at("logloss"), (likes + kLog2) / 2, 1e-6);
  EXPECT_NEAR(e.monitor, -likes, 1e-6);
}

TEST_F(TrainerTest, LabelsMayHaveLossesOfTheirOwn) {
  TwoBiases model;
  Trainer trainer(model, config("{loss: {click: bce, like: {name: bce, weight: 3}}}"), {"click", "like"});
  trainer.step(two_labels().slice(0, 4));
  EXPECT_NEAR(model.bias[1].item<double>(), -3.0 / 6, 1e-6);
  EXPECT_THAT(config_error([] {
                TwoBiases nameless;
                Trainer(nameless, config("{loss: {click: bce, like: bce}}")).step(two_labels().slice(0, 4));
              }),
              HasSubstr("give the Trainer the labels' names"));
}

/// Learns without labels: the term is (w - 3)^2, in training and in evaluation.
class Unlabelled final : public Model {
 public:
  Unlabelled() : w(register_parameter("w", at::zeros({1}))) {}
  Output forward(const Features& x) override {
    Output out;
    out.terms.push_back({.name = "distance", .value = (w - 3).square().expand({x.rows})});
    return out;
  }
  at::Tensor w;
};

TEST_F(TrainerTest, AModelMayLearnFromItsOwnTermsAlone) {
  Unlabelled model;
  Config c = config("{epochs: 3, monitor: 'term:distance', metrics: []}");
  c.set("optimizer", Config::parse("{dense: {name: sgd, lr: 0.25}}"));
  report_ = Trainer(model, c).fit(signs(8), signs(8));
  // Each step halves the distance: two steps an epoch.
  EXPECT_NEAR(report_.evaluations[0].monitor, -9.0 / 16, 1e-6);
  EXPECT_NEAR(report_.evaluations[2].monitor, -9.0 / 4096, 1e-6);
  EXPECT_EQ(report_.evaluations[0].metrics.at(0).name, "term:distance");
  EXPECT_EQ(report_.evaluations[0].metrics.at(0).display, "distance");
  EXPECT_THAT(config_error([&] { Trainer(model, config("{monitor: 'term:distence'}")).fit(signs(8), signs(8)); }),
              HasSubstr("the model gives no term 'distence' where rows are evaluated (evaluated: term:distance)"));
}

/// Every other batch has no entry of the term, whose value is 3.
class Sparse final : public Model {
 public:
  Sparse() : w(register_parameter("w", at::zeros({1}))) {}
  Output forward(const Features& x) override {
    const int64_t n = calls++ % 2 == 0 ? 2 : 0;
    Output out(w.expand({x.rows}));
    out.terms.push_back({.name = "pairs", .value = at::full({n}, 3.f), .rows = at::zeros({n}, at::kLong)});
    return out;
  }
  at::Tensor w;
  int64_t calls = 0;
};

TEST_F(TrainerTest, ATermIsMeantOverTheBatchesThatHaveIt) {
  Sparse model;
  report_ = Trainer(model, config("{epochs: 1}")).fit(signs(8), signs(8));
  ASSERT_EQ(report_.steps, 2);
  EXPECT_EQ(report_.evaluations.at(0).terms.back().first, "pairs");
  EXPECT_EQ(report_.evaluations.at(0).terms.back().second, 3);
}

/// Keeps how many rows it has seen; the row's own number is its logit.
class Looking final : public Model, public SeesRows {
 public:
  Looking() : w(register_parameter("w", at::zeros({1}))), rows(register_buffer("rows", at::zeros({1}, at::kLong))) {}
  Output forward(const Features& x) override {
    EXPECT_EQ(rows.item<int64_t>(), 8) << "before the first step";
    return w.expand({x.rows});
  }
  bool wants_rows() const override { return rows.item<int64_t>() == 0; }
  void see_rows(const Features& x) override { seen += x.rows; }
  void saw_all_rows() override { rows.fill_(seen), ++times; }
  at::Tensor w, rows;
  int64_t seen = 0, times = 0;
};

TEST_F(TrainerTest, AModelMaySeeAllRowsOnceBeforeItLearns) {
  Looking model;
  Trainer trainer(model, config("{epochs: 1}"));
  trainer.fit(signs(8), signs(4));
  trainer.fit(signs(8), signs(4));
  EXPECT_EQ(model.times, 1);
  Looking other;
  Trainer of_stream(other, config("{epochs: 1}"));
  EXPECT_THAT(config_error([&] { of_stream.fit([](int64_t) { return std::nullopt; }, signs(8).schema()); }),
              HasSubstr("the model looks at all training rows before it learns, which a stream has not"));
}

TEST_F(TrainerTest, MonitorsAreCheckedBeforeTraining) {
  for (const char* wrong : {"acu", "acu:click", "ndgc@10", "ndcg@0", "{acu: 1}"})
    EXPECT_THROW(resolve_training(config(fmt::format("{{monitor: '{}'}}", wrong))), Error) << wrong;
  for (const char* right : {"auc:click", "ndcg@10", "mrr", "term:anything"})
    EXPECT_NO_THROW(resolve_training(config(fmt::format("{{monitor: '{}'}}", right)))) << right;
}

}  // namespace
}  // namespace interplay::trainer_test
