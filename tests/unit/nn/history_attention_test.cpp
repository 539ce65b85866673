// Attention over histories, and which of their entries it reads.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <interplay/nn/attention.h>

namespace interplay::nn::history_attention_test {
namespace {

const std::vector<int64_t> kLengths{3, 0, 4, 1};

SequenceVectors entries(int64_t width) {
  const auto lengths = at::tensor(kLengths, at::kLong);
  const auto offsets = at::cat({at::zeros({1}, at::kLong), lengths.cumsum(0)});
  return {at::randn({8, width}), at::arange(4, at::kLong).repeat_interleave(lengths), offsets, {}, {}};
}
std::vector<int64_t> numbers(const at::Tensor& t) {
  const auto whole = t.to(at::kLong).contiguous();
  return {whole.const_data_ptr<int64_t>(), whole.const_data_ptr<int64_t>() + whole.numel()};
}
/// Each entry's own number as its vector, so that a result says which entries it holds.
SequenceVectors numbered() {
  auto s = entries(1);
  s.vectors = at::arange(8, at::kFloat).unsqueeze(1);
  return s;
}

TEST(Entries, TheLastOfEachRow) {
  const auto last = last_entries(numbered(), 2);
  EXPECT_EQ(numbers(last.vectors), (std::vector<int64_t>{1, 2, 5, 6, 7}));
  EXPECT_EQ(numbers(last.row), (std::vector<int64_t>{0, 0, 2, 2, 3}));
  EXPECT_EQ(numbers(last.offsets), (std::vector<int64_t>{0, 2, 2, 4, 5}));
}

TEST(Entries, TheLastOfEachRowAheadOfPadding) {
  auto s = numbered();
  s.valid = at::tensor({1, 1, 0, 1, 1, 1, 0, 0}, at::kInt).to(at::kBool);
  const auto last = last_entries(s, 2);
  EXPECT_EQ(numbers(last.vectors), (std::vector<int64_t>{0, 1, 4, 5}));
  EXPECT_EQ(numbers(last.offsets), (std::vector<int64_t>{0, 2, 2, 4, 4}));
}

TEST(Entries, TheLargestScoresInTheirOrder) {
  const auto scores = at::tensor({-1.f, -3.f, -2.f, 5.f, 9.f, -4.f, 7.f, -8.f});
  const auto best = top_entries(numbered(), scores, 2);
  EXPECT_EQ(numbers(best.vectors), (std::vector<int64_t>{0, 2, 4, 6, 7}));
  EXPECT_EQ(numbers(best.offsets), (std::vector<int64_t>{0, 2, 2, 4, 5}));
}

/// Which of equal scores are taken does not depend on how many entries other rows have: topk() sorts a longer row in
/// another way.
TEST(Entries, OfEqualScoresTheLast) {
  for (const int64_t longest : {6, 20, 300}) {
    SequenceVectors s;
    s.offsets = at::tensor({int64_t(0), int64_t(6), 6 + longest});
    s.row = at::cat({at::zeros({6}, at::kLong), at::ones({longest}, at::kLong)});
    s.vectors = at::arange(6 + longest, at::kFloat).unsqueeze(1);
    auto scores = at::zeros({6 + longest});
    scores[2] = 1;
    EXPECT_EQ(numbers(top_entries(s, scores, 3).vectors),
              (std::vector<int64_t>{2, 4, 5, 3 + longest, 4 + longest, 5 + longest}));
  }
}

TEST(Entries, PaddingIsNeverAmongTheLargest) {
  auto s = numbered();
  s.valid = at::tensor({1, 1, 0, 1, 0, 1, 0, 0}, at::kInt).to(at::kBool);
  const auto best = top_entries(s, at::tensor({-1.f, -3.f, 2.f, 5.f, 9.f, -4.f, 7.f, -8.f}), 2);
  EXPECT_EQ(numbers(best.vectors), (std::vector<int64_t>{0, 1, 3, 5}));
  EXPECT_EQ(numbers(best.offsets), (std::vector<int64_t>{0, 2, 2, 4, 4}));
}

TEST(Entries, NoneAtAll) {
  auto s = numbered();
  s.vectors = at::empty({0, 1}), s.row = at::empty({0}, at::kLong), s.offsets = at::zeros({5}, at::kLong);
  EXPECT_EQ(top_entries(s, at::empty({0}), 2).vectors.size(0), 0);
  EXPECT_EQ(last_entries(s, 2).vectors.size(0), 0);
}

/// LibTorch's own attention of one query a row over padded entries, with the same weights.
at::Tensor twin(MultiHeadTargetAttention& m, const at::Tensor& target, const SequenceVectors& s, int64_t heads) {
  auto w = m->named_parameters();
  const int64_t batch = s.batch(), longest = 4, width = w["query.weight"].size(0);
  auto padded = at::zeros({batch, longest, s.vectors.size(1)});
  auto mask = at::zeros({batch, longest}, at::kBool);
  for (int64_t b = 0, n = 0; b < batch; ++b) {
    for (int64_t t = 0; t < kLengths[size_t(b)]; ++t, ++n) padded[b][t] = s.vectors[n], mask[b][t] = true;
  }
  const auto split = [&](const at::Tensor& x) { return x.view({batch, -1, heads, width / heads}).transpose(1, 2); };
  const auto q = split(at::linear(target, w["query.weight"]).unsqueeze(1));
  const auto k = split(at::linear(padded, w["key.weight"])), v = split(at::linear(padded, w["value.weight"]));
  const auto sum = at::scaled_dot_product_attention(q, k, v, mask.view({batch, 1, 1, longest}));
  const auto out = at::linear(sum.transpose(1, 2).reshape({batch, width}), w["output.weight"]);
  return at::where(mask.any(1).unsqueeze(1), out, at::zeros_like(out));
}

TEST(MultiHeadTargetAttention, EqualsLibTorchsOwn) {
  at::manual_seed(1);
  for (const int64_t heads : {1, 2, 3}) {
    MultiHeadTargetAttention m(5, 7, 6, heads);
    auto s = entries(7);
    s.vectors.requires_grad_();
    auto target = at::randn({4, 5}).requires_grad_();
    const auto out = m(target, s), expected = twin(m, target, s, heads);
    EXPECT_TRUE(at::allclose(out, expected, 1e-5, 1e-6)) << heads;
    const auto seed = at::randn_like(out);
    const auto ours = torch::autograd::grad({out}, {target, s.vectors}, {seed});
    const auto theirs = torch::autograd::grad({expected}, {target, s.vectors}, {seed});
    for (size_t i = 0; i < ours.size(); ++i) EXPECT_TRUE(at::allclose(ours[i], theirs[i], 1e-4, 1e-6)) << heads;
  }
}

TEST(MultiHeadTargetAttention, HeadsDivideItsWidth) { EXPECT_THROW(MultiHeadTargetAttention(5, 7, 6, 4), Error); }

TEST(Entries, PaddedTheyLieRowByRow) {
  const auto padded = pad(numbered());
  EXPECT_EQ(padded.vectors.sizes(), (std::vector<int64_t>{4, 4, 1}));
  EXPECT_EQ(numbers(padded.vectors), (std::vector<int64_t>{0, 1, 2, 0, 0, 0, 0, 0, 3, 4, 5, 6, 7, 0, 0, 0}));
  EXPECT_EQ(numbers(padded.valid), (std::vector<int64_t>{1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0}));
  EXPECT_EQ(numbers(padded.lengths), kLengths);
}

TEST(Entries, PaddedThoseThatDoNotCountAreLeftOut) {
  auto s = numbered();
  s.valid = at::tensor({1, 1, 0, 1, 1, 1, 0, 0}, at::kInt).to(at::kBool);
  const auto padded = pad(s);
  EXPECT_EQ(numbers(padded.vectors), (std::vector<int64_t>{0, 1, 0, 0, 0, 0, 3, 4, 5, 0, 0, 0}));
  EXPECT_EQ(numbers(padded.lengths), (std::vector<int64_t>{2, 0, 3, 0}));
}

TEST(Entries, PaddedTheyPassGradientsOn) {
  auto s = entries(2);
  s.vectors.requires_grad_();
  const auto factor = at::arange(32, at::kFloat).view({4, 4, 2});
  (pad(s).vectors * factor).sum().backward();
  const auto places = at::tensor({0, 1, 2, 8, 9, 10, 11, 12}, at::kLong);  // of the entries, in 4 rows of 4
  EXPECT_TRUE(at::equal(s.vectors.grad(), factor.view({16, 2}).index_select(0, places)));
}

TEST(Entries, PaddedABatchWithoutAnyIsEmpty) {
  const auto offsets = at::zeros({3}, at::kLong);
  const auto padded = pad({at::zeros({0, 5}), at::zeros({0}, at::kLong), offsets, {}, {}});
  EXPECT_EQ(padded.vectors.sizes(), (std::vector<int64_t>{2, 0, 5}));
  EXPECT_EQ(padded.valid.sizes(), (std::vector<int64_t>{2, 0}));
}

}  // namespace
}  // namespace interplay::nn::history_attention_test
