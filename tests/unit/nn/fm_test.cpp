// What reads the tables itself, beside its plain twin on the gathered tensor.
#include <interplay/nn/fm.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <interplay/base/error.h>
#include <interplay/nn/table_storage.h>

namespace interplay::nn::fm_test {
namespace {

struct Shape {
  int64_t batch, fields, others, width;
  const char* ids;      // random | equal | padding
  bool narrow = false;  // every second table is narrower than K
  int64_t table_width(int64_t f) const { return narrow && f % 2 == 1 ? std::max<int64_t>(1, width / 3) : width; }
};
void PrintTo(const Shape& s, std::ostream* out) {
  *out << s.batch << "x" << s.fields << "+" << s.others << "x" << s.width << "_" << s.ids
       << (s.narrow ? "_narrow" : "");
}

constexpr int64_t kRows = 9;

class Fused : public ::testing::TestWithParam<Shape> {
 protected:
  Fused() {
    at::manual_seed(3);
    const Shape& s = GetParam();
    for (int64_t f = 0; f < s.fields; ++f) parts_.tables.push_back(Embedding(kRows, s.table_width(f), 0.5));
    parts_.width = s.width;
    const std::string ids = s.ids;
    parts_.ids = ids == "random"  ? at::randint(kRows, {s.batch, s.fields}, at::kInt)
                 : ids == "equal" ? at::full({s.batch, s.fields}, 4, at::kInt)
                                  : at::zeros({s.batch, s.fields}, at::kInt);
    if (s.others > 0) parts_.others = at::randn({s.batch, s.others, s.width}).requires_grad_();
  }

  /// The gathered tensor, as a leaf.
  at::Tensor gathered() const {
    const at::NoGradGuard no_grad;
    return FieldVectors(parts_).tensor().clone().requires_grad_();
  }

  /// Gradients of tables and others, held against d_e [B, F1 + F2, K] of the gathered tensor.
  void expect_gradients(const at::Tensor& d_e) {
    const Shape& s = GetParam();
    for (int64_t f = 0; f < s.fields; ++f) {
      const int64_t width = s.table_width(f);
      auto expected = at::zeros({kRows, width});
      expected.index_add_(0, parts_.ids.select(1, f).to(at::kLong), d_e.select(1, f).narrow(1, 0, width));
      expected[0].zero_();  // the padding row is never trained
      const auto got = parts_.tables[size_t(f)]->table().take();
      const auto sums = at::zeros({kRows, width}).index_copy(0, got.rows, got.grad);
      EXPECT_TRUE(at::allclose(sums, expected, 1e-4, 1e-4)) << "table " << f;
    }
    if (s.others > 0) {
      EXPECT_TRUE(at::allclose(parts_.others.grad(), d_e.narrow(1, s.fields, s.others), 1e-4, 1e-4));
    }
  }

  FieldVectors::Parts parts_;
};

TEST_P(Fused, GatheredRowsAreTheTablesFollowedByZeros) {
  const Shape& s = GetParam();
  const auto e = gathered();
  for (int64_t f = 0; f < s.fields; ++f) {
    const auto rows = parts_.tables[size_t(f)]->weight().index_select(0, parts_.ids.select(1, f));
    EXPECT_TRUE(at::equal(e.select(1, f), at::constant_pad_nd(rows, {0, s.width - rows.size(1)}))) << "table " << f;
  }
}

TEST_P(Fused, FmEqualsItsTwin) {
  const auto e = gathered();
  const auto weight = at::randn({GetParam().batch});
  const auto twin = fm(FieldVectors(e));
  const auto fused = fm(FieldVectors(parts_));
  EXPECT_TRUE(at::allclose(fused, twin, 1e-4, 1e-4));
  {
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(at::equal(fm(FieldVectors(parts_)), fused));
  }
  (twin * weight).sum().backward();
  (fused * weight).sum().backward();
  expect_gradients(e.grad());
}

TEST_P(Fused, SumOverFieldsEqualsItsTwin) {
  const auto e = gathered();
  const auto weight = at::randn({GetParam().batch, GetParam().width});
  const auto twin = sum_fields(FieldVectors(e));
  const auto fused = sum_fields(FieldVectors(parts_));
  EXPECT_TRUE(at::allclose(fused, twin, 1e-5, 1e-5));
  (twin * weight).sum().backward();
  (fused * weight).sum().backward();
  expect_gradients(e.grad());
}

TEST_P(Fused, ReadingTablesTwiceAddsUp) {
  const auto e = gathered();
  const FieldVectors fields(parts_);
  (fm(fields).sum() + 2 * sum_fields(fields).sum() + fields.flat().square().sum()).backward();
  const auto twin = FieldVectors(e);
  (fm(twin).sum() + 2 * e.sum() + e.square().sum()).backward();
  expect_gradients(e.grad());
}

TEST_P(Fused, ThreadsChangeNothing) {
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    const auto z = fm(FieldVectors(parts_));
    z.sum().backward();
    results.push_back(at::cat({z.detach().flatten(), parts_.tables[0]->table().take().grad.flatten()}));
    for (const auto& t : parts_.tables) t->storage()->clear();
  }
  EXPECT_TRUE(at::equal(results[0], results[1]));
  EXPECT_TRUE(at::equal(results[0], results[2]));
}

TEST_P(Fused, InnerProductsEqualTheirTwin) {
  const auto e = gathered();
  const auto [left, right] = all_pairs(e.size(1));
  const auto other = e.detach().clone().requires_grad_();
  const auto fused = inner_products(FieldVectors(e), left, right);
  const auto twin = (other.index_select(1, left) * other.index_select(1, right)).sum(2);
  EXPECT_TRUE(at::allclose(fused, twin, 1e-4, 1e-5));
  if (left.numel() == 0) return;
  const auto weight = at::randn(twin.sizes());
  (fused * weight).sum().backward();
  (twin * weight).sum().backward();
  EXPECT_TRUE(at::allclose(e.grad(), other.grad(), 1e-4, 1e-4));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Fused,
    ::testing::Values(Shape{1, 1, 0, 1, "random"}, Shape{7, 5, 0, 16, "random"}, Shape{300, 3, 0, 16, "random"},
                      Shape{64, 4, 2, 17, "random"}, Shape{5, 39, 0, 32, "random"}, Shape{33, 2, 3, 40, "random"},
                      Shape{65, 3, 1, 3, "random"}, Shape{129, 2, 0, 16, "equal"}, Shape{300, 2, 1, 8, "padding"},
                      Shape{1, 2, 0, 16, "equal"}, Shape{70, 4, 1, 16, "random", true},
                      Shape{9, 3, 0, 50, "random", true}, Shape{64, 2, 0, 4, "equal", true}),
    [](const auto& info) {
      const Shape& s = info.param;
      return fmt::format("B{}F{}and{}K{}{}{}", s.batch, s.fields, s.others, s.width, s.ids, s.narrow ? "narrow" : "");
    });

TEST(InnerProducts, PairsOfAnotherKindAreRefused) {
  const FieldVectors e(at::ones({2, 3, 4}));
  EXPECT_THROW(inner_products(e, at::zeros({2}, at::kInt), at::zeros({2}, at::kInt)), Error);
}

}  // namespace
}  // namespace interplay::nn::fm_test
