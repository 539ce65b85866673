#include <interplay/nn/embedding.h>

#include <cmath>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>

namespace interplay::nn {
namespace {

using ::testing::ElementsAre;

at::Tensor ids(const std::vector<int32_t>& values) { return at::tensor(values, at::kInt); }

/// Row r of the table is (10 r, 10 r + 1), the padding row zero.
Embedding numbered(int64_t rows) {
  Embedding embedding(rows, 2);
  for (int64_t r = 1; r < rows; ++r)
    embedding->table().weight()[r].copy_(at::tensor({float(10 * r), float(10 * r + 1)}));
  return embedding;
}

void expect_gradients(Embedding& embedding, const std::vector<int64_t>& rows, const std::vector<float>& grad) {
  const RowGradients found = embedding->table().take();
  EXPECT_TRUE(at::equal(found.rows, at::tensor(rows, at::kLong))) << found.rows;
  EXPECT_TRUE(at::equal(found.grad.flatten(), at::tensor(grad))) << found.grad;
  EXPECT_FALSE(embedding->table().touched());
}

TEST(Embedding, GathersARowForEachIdWhateverTheirShape) {
  Embedding embedding = numbered(4);
  EXPECT_TRUE(at::equal(embedding(ids({3, 0})), at::tensor({30.f, 31.f, 0.f, 0.f}).view({2, 2})));
  EXPECT_EQ(embedding(ids({1, 2, 3, 1, 2, 3}).view({1, 2, 3})).sizes(), (std::vector<int64_t>{1, 2, 3, 2}));
  EXPECT_EQ(embedding(ids({})).sizes(), (std::vector<int64_t>{0, 2}));
  const auto matrix = ids({1, 2, 3, 0}).view({2, 2});
  EXPECT_TRUE(at::equal(embedding(matrix.select(1, 1)), at::tensor({20.f, 21.f, 0.f, 0.f}).view({2, 2})));
}

TEST(Embedding, AddsTheGradientsOfEqualRowsOverEveryUseInAStep) {
  Embedding embedding = numbered(6);
  // Row 4 is read three times in two places, row 2 in the second alone, padding in both.
  const auto first = embedding(ids({4, 0, 4})), second = embedding(ids({2, 4, 0}));
  ((first * at::tensor({1.f, 2.f, 50.f, 50.f, 4.f, 8.f}).view({3, 2})).sum() +
   (second * at::tensor({3.f, 5.f, 16.f, 32.f, 50.f, 50.f}).view({3, 2})).sum())
      .backward();
  EXPECT_TRUE(embedding->table().touched());
  expect_gradients(embedding, {2, 4}, {3, 5, 1 + 4 + 16, 2 + 8 + 32});
}

TEST(Embedding, AddsTheGradientsOfSeveralBackwardPasses) {
  Embedding embedding = numbered(4);
  embedding(ids({1, 2})).sum().backward();
  embedding(ids({2})).sum().backward();
  expect_gradients(embedding, {1, 2}, {1, 1, 2, 2});
}

TEST(Embedding, KeepsNoGradientThatNobodyAskedFor) {
  Embedding embedding = numbered(4);
  {
    const at::NoGradGuard no_grad;
    const auto e = embedding(ids({1, 2}));
    EXPECT_FALSE(e.requires_grad());
    EXPECT_TRUE(at::equal(e, at::tensor({10.f, 11.f, 20.f, 21.f}).view({2, 2})));
  }
  auto used = embedding(ids({1})), unused = embedding(ids({2}));
  EXPECT_TRUE(used.requires_grad());
  used.sum().backward();
  expect_gradients(embedding, {1}, {1, 1});
  expect_gradients(embedding, {}, {});
}

TEST(Embedding, StopsGradientsAtADetachedResult) {
  Embedding embedding = numbered(4);
  const auto e = embedding(ids({1, 2}));
  (e.select(0, 0).detach() * e.select(0, 1)).sum().backward();
  expect_gradients(embedding, {1, 2}, {0, 0, 10, 11});
}

TEST(Embedding, TakesAnInPlaceChangeOfItsResult) {
  Embedding embedding = numbered(3);
  auto e = embedding(ids({1, 2}));
  e.mul_(3);
  e.select(0, 0).zero_();
  e.sum().backward();
  expect_gradients(embedding, {1, 2}, {0, 0, 3, 3});
  EXPECT_TRUE(at::equal(embedding->table().weight()[1], at::tensor({10.f, 11.f})));
}

TEST(Embedding, DoesNotMindIdsThatChangeAfterwardsInAnotherTensor) {
  Embedding embedding = numbered(4);
  auto source = ids({1, 2});
  const auto e = embedding(source.clone());
  source.fill_(3);
  e.sum().backward();
  expect_gradients(embedding, {1, 2}, {1, 1, 1, 1});
}

TEST(Embedding, NeverLeavesAGradientForPadding) {
  Embedding embedding = numbered(3);
  embedding(ids({0, 0})).sum().backward();
  expect_gradients(embedding, {}, {});
}

TEST(Embedding, ForgetsWhatIsCleared) {
  Embedding embedding = numbered(3);
  embedding(ids({1})).sum().backward();
  embedding->table().clear();
  expect_gradients(embedding, {}, {});
}

TEST(GatherFields, ReadsEachColumnThroughItsTableWhichMayRepeat) {
  Embedding item = numbered(5), user(3, 2);
  user->table().weight().copy_(at::tensor({0.f, 0.f, 1.f, 2.f, 3.f, 4.f}).view({3, 2}));
  const auto matrix = ids({1, 2, 3, 3, 0, 1}).view({2, 3});  // item, user, item
  const auto e = gather_fields(matrix, {item, user, item});
  EXPECT_TRUE(
      at::equal(e, at::tensor({10.f, 11.f, 3.f, 4.f, 30.f, 31.f, 30.f, 31.f, 0.f, 0.f, 10.f, 11.f}).view({2, 3, 2})));
  (e * at::arange(1, 13, at::kFloat).view({2, 3, 2})).sum().backward();
  expect_gradients(item, {1, 3}, {1 + 11, 2 + 12, 5 + 7, 6 + 8});
  expect_gradients(user, {2}, {3, 4});
}

TEST(GatherFields, SharesATapeWithSingleUses) {
  Embedding item = numbered(5);
  const auto e = gather_fields(ids({1, 2}).view({1, 2}), {item, item});
  (e.sum() + item(ids({2, 4})).sum()).backward();
  expect_gradients(item, {1, 2, 4}, {1, 1, 2, 2, 1, 1});
}

TEST(GatherFields, TakesColumnsOfALargerMatrix) {
  Embedding item = numbered(5);
  const auto wide = ids({9, 1, 9, 9, 2, 9}).view({2, 3});
  const auto e = gather_fields(wide.narrow(1, 1, 1), {item});
  EXPECT_TRUE(at::equal(e.flatten(), at::tensor({10.f, 11.f, 20.f, 21.f})));
  e.sum().backward();
  expect_gradients(item, {1, 2}, {1, 1, 1, 1});
}

TEST(Embedding, StartsFromANormalOfTheGivenDeviationWithPaddingAtZero) {
  at::manual_seed(1);
  const auto w = Embedding(4001, 16, 0.05)->table().weight();
  EXPECT_TRUE(at::equal(w[0], at::zeros({16})));
  const auto drawn = w.narrow(0, 1, 4000).flatten();
  const double n = 64000;
  EXPECT_NEAR(drawn.mean().item<double>(), 0, 5 * 0.05 / std::sqrt(n));
  EXPECT_NEAR(drawn.std().item<double>(), 0.05, 5 * 0.05 / std::sqrt(2 * n));  // five standard errors
  EXPECT_NEAR((drawn.abs() < 0.05).to(at::kDouble).mean().item<double>(), 0.6827, 5 * std::sqrt(.6827 * .3173 / n));
}

TEST(Embedding, StartDependsOnTheSeedAndDiffersBetweenTables) {
  const auto drawn = [](uint64_t seed) {
    at::manual_seed(seed);
    Embedding first(50, 4), second(50, 4);
    return std::vector<at::Tensor>{first->table().weight(), second->table().weight()};
  };
  const auto a = drawn(1), b = drawn(1), c = drawn(2);
  EXPECT_TRUE(at::equal(a[0], b[0]) && at::equal(a[1], b[1]));
  EXPECT_FALSE(at::equal(a[0], c[0]));
  EXPECT_FALSE(at::equal(a[0], a[1]));
}

// More rows and reads than one task takes, in an order that makes fp32 sums depend on their order.
TEST(Embedding, DoesNotDependOnTheNumberOfThreads) {
  const auto run = [](int threads) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    at::manual_seed(4);
    Embedding item(7000, 5, 1), user(300, 5, 1);
    const auto matrix =
        at::cat({at::randint(0, 7000, {20000, 1}, at::kInt), at::randint(0, 300, {20000, 1}, at::kInt)}, 1);
    const auto e = gather_fields(matrix, {item, user});
    (e * at::randn({20000, 2, 5})).sum().backward();
    const auto a = item->table().take(), b = user->table().take();
    at::set_num_threads(before);
    return std::vector<at::Tensor>{item->table().weight().clone(), e.detach(), a.rows, a.grad, b.rows, b.grad};
  };
  const auto one = run(1), two = run(2);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], two[i])) << i;
}

TEST(TableStorage, MakesRoomForStateBehindTheWeights) {
  Embedding embedding = numbered(3);
  TableStorage& table = embedding->table();
  EXPECT_EQ(table.state().sizes(), (std::vector<int64_t>{3, 0}));
  table.reserve_state(3);
  EXPECT_EQ(table.stride(), 5);
  EXPECT_TRUE(at::equal(table.weight(), at::tensor({0.f, 0.f, 10.f, 11.f, 20.f, 21.f}).view({3, 2})));
  EXPECT_TRUE(at::equal(table.state(), at::zeros({3, 3})));
  EXPECT_TRUE(at::equal(embedding(ids({2})), at::tensor({20.f, 21.f}).view({1, 2})));
  table.state().fill_(7);
  table.reserve_state(3);  // another optimizer begins anew
  EXPECT_TRUE(at::equal(table.state(), at::zeros({3, 3})));
  table.state().fill_(7);
  table.reserve_state(0);
  EXPECT_EQ(table.stride(), 2);
  EXPECT_TRUE(at::equal(table.weight()[2], at::tensor({20.f, 21.f})));
}

TEST(TableStorage, RefusesATableWithoutRowsOrWidth) {
  EXPECT_THROW(Embedding(0, 4), Error);
  EXPECT_THROW(Embedding(4, 0), Error);
}

struct Branch : torch::nn::Module {
  explicit Branch(Embedding shared)
      : item(register_module("item", shared)), own(register_module("own", Embedding(2, 1))) {}
  Embedding item, own;
};

TEST(TablesOf, ListsEachTableOnceUnderItsFirstName) {
  struct Root : torch::nn::Module {
    Root() {
      const Embedding shared(3, 1);
      register_module("left", std::make_shared<Branch>(shared));
      register_module("right", std::make_shared<Branch>(shared));
    }
  } root;
  std::vector<std::string> names;
  for (const auto& t : tables_of(root)) names.push_back(t.name);
  EXPECT_THAT(names, ElementsAre("left.item", "left.own", "right.own"));
}

}  // namespace
}  // namespace interplay::nn
