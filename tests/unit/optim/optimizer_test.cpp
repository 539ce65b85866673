#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/nn/table_storage.h>
#include <interplay/optim/optimizer.h>

#include "support/error_of.h"

namespace interplay::optimizer_test {
namespace {

using testing::config_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Gates : torch::nn::Module, nn::HasGroup {
  explicit Gates(const std::vector<float>& start) : alpha(register_parameter("alpha", at::tensor(start))) {}
  std::string parameter_group() const override { return "gates"; }
  at::Tensor alpha;
};

/// A dense weight [2], a table of 4 rows of 2, gates [2] that name a group of their own, and a frozen weight.
struct Toy : torch::nn::Module {
  Toy()
      : weight(register_parameter("weight", at::tensor({1.f, -2.f}))),
        frozen(register_parameter("frozen", at::tensor({9.f}), /*requires_grad=*/false)),
        table(register_module("table", nn::Embedding(4, 2))),
        gates(register_module("gates", std::make_shared<Gates>(std::vector<float>{3, -4}))) {
    rows().copy_(at::tensor({0.f, 0.f, 1.f, -1.f, 2.f, -2.f, 3.f, -3.f}).view({4, 2}));
  }
  at::Tensor rows() { return table->weight(); }

  /// Gradients: weight (10, 20), gates (30, 40), rows 1 and 3 (1, 2) each, row 1 being read twice; padding is read too.
  void backward() {
    const auto read = table(at::tensor({1, 0, 3, 1}, at::kInt));  // [4, 2]
    const auto total = (weight * at::tensor({10.f, 20.f})).sum() + (gates->alpha * at::tensor({30.f, 40.f})).sum() +
                       (read * at::tensor({1.f, 2.f})).sum();
    total.backward();
  }

  at::Tensor weight, frozen;
  nn::Embedding table;
  std::shared_ptr<Gates> gates;
};

// Every expected number is a small integer or a short binary fraction, so that fp32 holds it as it is.
void expect(const at::Tensor& found, const std::vector<float>& expected) {
  EXPECT_TRUE(at::equal(found.detach().flatten(), at::tensor(expected))) << found << "\nexpected\n"
                                                                         << at::tensor(expected);
}

const char* const kThreeRates =
    "{dense: {name: sgd, lr: 0.5}, embedding: {name: sgd, lr: 2}, gates: {name: sgd, lr: 0.25}}";

TEST(Optimizer, MovesEachGroupByItsOwnRule) {
  Toy toy;
  Optimizer parameters(toy, Config::parse(kThreeRates));
  EXPECT_THAT(parameters.groups(), ElementsAre("dense", "embedding", "gates"));
  EXPECT_EQ(parameters.lr("gates"), 0.25);
  toy.backward();
  parameters.step({});
  expect(toy.weight, {1 - 5, -2 - 10});
  expect(toy.gates->alpha, {3 - 7.5, -4 - 10});
  expect(toy.rows(), {0, 0, 1 - 4, -1 - 8, 2, -2, 3 - 2, -3 - 4});  // row 1 was read twice, row 2 not at all
  expect(toy.frozen, {9});
  EXPECT_EQ(parameters.steps(), 1);
}

TEST(Optimizer, GroupThatIsLeftOutHasDensesOptionsAndItsOwnName) {
  Toy toy;
  Optimizer parameters(toy, Config::parse("{dense: {name: sgd, lr: 0.5}}"));
  EXPECT_THAT(parameters.groups(), ElementsAre("dense", "embedding", "gates"));
  EXPECT_EQ(parameters.lr("gates"), 0.5);
  toy.backward();
  parameters.step({.only = {"gates"}});
  expect(toy.gates->alpha, {3 - 15, -4 - 20});
  expect(toy.weight, {1, -2});
}

TEST(Optimizer, WithoutAnyConfigurationIsAdam) {
  const Config resolved = Optimizer::resolve(Config());
  for (const char* group : {"dense", "embedding"}) {
    EXPECT_EQ(resolved[group]["name"].as<std::string>(), "adam");
    EXPECT_EQ(resolved[group]["lr"].as<double>(), 1e-3);
    EXPECT_EQ(resolved[group]["mode"].as<std::string>(), "lazy");
    EXPECT_EQ(resolved[group]["beta2"].as<double>(), 0.999);
  }
  EXPECT_EQ(Optimizer::resolve(resolved), resolved);
}

TEST(Optimizer, TakesARuleByItsNameAlone) {
  const Config resolved = Optimizer::resolve(Config::parse("{dense: sgd, embedding: {lr: 0.1}}"));
  EXPECT_EQ(resolved["dense"]["name"].as<std::string>(), "sgd");
  EXPECT_EQ(resolved["embedding"]["name"].as<std::string>(), "adam");
}

TEST(Optimizer, NamesTheGroupsThereAreWhereOneIsUnknown) {
  Toy toy;
  EXPECT_THAT(config_error(
                  [&] { Optimizer(toy, Config::parse("optimizer:\n  embeding: {name: sgd}", "x.yaml")["optimizer"]); }),
              HasSubstr("x.yaml:2: optimizer.embeding: this model has no parameter group 'embeding' (groups: dense, "
                        "embedding, gates)"));
}

TEST(Optimizer, NamesTheNearestOptionWhereOneIsUnknown) {
  Toy toy;
  EXPECT_THAT(config_error([&] { Optimizer(toy, Config::parse("{dense: {name: adam, beta3: 0.9}}")); }),
              HasSubstr("beta"));
  EXPECT_THAT(config_error([&] { Optimizer(toy, Config::parse("{dense: {name: adam, lr: -1}}")); }),
              HasSubstr("<text>:1: dense.lr: -1 is out of range"));
  EXPECT_THAT(config_error([&] { Optimizer(toy, Config::parse("{dense: {name: adam, mode: eager}}")); }),
              HasSubstr("lazy"));
}

TEST(Optimizer, MovesOnlyTheGroupsAskedForAndDropsTheOtherGradients) {
  Toy toy;
  Optimizer parameters(toy, Config::parse(kThreeRates));
  toy.backward();
  parameters.step({.only = {"gates"}});
  expect(toy.gates->alpha, {3 - 7.5, -4 - 10});
  expect(toy.weight, {1, -2});
  expect(toy.rows(), {0, 0, 1, -1, 2, -2, 3, -3});
  EXPECT_FALSE(toy.table->table().touched());
  EXPECT_FALSE(toy.weight.grad().defined());
  // What was dropped does not come back in the next step.
  parameters.step({});
  expect(toy.weight, {1, -2});
  expect(toy.rows(), {0, 0, 1, -1, 2, -2, 3, -3});
  toy.backward();
  parameters.step({.only = {"dense", "embedding"}});
  expect(toy.gates->alpha, {3 - 7.5, -4 - 10});
  expect(toy.weight, {1 - 5, -2 - 10});
  expect(toy.rows(), {0, 0, 1 - 4, -1 - 8, 2, -2, 3 - 2, -3 - 4});
}

TEST(Optimizer, RefusesToMoveAGroupThatDoesNotExist) {
  Toy toy;
  Optimizer parameters(toy, Config::parse(kThreeRates));
  EXPECT_THAT(config_error([&] { parameters.step({.only = {"gate"}}); }),
              HasSubstr("no parameter group 'gate' (groups: dense, embedding, gates)"));
  EXPECT_THAT(config_error([&] { parameters.lr("gate"); }), HasSubstr("no parameter group 'gate'"));
}

TEST(Optimizer, ClearGradientsLeavesNothingToMove) {
  Toy toy;
  Optimizer parameters(toy, Config::parse(kThreeRates));
  toy.backward();
  parameters.clear_gradients();
  parameters.step({});
  expect(toy.weight, {1, -2});
  expect(toy.rows(), {0, 0, 1, -1, 2, -2, 3, -3});
}

TEST(Optimizer, AddsL1AndL2OfEachGroupToItsGradients) {
  Toy toy;
  Optimizer parameters(toy, Config::parse("{dense: {name: sgd, lr: 1, l2: 0.5}, embedding: {name: sgd, lr: 1, "
                                          "l1: 0.25, l2: 2}, gates: {name: sgd, lr: 1, l1: 4}}"));
  toy.backward();
  parameters.step({});
  expect(toy.weight, {1 - (10 + 0.5f), -2 - (20 - 1)});
  expect(toy.gates->alpha, {3 - (30 + 4), -4 - (40 - 4)});
  // Rows 1 and 3, which were read: (w, -w) has gradient n (1, 2) + 2 (w, -w) + 0.25 (1, -1).
  expect(toy.rows(), {0, 0, 1 - (2 + 2 + .25f), -1 - (4 - 2 - .25f), 2, -2, 3 - (1 + 6 + .25f), -3 - (2 - 6 - .25f)});
}

TEST(Optimizer, DenseModePenalisesRowsThatNobodyReadButNeverPadding) {
  Toy toy;
  Optimizer parameters(toy, Config::parse("{dense: sgd, embedding: {name: sgd, lr: 1, l1: 0.25, l2: 0.5, mode: "
                                          "dense}}"));
  parameters.step({});  // nothing was read at all
  expect(toy.rows(), {0, 0, 1 - .75f, -1 + .75f, 2 - 1.25f, -2 + 1.25f, 3 - 1.75f, -3 + 1.75f});
}

TEST(Optimizer, PenaltyMovesAWeightThatAStepDoesNotUse) {
  Toy toy;
  Optimizer parameters(toy, Config::parse("{dense: {name: sgd, lr: 1, l2: 0.5}}"));
  parameters.step({});
  expect(toy.weight, {0.5, -1});
}

TEST(Optimizer, PenaltyIsHalfL2OfSquaresPlusL1OfSizesWhereEveryRowCounts) {
  Toy toy;
  const char* const config =
      "{{dense: {{name: sgd, l2: 0.5}}, gates: {{name: sgd, l1: 2}}, embedding: {{name: sgd, l1: 0.25, l2: 2, mode: "
      "{}}}}}";
  const double dense = 0.25 * (1 + 4), gates = 2 * (3 + 4), table = 1 * 2 * (1 + 4 + 9) + 0.25 * 2 * (1 + 2 + 3);
  EXPECT_DOUBLE_EQ(Optimizer(toy, Config::parse(fmt::format(fmt::runtime(config), "dense"))).penalty(),
                   dense + gates + table);
  EXPECT_DOUBLE_EQ(Optimizer(toy, Config::parse(fmt::format(fmt::runtime(config), "lazy"))).penalty(), dense + gates);
}

// Gradients: weight (10, 20), gates (30, 40), rows (2, 4) and (1, 2): norm^2 = 500 + 2500 + 20 + 5 = 55^2.
TEST(Optimizer, ClipsByTheNormOfRowGradientsAfterEqualRowsAreAdded) {
  Toy toy;
  Optimizer parameters(toy, Config::parse("{dense: {name: sgd, lr: 1}, embedding: {name: sgd, lr: 1}}"));
  toy.backward();
  const double norm = parameters.step({.clip_norm = 27.5});
  EXPECT_DOUBLE_EQ(norm, 55);
  // Halved, to 1e-6 / 55, which clip_grad_norm_ adds to the norm.
  EXPECT_TRUE(at::allclose(toy.weight, at::tensor({1.f - 5, -2.f - 10}), 1e-6, 0));
  EXPECT_TRUE(at::allclose(toy.rows().flatten(), at::tensor({0.f, 0.f, 0.f, -3.f, 2.f, -2.f, 2.5f, -4.f}), 1e-6, 1e-6));
}

TEST(Optimizer, DoesNotClipBelowTheNorm) {
  Toy toy;
  Optimizer parameters(toy, Config::parse("{dense: {name: sgd, lr: 1}}"));
  toy.backward();
  EXPECT_DOUBLE_EQ(parameters.step({.clip_norm = 56}), 55);
  expect(toy.weight, {1 - 10, -2 - 20});
}

// Whole-table L2 is part of the clipped gradient, that of rows that nobody read too: rows (1, -1), (2, -2), (3, -3)
// times 1.5, norm^2 = 2.25 * 28 = 63.
TEST(Optimizer, ClipsWithTheWholeTablesPenaltyInDenseMode) {
  Toy toy;
  Optimizer parameters(
      toy, Config::parse("{dense: {name: sgd, lr: 1}, embedding: {name: sgd, lr: 1, l2: 1.5, mode: dense}}"));
  EXPECT_DOUBLE_EQ(parameters.step({.clip_norm = 0.5 * std::sqrt(63)}), std::sqrt(63));
  EXPECT_TRUE(
      at::allclose(toy.rows(), at::tensor({0.f, 0.f, 1.f, -1.f, 2.f, -2.f, 3.f, -3.f}).view({4, 2}) * 0.25, 1e-6, 0));
}

TEST(Optimizer, GroupsThatDoNotMoveAreNoPartOfTheNorm) {
  Toy toy;
  Optimizer parameters(toy, Config::parse(kThreeRates));
  toy.backward();
  EXPECT_DOUBLE_EQ(parameters.step({.clip_norm = 1, .only = {"gates"}}), 50);
}

TEST(Optimizer, StateIsAViewUnderTheNameOfItsParameter) {
  Toy toy;
  Optimizer parameters(toy, Config::parse("{dense: {name: sgd, momentum: 0.5}, gates: {name: sgd}, embedding: "
                                          "{name: rowwise_adagrad, initial: 3}}"));
  auto state = parameters.state();
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("table.weight", "weight"));  // plain SGD remembers nothing
  expect(state.at("table.weight"), {3, 3, 3, 3});
  toy.backward();
  parameters.step({});
  expect(state.at("weight"), {10, 20});
  expect(state.at("table.weight"), {3, 3 + 10, 3, 3 + 2.5});  // plus the mean of (4, 16), and of (1, 4)
}

TEST(Optimizer, GoesOnFromSavedWeightsStateAndSteps) {
  const Config config = Config::parse(
      "{dense: {name: adam, lr: 0.1, l2: 0.01}, embedding: {name: adam, lr: 0.1}, gates: {name: ftrl, lr: 0.1}}");
  Toy whole, stopped, resumed;
  Optimizer p_whole(whole, config), p_stopped(stopped, config);
  for (int i = 0; i < 3; ++i) whole.backward(), p_whole.step({});
  for (int i = 0; i < 3; ++i) stopped.backward(), p_stopped.step({});
  Optimizer p_resumed(resumed, config);
  {
    const at::NoGradGuard no_grad;
    resumed.weight.copy_(stopped.weight);
    resumed.gates->alpha.copy_(stopped.gates->alpha);
    resumed.rows().copy_(stopped.rows());
    for (auto& [name, state] : p_resumed.state()) state.copy_(p_stopped.state().at(name));
  }
  p_resumed.restore(p_stopped.steps());
  EXPECT_EQ(p_resumed.steps(), 3);
  for (int i = 0; i < 2; ++i) {
    whole.backward(), p_whole.step({});
    resumed.backward(), p_resumed.step({});
  }
  EXPECT_TRUE(at::equal(resumed.weight, whole.weight));
  EXPECT_TRUE(at::equal(resumed.gates->alpha, whole.gates->alpha));
  EXPECT_TRUE(at::equal(resumed.rows(), whole.rows()));
}

// A whole table is walked block by block, its gradients being filled in as they come: the end must be that of a tensor
// of the same weights, which optimizers_test.cpp compares with PyTorch.
TEST(Optimizer, DenseModeOfALargeTableEqualsATensor) {
  static constexpr int64_t kRows = 1 + 20 * 256;  // padding, and blocks that are all full
  at::manual_seed(8);
  struct Table : torch::nn::Module {
    Table() : table(register_module("table", nn::Embedding(kRows, 3, 0.5))) {}
    nn::Embedding table;
  } table;
  struct Tensor : torch::nn::Module {
    explicit Tensor(const at::Tensor& start) : weight(register_parameter("weight", start.clone())) {}
    at::Tensor weight;
  } tensor(table.table->weight());
  const Config config = Config::parse("{dense: {name: adam, lr: 0.01, l1: 0.02, l2: 0.1, mode: dense}}");
  Optimizer of_table(table, config), of_tensor(tensor, config);
  for (int step = 0; step < 3; ++step) {
    // Distinct rows: a few everywhere, one of them the last, then none at all.
    auto ids = at::randperm(kRows, at::kInt).narrow(0, 0, 40);
    ids[0] = kRows - 1;
    const auto gradients = at::randn({40, 3});
    tensor.weight.mutable_grad() = at::zeros({kRows, 3});
    if (step < 2) {
      (table.table(ids) * gradients).sum().backward();
      tensor.weight.mutable_grad().index_add_(0, ids, gradients);
      tensor.weight.mutable_grad()[0].zero_();
    }
    const double a = of_table.step({.clip_norm = 5}), b = of_tensor.step({.clip_norm = 5});
    EXPECT_NEAR(a, b, 1e-6 * b);
    const double difference = (table.table->weight() - tensor.weight).abs().max().item<double>();
    EXPECT_LT(difference, 1e-7) << "step " << step;  // the norm, summed in another order, may round the scale otherwise
  }
}

// A table of more rows than one task takes, stepped by one thread and by two.
TEST(Optimizer, ResultDoesNotDependOnTheNumberOfThreads) {
  const auto run = [](int threads, const std::string& mode) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    at::manual_seed(3);
    struct Module : torch::nn::Module {
      nn::Embedding a{register_module("a", nn::Embedding(20000, 3, 0.1))};
      nn::Embedding b{register_module("b", nn::Embedding(500, 3, 0.1))};
      at::Tensor w{register_parameter("w", at::randn({700, 90}))};
    } module;
    Optimizer parameters(
        module, Config::parse(fmt::format("{{dense: {{name: adam, l2: 0.1}}, embedding: {{name: adam, l2: 0.1, mode: "
                                          "{}}}}}",
                                          mode)));
    for (int step = 0; step < 3; ++step) {
      const auto ids_a = at::randint(0, 20000, {9000}, at::kInt), ids_b = at::randint(0, 500, {9000}, at::kInt);
      ((module.a(ids_a) + module.b(ids_b)).square().sum() + module.w.square().sum()).backward();
      parameters.step({.clip_norm = 1});
    }
    at::set_num_threads(before);
    return std::vector<at::Tensor>{module.a->weight().clone(), module.b->weight().clone(), module.w.detach()};
  };
  for (const char* mode : {"lazy", "dense"}) {
    const auto one = run(1, mode), two = run(2, mode);
    for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], two[i])) << mode << " " << i;
  }
}

// Tables of one name and as many rows share their rows in memory; what they become must not depend on it.
TEST(Optimizer, TablesThatShareRowsMoveAsThoseThatDoNot) {
  struct Pair : torch::nn::Module {
    explicit Pair(const std::string& second)
        : left(register_module("left", std::make_shared<torch::nn::Module>())),
          right(register_module("right", std::make_shared<torch::nn::Module>())),
          a(left->register_module("item", nn::Embedding(3000, 6, 0.1))),
          b(right->register_module(second, nn::Embedding(3000, 1, 0.1))) {}
    std::shared_ptr<torch::nn::Module> left, right;
    nn::Embedding a, b;
  };
  const auto run = [](const std::string& second, const std::string& options, double clip_norm) {
    at::manual_seed(5);
    Pair pair(second);
    Optimizer parameters(pair, Config::parse(fmt::format("{{dense: adam, embedding: {{{}}}}}", options)));
    EXPECT_EQ(pair.a->table().is_joint_with(pair.b->table()), second == "item");
    for (int step = 0; step < 4; ++step) {
      const auto ids = at::randint(0, 3000, {700}, at::kInt);
      // In every second step b is read by other ids than a.
      const auto ids_b = step % 2 == 0 ? ids : at::randint(0, 3000, {50}, at::kInt);
      (pair.a(ids).square().sum() + pair.b(ids_b).square().sum() + pair.a(ids).sum()).backward();
      parameters.step({.clip_norm = clip_norm});
    }
    return std::vector<at::Tensor>{pair.a->weight().clone(), pair.b->weight().clone(), pair.a->table().state().clone(),
                                   pair.b->table().state().clone()};
  };
  for (const char* options : {"name: adam", "name: adam, l2: 0.1, mode: dense", "name: adagrad, l2: 0.1",
                              "name: rowwise_adagrad", "name: ftrl, mode: dense"}) {
    for (const double clip_norm : {0.0, 0.5}) {
      const auto joint = run("item", options, clip_norm), apart = run("other", options, clip_norm);
      for (size_t i = 0; i < joint.size(); ++i)
        EXPECT_TRUE(at::equal(joint[i], apart[i])) << options << " " << clip_norm << " " << i;
    }
  }
}

// Rows that nobody reads wait for their steps; a norm to clip by has every row move at once, which is the oracle.
TEST(Optimizer, RowsThatRestEndWhereThoseEndThatMoveAtEveryStep) {
  static constexpr int64_t kRows = 500;
  struct Tables : torch::nn::Module {
    nn::Embedding a{register_module("a", nn::Embedding(kRows, 16, 0.5))};
    nn::Embedding b{register_module("b", nn::Embedding(kRows, 5, 0.5))};
    nn::Embedding c{register_module("c", nn::Embedding(kRows, 1, 0.5))};
  };
  const auto run = [](const std::string& options, double clip_norm, int steps) {
    at::manual_seed(7);
    Tables module;
    Optimizer parameters(module, Config::parse(fmt::format("{{dense: sgd, embedding: {{{}}}}}", options)));
    const auto ids_of = [](int step) {
      at::manual_seed(step);
      return at::randint(0, step % 3 == 0 ? kRows : 7, {40}, at::kInt);  // some rows often, some hardly ever
    };
    std::vector<at::Tensor> read;
    for (int step = 0; step < steps; ++step) {
      const auto ids = ids_of(step);
      for (auto* table : {&module.a, &module.b, &module.c}) {
        const auto e = (*table)(ids);
        if (step % 50 == 49) read.push_back(e.detach().clone());
        e.square().sum().backward();
      }
      parameters.step({.lr_factor = 1.0 / (1 + step % 5), .clip_norm = clip_norm});
      if (step == 130) read.push_back(module.a->weight().clone());  // in the middle, all of them
    }
    for (auto* table : {&module.a, &module.b, &module.c}) {
      read.push_back((*table)->weight().clone());
      read.push_back((*table)->table().state().clone());
    }
    return read;
  };
  for (const char* options :
       {"name: adam, lr: 0.01, l2: 0.1, mode: dense", "name: adam, lr: 0.01, l1: 0.01, mode: dense",
        "name: sgd, lr: 0.01, momentum: 0.9, mode: dense", "name: adagrad, lr: 0.01, l2: 0.1, mode: dense",
        "name: rowwise_adagrad, lr: 0.01, l2: 0.1, mode: dense", "name: ftrl, lr: 0.01, l1: 0.01, mode: dense"}) {
    const auto resting = run(options, 0, 300), moving = run(options, 1e12, 300);
    ASSERT_EQ(resting.size(), moving.size());
    for (size_t i = 0; i < resting.size(); ++i)
      EXPECT_TRUE(at::allclose(resting[i], moving[i], 1e-4, 1e-6))
          << options << " " << i << " " << (resting[i] - moving[i]).abs().max().item<float>();
  }
}

// The squares' sum of all weights is carried from one step to the next, unless somebody else changed them.
TEST(Optimizer, NormOfAWholeTablesPenaltyIsThatOfTheWeightsAsTheyAre) {
  static constexpr int64_t kRows = 9000;
  at::manual_seed(6);
  struct Table : torch::nn::Module {
    nn::Embedding table{register_module("table", nn::Embedding(kRows, 3, 0.5))};
  } module;
  const Config config = Config::parse("{dense: sgd, embedding: {name: adam, lr: 0.05, l2: 0.5, mode: dense}}");
  Optimizer parameters(module, config);
  const auto weight = [&] { return module.table->weight(); };
  const auto expect_norm = [&](const std::string& when) {
    const auto ids = at::randperm(kRows, at::kInt).narrow(0, 0, 300);
    const auto gradients = at::randn({300, 3});
    auto whole = (0.5 * weight()).to(at::kDouble);
    whole.index_add_(0, ids, gradients.to(at::kDouble));
    whole[0].zero_();
    (module.table(ids) * gradients).sum().backward();
    const double expected = whole.norm().item<double>();
    EXPECT_NEAR(parameters.step({.clip_norm = 10}), expected, 1e-6 * expected) << when;
  };
  expect_norm("at first");
  expect_norm("carried");
  weight().mul_(3);  // as loading does
  expect_norm("changed from outside");
  parameters.step({});  // a step that needs no norm carries none
  expect_norm("after a step without");
  Optimizer(module, config).step({.clip_norm = 10});
  expect_norm("after another optimizer's step");
}

// Widths with loops of their own beside some that have none, each row like one of a dense tensor. With the least
// eps, for lazy Adam adds it elsewhere.
TEST(Optimizer, EveryWidthMovesLikeADenseRow) {
  for (const char* rule : {"adam, eps: 1e-30", "adagrad", "rowwise_adagrad", "sgd, momentum: 0.9", "ftrl"}) {
    for (const int64_t width : {1, 3, 8, 16, 20, 32, 33}) {
      at::manual_seed(7);
      struct Both : torch::nn::Module {
        explicit Both(int64_t width)
            : table(register_module("table", nn::Embedding(3, width, 0.5))),
              dense(register_parameter("dense", table->weight().slice(0, 1).clone())) {}
        nn::Embedding table;
        at::Tensor dense;
      } both(width);
      const std::string group = fmt::format("{{name: {}, lr: 0.01}}", rule);
      Optimizer parameters(both, Config::parse(fmt::format("{{dense: {0}, embedding: {0}}}", group)));
      for (int step = 0; step < 3; ++step) {
        const auto g = at::randn({2, width});
        ((both.table(at::tensor({1, 2}, at::kInt)) + both.dense) * g).sum().backward();
        parameters.step({});
      }
      EXPECT_TRUE(at::allclose(both.table->weight().slice(0, 1), both.dense, 1e-5, 1e-6)) << rule << width;
    }
  }
}

// Two towers over one layer: w <- w - lr g, once.
TEST(Optimizer, AModuleRegisteredTwiceMovesOnce) {
  struct Towers : torch::nn::Module {
    Towers() : shared(std::make_shared<Gates>(std::vector<float>{3, -4})) {
      register_module("user", shared);
      register_module("item", shared);
    }
    std::shared_ptr<Gates> shared;
  } towers;
  Optimizer parameters(towers, Config::parse("{dense: {name: sgd, lr: 0.5, l2: 2}}"));
  (towers.shared->alpha * at::tensor({1.f, 2.f})).sum().backward();
  parameters.step({});
  expect(towers.shared->alpha, {3 - 0.5f * (1 + 2 * 3), -4 - 0.5f * (2 + 2 * -4)});
  EXPECT_EQ(parameters.state().size(), 0u);
}

TEST(Optimizer, RefusesParametersThatARuleCannotMove) {
  struct One : torch::nn::Module {
    explicit One(const at::Tensor& w) { register_parameter("w", w); }
  } transposed(at::arange(6, at::kFloat).reshape({2, 3}).t()), doubled(at::zeros({2}, at::kDouble));
  EXPECT_THAT(config_error([&] { Optimizer(transposed, Config()); }),
              HasSubstr("parameter 'w' is not contiguous (shape [3, 2], strides [1, 3])"));
  EXPECT_THAT(config_error([&] { Optimizer(doubled, Config()); }), HasSubstr("parameter 'w' is of type Double"));
}

TEST(Optimizer, AGradientThatIsNotFiniteIsNamedAndItsRowsStay) {
  for (const char* options : {"lr: 1", "lr: 1, mode: dense, l2: 0.5"}) {
    for (const double clip : {0.0, 1.0}) {
      Toy toy;
      const auto before = toy.rows().clone();
      Optimizer parameters(toy, Config::parse(fmt::format("{{embedding: {{name: sgd, {}}}}}", options)));
      (toy.table(at::tensor({2, 3}, at::kInt)) * at::tensor({1.f, 1.f, 1.f, INFINITY}).reshape({2, 2}))
          .sum()
          .backward();
      EXPECT_THAT(testing::numeric_error([&] { parameters.step({.clip_norm = clip}); }),
                  HasSubstr("step 1: the gradient of embedding 'table' is not finite in its row 3"))
          << options;
      EXPECT_TRUE(at::equal(toy.rows()[3], before[3]));
    }
  }
  Toy toy;
  Optimizer parameters(toy, Config::parse("{dense: {name: adam}}"));
  (toy.weight * at::tensor({1.f, NAN})).sum().backward();
  EXPECT_THAT(testing::numeric_error([&] { parameters.step({}); }),
              HasSubstr("the gradient of parameter 'weight' is not finite at element 1"));
  expect(toy.weight, {1, -2});
}

TEST(Optimizer, ARateOfZeroLeavesWeightsAsTheyAre) {
  for (const auto& rule : update_rules().names()) {
    for (const char* mode : {"lazy", "dense"}) {
      Toy toy;
      const auto rows = toy.rows().clone();
      Optimizer parameters(
          toy, Config::parse(fmt::format("{{dense: {{name: {0}}}, embedding: {{name: {0}, mode: {1}}}}}", rule, mode)));
      toy.backward();
      parameters.step({.lr_factor = 0});
      expect(toy.weight, {1, -2});
      EXPECT_TRUE(at::equal(toy.rows(), rows)) << rule;
      toy.backward();
      parameters.step({.lr_factor = 1});  // and none of it is lost for the steps that follow
      EXPECT_TRUE(at::isfinite(toy.weight).all().item<bool>()) << rule;
    }
  }
}

// FTRL without penalties is w <- w - lr g / (beta + sqrt(n)), whatever the rates were before: with beta = 1 and
// gradients of 0 after the first, a falling rate must not move anything.
TEST(Optimizer, FtrlStepsByItsRateAndKeepsWeightsWhereTheRateFalls) {
  Toy toy;
  Optimizer parameters(toy, Config::parse("{dense: {name: ftrl, lr: 0.5}}"));
  (toy.weight * at::tensor({3.f, 4.f})).sum().backward();
  parameters.step({});
  const std::vector<double> after{1 - 0.5 * 3 / (1 + 3), -2 - 0.5 * 4 / (1 + 4)};
  for (const double factor : {1.0, 0.5, 1e-3, 1e-6, 0.0, 0.25}) {
    (toy.weight * 0).sum().backward();
    parameters.step({.lr_factor = factor});
    EXPECT_NEAR(toy.weight[0].item<double>(), after[0], 1e-5) << factor;
    EXPECT_NEAR(toy.weight[1].item<double>(), after[1], 1e-5) << factor;
  }
}

TEST(Optimizer, OptionsThatWouldDivideByNothingAreOutOfRange) {
  const auto say = [](const char* rule) {
    return config_error([&] { Optimizer::resolve(Config::parse(fmt::format("{{dense: {}}}", rule))); });
  };
  EXPECT_THAT(say("{name: adam, beta1: 1}"), HasSubstr("1 is out of range; expected 0 to below 1"));
  EXPECT_THAT(say("{name: adam, beta2: 1}"), HasSubstr("out of range"));
  EXPECT_THAT(say("{name: adam, eps: 0}"), HasSubstr("out of range"));
  EXPECT_THAT(say("{name: adagrad, eps: 0}"), HasSubstr("out of range"));
}

const char* const kRestingSgd = "{dense: sgd, embedding: {name: sgd, lr: 1, l2: 0.5, mode: dense}}";

// In `mode: dense` rows that nobody reads wait for their steps; whoever reads them has to see them moved, by half.
TEST(Optimizer, AnOlderOneThatGoesLeavesTheTablesOfAYoungerOne) {
  Toy toy;
  auto older = std::make_unique<Optimizer>(toy, Config::parse(kRestingSgd));
  Optimizer younger(toy, Config::parse(kRestingSgd));
  younger.step({});
  older.reset();
  expect(toy.rows(), {0, 0, .5, -.5, 1, -1, 1.5, -1.5});
  younger.step({});
  expect(toy.rows(), {0, 0, .25, -.25, .5, -.5, .75, -.75});
}

TEST(Optimizer, AnOlderOneGoesOnWhereAYoungerOneIsGone) {
  Toy toy;
  Optimizer older(toy, Config::parse(kRestingSgd));
  {
    Optimizer younger(toy, Config::parse(kRestingSgd));
    younger.step({});
    older.step({});  // also while it is there
    expect(toy.rows(), {0, 0, .25, -.25, .5, -.5, .75, -.75});
  }
  older.step({});
  expect(toy.rows(), {0, 0, .125, -.125, .25, -.25, .375, -.375});
}

TEST(Optimizer, RefusesToStepTablesThatWereLaidOutForAnother) {
  Toy toy;
  Optimizer older(toy, Config::parse("{dense: adam}"));
  const Optimizer younger(toy, Config::parse("{dense: sgd}"));
  toy.backward();
  EXPECT_THAT(config_error([&] { older.step({}); }),
              HasSubstr("the table 'table' has been laid out for another Optimizer, made later for the same module"));
}

// A model's own ids. Small and large columns, of small and large tables: each is sorted in another way.
TEST(Optimizer, IdsOutsideTheirTableAreRefusedBeforeAnythingMoves) {
  for (const char* mode : {"lazy", "dense"}) {
    for (const int64_t rows : {40, 4000, 300000}) {
      for (const int64_t reads : {10, 300, 5000}) {
        for (const int32_t id : {int32_t(rows), -1, std::numeric_limits<int32_t>::max()}) {
          struct Table : torch::nn::Module {
            explicit Table(int64_t rows) : table(register_module("table", nn::Embedding(rows, 2))) {}
            nn::Embedding table;
          } module(rows);
          Optimizer optimizer(module, Config::parse(fmt::format("{{embedding: {{name: sgd, mode: {}}}}}", mode)));
          const auto before = module.table->weight().clone();
          auto ids = at::ones({reads}, at::kInt);
          ids[reads / 2] = id;
          const std::string expected = fmt::format(
              "an embedding table of {} rows was read at row {}: ids are 0 (padding) to {}", rows, id, rows - 1);
          EXPECT_THAT(config_error([&] { module.table(ids); }), HasSubstr(expected));
          module.table->table().record(ids, at::ones({reads, 2}));  // as a backward pass of a plugin's own does
          EXPECT_THAT(config_error([&] { optimizer.step({}); }), HasSubstr(expected));
          EXPECT_FALSE(module.table->table().touched());
          EXPECT_EQ(optimizer.steps(), 0);
          EXPECT_TRUE(at::equal(module.table->weight(), before));
        }
      }
    }
  }
}

// A column that two tables read has to lie in both.
TEST(Optimizer, IdsOutsideTheSmallerOfTwoTablesThatReadThemAreRefused) {
  struct Tables : torch::nn::Module {
    nn::Embedding large{register_module("large", nn::Embedding(100, 2))};
    nn::Embedding small{register_module("small", nn::Embedding(10, 2))};
  } module;
  Optimizer optimizer(module, Config::parse("{dense: sgd}"));
  const auto ids = at::full({4}, 50, at::kInt), gradients = at::ones({4, 2});
  module.large->table().record(ids, gradients);
  module.small->table().record(ids, gradients);
  EXPECT_THAT(config_error([&] { optimizer.step({}); }), HasSubstr("an embedding table of 10 rows was read at row 50"));
}

struct Experts : torch::nn::Module {
  struct Expert : torch::nn::Module, nn::HasGroup {
    std::string parameter_group() const override { return "experts.0"; }
    at::Tensor weight = register_parameter("weight", at::tensor({1.f}));
  };
  std::shared_ptr<Expert> first = register_module("first", std::make_shared<Expert>());
};

TEST(Optimizer, AGroupMayHaveADotInItsName) {
  const Config config = Config::parse("{dense: {name: adam}, experts.0: {name: sgd, lr: 0.5}}");
  const Config resolved = Optimizer::resolve(config);
  EXPECT_EQ(resolved["experts.0"]["lr"].as<double>(), 0.5);
  EXPECT_EQ(Optimizer::resolve(resolved), resolved);
  Experts module;
  Optimizer optimizer(module, config);
  EXPECT_EQ(optimizer.lr("experts.0"), 0.5);
  (module.first->weight * 4).sum().backward();
  optimizer.step({.only = {"experts.0"}});
  expect(module.first->weight, {1 - 2});
}

TEST(Optimizer, GradientsThatAreNotFiniteAreNamedWithTableRowAndField) {
  struct Module : torch::nn::Module {
    Module() { fields->register_module("item_id", table); }
    std::shared_ptr<torch::nn::Module> fields = register_module("fields", std::make_shared<torch::nn::Module>());
    nn::Embedding table{4, 2};
  } module;
  Optimizer optimizer(module, Config());
  (module.table(at::tensor({2}, at::kInt)) * NAN).sum().backward();
  EXPECT_THAT(testing::numeric_error([&] { optimizer.step({}); }),
              HasSubstr("step 1: the gradient of embedding 'fields.item_id' is not finite in its row 2 (an id of field "
                        "'item_id')"));
}

// w <- w - lr g and s <- s + g, row by row: the tensors of another device, or of other strides, are moved likewise.
TEST(UpdateRule, OneThatMovesRowsMovesTensors) {
  struct Plain final : UpdateRule {
    int64_t state_width(int64_t width) const override { return width; }
    using UpdateRule::update;
    void update(const Rows& rows, const StepInfo& step) const override {
      for (int64_t i = 0; i < rows.count * rows.width; ++i) {
        rows.w[i] -= float(step.lr) * rows.g[i];
        rows.s[i] += rows.g[i];
      }
    }
  };
  const auto of = [](std::vector<float> numbers) { return at::tensor(numbers).view({3, 2}).t().contiguous().t(); };
  const auto w = of({1, 2, 3, 4, 5, 6}), g = of({1, 0, 2, 0, 0, 4}), s = at::ones({3, 2});
  ASSERT_FALSE(w.is_contiguous());
  Plain().update(w, g, s, StepInfo{1, 0.5});
  expect(w.contiguous(), {0.5, 2, 2, 4, 5, 4});
  expect(s, {2, 1, 3, 1, 1, 5});
  EXPECT_EQ(Plain().rest(0.1, 0), nullptr);
}

}  // namespace
}  // namespace interplay::optimizer_test
