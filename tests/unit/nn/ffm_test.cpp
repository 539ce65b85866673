// The field-aware term: by hand, and what reads the tables itself beside its plain twin on the gathered tensor.
#include <interplay/nn/ffm.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <interplay/base/error.h>
#include <interplay/nn/table_storage.h>

namespace interplay::nn::ffm_test {
namespace {

TEST(Ffm, EachPairMultipliesTheVectorsKeptForEachOther) {
  // e_{i,j} of three fields, K = 2; those on the diagonal must not matter.
  const auto e = at::tensor({9, 9, 1, 2, 3, 4, 5, 6, 9, 9, 7, 8, 1, 0, 0, 2, 9, 9}, at::kFloat).view({1, 3, 6});
  // <e_01, e_10> + <e_02, e_20> + <e_12, e_21> = (5 + 12) + (3 + 0) + (0 + 16)
  EXPECT_EQ(ffm(FieldVectors(e)).item<float>(), 36);
}

TEST(Ffm, ARowThatIsNoVectorForEachFieldIsRefused) { EXPECT_THROW(ffm(FieldVectors(at::ones({2, 3, 4}))), Error); }

struct Shape {
  int64_t batch, fields, others, width;
  const char* ids;  // random | equal | padding
};
void PrintTo(const Shape& s, std::ostream* out) {
  *out << s.batch << "x" << s.fields << "+" << s.others << "x" << s.width << "_" << s.ids;
}

constexpr int64_t kRows = 9;

class FusedFfm : public ::testing::TestWithParam<Shape> {
 protected:
  FusedFfm() {
    at::manual_seed(5);
    const Shape& s = GetParam();
    for (int64_t f = 0; f < s.fields; ++f) parts_.tables.push_back(Embedding(kRows, row(), 0.5));
    const std::string ids = s.ids;
    parts_.ids = ids == "random"  ? at::randint(kRows, {s.batch, s.fields}, at::kInt)
                 : ids == "equal" ? at::full({s.batch, s.fields}, 4, at::kInt)
                                  : at::zeros({s.batch, s.fields}, at::kInt);
    if (s.others > 0) parts_.others = at::randn({s.batch, s.others, row()}).requires_grad_();
  }
  static int64_t row() { return (GetParam().fields + GetParam().others) * GetParam().width; }

  /// The gathered tensor, as a leaf.
  at::Tensor gathered() const {
    const at::NoGradGuard no_grad;
    return FieldVectors(parts_).tensor().clone().requires_grad_();
  }

  /// Gradients of tables and others, held against d_e [B, F1 + F2, F K] of the gathered tensor.
  void expect_gradients(const at::Tensor& d_e) {
    const Shape& s = GetParam();
    for (int64_t f = 0; f < s.fields; ++f) {
      auto expected = at::zeros({kRows, row()});
      expected.index_add_(0, parts_.ids.select(1, f).to(at::kLong), d_e.select(1, f));
      expected[0].zero_();  // the padding row is never trained
      const auto got = parts_.tables[size_t(f)]->table().take();
      const auto sums = at::zeros({kRows, row()}).index_copy(0, got.rows, got.grad);
      EXPECT_TRUE(at::allclose(sums, expected, 1e-4, 1e-4)) << "table " << f;
    }
    if (s.others > 0) {
      EXPECT_TRUE(at::allclose(parts_.others.grad(), d_e.narrow(1, s.fields, s.others), 1e-4, 1e-4));
    }
  }

  FieldVectors::Parts parts_;
};

TEST_P(FusedFfm, EqualsItsTwin) {
  const auto e = gathered();
  const auto weight = at::randn({GetParam().batch});
  const auto twin = ffm(FieldVectors(e));
  const auto fused = ffm(FieldVectors(parts_));
  EXPECT_TRUE(at::allclose(fused, twin, 1e-4, 1e-4));
  {
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(at::equal(ffm(FieldVectors(parts_)), fused));
  }
  (twin * weight).sum().backward();
  (fused * weight).sum().backward();
  expect_gradients(e.grad());
}

TEST_P(FusedFfm, ReadingTablesTwiceAddsUp) {
  const auto e = gathered();
  const FieldVectors fields(parts_);
  (ffm(fields).sum() + 2 * ffm(fields).square().sum() + fields.flat().square().sum()).backward();
  const FieldVectors twin(e);
  (ffm(twin).sum() + 2 * ffm(twin).square().sum() + e.square().sum()).backward();
  expect_gradients(e.grad());
}

TEST_P(FusedFfm, ThreadsChangeNothing) {
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    const auto z = ffm(FieldVectors(parts_));
    z.square().sum().backward();
    results.push_back(at::cat({z.detach().flatten(), parts_.tables[0]->table().take().grad.flatten()}));
    for (const auto& t : parts_.tables) t->storage()->clear();
  }
  EXPECT_TRUE(at::equal(results[0], results[1]));
  EXPECT_TRUE(at::equal(results[0], results[2]));
}

INSTANTIATE_TEST_SUITE_P(Shapes, FusedFfm,
                         ::testing::Values(Shape{1, 1, 0, 1, "random"}, Shape{3, 1, 0, 4, "random"},
                                           Shape{1, 2, 0, 4, "equal"}, Shape{7, 2, 0, 1, "random"},
                                           Shape{65, 2, 0, 3, "random"}, Shape{33, 5, 0, 4, "random"},
                                           Shape{300, 3, 0, 16, "random"}, Shape{20, 4, 0, 24, "random"},
                                           Shape{5, 39, 0, 4, "random"}, Shape{40, 4, 2, 4, "random"},
                                           Shape{33, 2, 3, 3, "random"}, Shape{9, 1, 1, 8, "random"},
                                           Shape{129, 3, 0, 4, "equal"}, Shape{70, 2, 1, 4, "padding"}),
                         [](const auto& info) {
                           const Shape& s = info.param;
                           return fmt::format("B{}F{}and{}K{}{}", s.batch, s.fields, s.others, s.width, s.ids);
                         });

}  // namespace
}  // namespace interplay::nn::ffm_test
