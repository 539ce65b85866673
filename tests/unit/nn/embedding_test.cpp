#include <interplay/nn/embedding.h>

#include <cmath>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/nn/blank_tables.h>
#include <interplay/nn/table_storage.h>

namespace interplay::nn::embedding_test {
namespace {

using ::testing::ElementsAre;

at::Tensor ids(const std::vector<int32_t>& values) { return at::tensor(values, at::kInt); }

/// Row r of the table is (10 r, 10 r + 1), the padding row zero.
Embedding numbered(int64_t rows) {
  Embedding embedding(rows, 2);
  for (int64_t r = 1; r < rows; ++r) embedding->weight()[r].copy_(at::tensor({float(10 * r), float(10 * r + 1)}));
  return embedding;
}

void expect_gradients(Embedding& embedding, const std::vector<int64_t>& rows, const std::vector<float>& grad) {
  const RowGradients found = embedding->table().take();
  EXPECT_TRUE(at::equal(found.rows, at::tensor(rows, at::kLong))) << found.rows;
  EXPECT_TRUE(at::equal(found.grad.flatten(), at::tensor(grad))) << found.grad;
  EXPECT_FALSE(embedding->table().touched());
}

/// A gradient that only its twin writes out, added up read by read.
class Plain final : public RowGradient {
 public:
  explicit Plain(at::Tensor grad) : grad_(std::move(grad)) {}
  void add(const ReadBlock& block) const override {
    for (int64_t u = 0; u < block.count; ++u) {
      for (int32_t p = block.begin[u]; p < block.begin[u + 1]; ++p) {
        for (int64_t k = 0; k < block.width; ++k)
          block.sum_of(u)[k] += grad_.const_data_ptr<float>()[block.position[p] * block.width + k];
      }
    }
  }
  at::Tensor each(const at::Tensor&, const at::Tensor&) const override { return grad_; }

 private:
  at::Tensor grad_;
};

TEST(Embedding, GathersARowForEachIdWhateverTheirShape) {
  Embedding embedding = numbered(4);
  EXPECT_TRUE(at::equal(embedding(ids({3, 0})), at::tensor({30.f, 31.f, 0.f, 0.f}).view({2, 2})));
  EXPECT_EQ(embedding(ids({1, 2, 3, 1, 2, 3}).view({1, 2, 3})).sizes(), (std::vector<int64_t>{1, 2, 3, 2}));
  EXPECT_EQ(embedding(ids({})).sizes(), (std::vector<int64_t>{0, 2}));
  const auto matrix = ids({1, 2, 3, 0}).view({2, 2});
  EXPECT_TRUE(at::equal(embedding(matrix.select(1, 1)), at::tensor({20.f, 21.f, 0.f, 0.f}).view({2, 2})));
}

/// A column of several, whose ids do not lie side by side, nor are the others looked at.
TEST(Embedding, GathersAColumnOfSeveral) {
  Embedding table(4, 2, 1);
  const auto ids = at::tensor({1, 99, 3, 99, 2, 99}, at::kInt).view({3, 2});
  EXPECT_TRUE(at::equal(table(ids.select(1, 0)), table(at::tensor({1, 3, 2}, at::kInt))));
}

TEST(Embedding, BlankTablesAreZeroAndLeaveOtherDrawsAsTheyWere) {
  at::manual_seed(3);
  const Embedding drawn(5, 2);
  const auto after = at::rand({2});
  at::manual_seed(3);
  const Embedding blank = [] {
    const BlankTables scope;
    return Embedding(5, 2);
  }();
  EXPECT_TRUE(at::equal(at::rand({2}), after));
  EXPECT_TRUE(at::equal(blank->weight(), at::zeros({5, 2})));
  at::manual_seed(3);
  const Embedding again(5, 2);  // the scope has ended
  EXPECT_TRUE(at::equal(again->weight(), drawn->weight()));
  EXPECT_GT(drawn->weight().abs().sum().item<double>(), 0);
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
  EXPECT_TRUE(at::equal(embedding->weight()[1], at::tensor({10.f, 11.f})));
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
  user->weight().copy_(at::tensor({0.f, 0.f, 1.f, 2.f, 3.f, 4.f}).view({3, 2}));
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
  const auto w = Embedding(4001, 16, 0.05)->weight();
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
    return std::vector<at::Tensor>{first->weight(), second->weight()};
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
    return std::vector<at::Tensor>{item->weight().clone(), e.detach(), a.rows, a.grad, b.rows, b.grad};
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

TEST(TableStorage, TablesThatShareTheirRowsKeepTheirWeightsAndStatesApart) {
  Embedding a = numbered(4), b(4, 1), c = numbered(3);
  b->weight().copy_(at::tensor({0.f, 7.f, 8.f, 9.f}).view({4, 1}));
  const auto weight_a = a->weight().clone(), weight_b = b->weight().clone();
  TableStorage::arrange({{{&a->table(), 2}, {&b->table(), 3}}, {{&c->table(), 1}}});
  EXPECT_TRUE(a->table().is_joint_with(b->table()));
  EXPECT_FALSE(a->table().is_joint_with(c->table()));
  EXPECT_EQ(a->table().stride(), 2 + 1 + 2 + 3);
  EXPECT_TRUE(at::equal(a->weight(), weight_a) && at::equal(b->weight(), weight_b));
  EXPECT_TRUE(at::equal(c->weight()[2], at::tensor({20.f, 21.f})));
  a->table().state().fill_(5);
  b->table().state().fill_(6);
  b->weight().add_(1);
  EXPECT_TRUE(at::equal(a->weight(), weight_a) && at::equal(b->weight(), weight_b + 1));
  EXPECT_TRUE(at::equal(a->table().state(), at::full({4, 2}, 5.f)) &&
              at::equal(b->table().state(), at::full({4, 3}, 6.f)));
  EXPECT_EQ(b->table().state_data()[2 * b->table().stride() + 2], 6);
  EXPECT_TRUE(at::equal(b(ids({3, 1})), at::tensor({10.f, 8.f}).view({2, 1})));
  TableStorage::arrange({{{&a->table(), 2}, {&b->table(), 3}}});  // as they lie: another optimizer begins anew
  EXPECT_TRUE(at::equal(a->table().state(), at::zeros({4, 2})) && at::equal(b->table().state(), at::zeros({4, 3})));
  b->table().reserve_state(1);  // apart again
  EXPECT_FALSE(a->table().is_joint_with(b->table()));
  EXPECT_TRUE(at::equal(a->weight(), weight_a) && at::equal(b->weight(), weight_b + 1));
}

// Beyond one step of the move, which gives old memory back behind it.
TEST(TableStorage, LargeTableKeepsItsWeightsWhenStateJoinsThem) {
  constexpr int64_t kRows = (int64_t(16) << 20) + 70'000;
  const auto table = c10::make_intrusive<TableStorage>(kRows, 1);
  const auto places = at::arange(kRows, at::kFloat);  // as floats they are the same for neighbours past 2^24
  table->weight().select(1, 0).copy_(places);
  table->reserve_state(1);
  EXPECT_TRUE(at::equal(table->weight().select(1, 0), places));
  EXPECT_EQ(table->state().abs().max().item<float>(), 0);
  const auto seen = table->weight();
  table->reserve_state(2);  // who looks at the old memory goes on seeing it
  EXPECT_TRUE(at::equal(seen.select(1, 0), places));
  EXPECT_TRUE(at::equal(table->weight().select(1, 0), places));
}

TEST(TableStorage, VersionTellsOfChangesOfEitherKind) {
  TableStorage table(4, 2);
  const auto first = table.version();
  table.weight().add_(1);
  const auto second = table.version();
  EXPECT_NE(first, second);
  table.changed();
  EXPECT_NE(second, table.version());
}

/// One column of n ids through a table of `rows`: counters, digits in 32-bit and in 64-bit keys, comparisons.
struct Column {
  int64_t n, rows;
  const char* ids;
};
void PrintTo(const Column& c, std::ostream* out) { *out << c.n << " of " << c.rows << ", " << c.ids; }

class Columns : public ::testing::TestWithParam<Column> {};

TEST_P(Columns, RowsAreDistinctAscendingAndTheirGradientsSummedInOrder) {
  const Column& c = GetParam();
  at::manual_seed(11);
  const std::string kind = c.ids;
  auto column = kind == "random"  ? at::randint(c.rows, {c.n}, at::kInt)
                : kind == "few"   ? at::randint(std::min<int64_t>(c.rows, 5), {c.n}, at::kInt)
                : kind == "equal" ? at::full({c.n}, c.rows - 1, at::kInt)
                                  : at::zeros({c.n}, at::kInt);
  if (kind == "random" && c.n > 1) column[0] = int(c.rows - 1);
  const auto wide = at::stack({column, at::full_like(column, 1), column}, 1);
  const auto grad = at::randint(-50, 50, {c.n, 3}, at::kFloat);  // whole numbers: sums are exact
  TableStorage table(c.rows, 3);
  table.record(wide, 2, std::make_shared<Plain>(grad));
  const auto found = table.take();
  const auto expected = std::get<0>(at::_unique(column.to(at::kLong)));
  const bool padded = c.n > 0 && expected[0].item<int64_t>() == 0;
  const auto rows = expected.slice(0, padded ? 1 : 0);
  ASSERT_TRUE(at::equal(found.rows, rows)) << found.rows.sizes() << rows.sizes();
  const auto place = at::searchsorted(rows, column.to(at::kLong)).masked_select(column != 0);
  const auto sums = at::zeros({rows.size(0), 3}).index_add_(0, place, grad.index({column != 0}));
  EXPECT_TRUE(at::equal(found.grad, sums));
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, Columns,
    ::testing::Values(Column{0, 5, "random"}, Column{1, 5, "equal"}, Column{1, 4, "padding"}, Column{100, 7, "random"},
                      Column{100, 300, "random"}, Column{255, 4000, "random"}, Column{256, 4000, "random"},
                      Column{1000, 1999, "random"}, Column{1000, 2001, "random"}, Column{1000, 70'000, "few"},
                      Column{1000, 70'000, "equal"}, Column{1000, 70'000, "padding"}, Column{5000, 300'000, "random"},
                      Column{5000, 1 << 20, "random"}, Column{200, 1 << 25, "random"}, Column{700, 1 << 23, "random"}));

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
}  // namespace interplay::nn::embedding_test
