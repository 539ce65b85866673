#include "systems/flip/masking.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace interplay::flip::flip_masking_test {
namespace {

using ::testing::ElementsAre;
using Words = std::vector<std::string>;

const Words kTokens{"[CLS]", "gender", "is", "female", ";",     "age", "is",    "under", "18",
                    ";",     "title",  "is", "toy",    "story", ".",   "[SEP]", "[PAD]", "[PAD]"};
// gender, age, title: by token, whose value it is
const std::vector<int64_t> kColumns{-1, -1, -1, 0, -1, -1, -1, 1, 1, -1, -1, -1, 2, 2, -1, -1, -1, -1};
constexpr int64_t kMask = 99;

at::Tensor row(std::vector<int64_t> values) { return at::tensor(values).unsqueeze(0); }
at::Tensor choice(std::vector<bool> chosen) {
  auto out = at::zeros({1, int64_t(chosen.size())}, at::kBool);
  for (size_t i = 0; i < chosen.size(); ++i) out[0][int64_t(i)].fill_(bool(chosen[i]));
  return out;
}

TEST(FlipMasking, EveryTokenOfAChosenValueIsMaskedAndNoOther) {
  const auto ids = at::arange(int64_t(kTokens.size())).unsqueeze(0);
  const auto text = mask_text(ids, row(kColumns), choice({false, true, true}), kMask);
  Words shown, labels;
  std::vector<int64_t> places;
  for (int64_t i = 0; i < int64_t(kTokens.size()); ++i) {
    const bool masked = text.masked[0][i].item<bool>();
    shown.push_back(text.ids[0][i].item<int64_t>() == kMask ? "[MASK]" : kTokens[size_t(i)]);
    if (masked) places.push_back(i), labels.push_back(kTokens[size_t(i)]);
  }
  EXPECT_EQ(shown, (Words{"[CLS]", "gender", "is", "female", ";", "age", "is", "[MASK]", "[MASK]", ";", "title", "is",
                          "[MASK]", "[MASK]", ".", "[SEP]", "[PAD]", "[PAD]"}));
  EXPECT_THAT(places, ElementsAre(7, 8, 12, 13));
  EXPECT_THAT(labels, ElementsAre("under", "18", "toy", "story"));
}

TEST(FlipMasking, AValueBehindTheLengthLimitIsRecoveredNowhere) {
  const auto ids = at::arange(10).unsqueeze(0);  // cut off before the title
  const auto columns = row({kColumns.begin(), kColumns.begin() + 10});
  const auto text = mask_text(ids, columns, choice({false, false, true}), kMask);
  EXPECT_FALSE(text.masked.any().item<bool>());
  EXPECT_TRUE(at::equal(text.ids, ids));
}

TEST(FlipMasking, IdsThatAreChosenBecomeZero) {
  const auto ids = at::tensor({4, 5, 6, 7, 8, 9}, at::kInt).view({2, 3});
  auto chosen = at::zeros({2, 3}, at::kBool);
  chosen[0][1].fill_(true), chosen[1][2].fill_(true);
  EXPECT_TRUE(at::equal(mask_ids(ids, chosen), at::tensor({4, 0, 6, 7, 8, 0}, at::kInt).view({2, 3})));
}

TEST(FlipMasking, ChoosesTheShareRoundedDownButOneAtLeast) {
  EXPECT_EQ(masked_count(8, 0.15), 1);
  EXPECT_EQ(masked_count(15, 0.15), 2);
  EXPECT_EQ(masked_count(3, 0.15), 1);
  EXPECT_EQ(masked_count(3, 1), 3);
  EXPECT_EQ(masked_count(0, 0.15), 0);
}

constexpr int64_t kDraws = 100000;

TEST(FlipMasking, AllFieldsAreChosenAlike) {
  at::manual_seed(3);
  for (const auto& [fields, count] : {std::pair<int64_t, int64_t>{8, 1}, {15, 2}}) {
    const auto chosen = draw_fields(kDraws, fields, count);
    EXPECT_TRUE((chosen.sum(1) == count).all().item<bool>());
    const double p = double(count) / double(fields), sigma = std::sqrt(kDraws * p * (1 - p));
    for (int64_t f = 0; f < fields; ++f)
      EXPECT_NEAR(chosen.select(1, f).sum().item<double>(), kDraws * p, 4 * sigma) << f << " of " << fields;
  }
}

TEST(FlipMasking, OneSidesChoiceTellsNothingOfTheOthers) {
  at::manual_seed(4);
  const auto text = draw_fields(kDraws, 8, 1).to(at::kDouble), ids = draw_fields(kDraws, 8, 1).to(at::kDouble);
  const auto both = at::matmul(text.t(), ids);  // [8, 8]
  const double expected = kDraws / 64.0;
  EXPECT_LT(((both - expected).square() / expected).sum().item<double>(), 92.01);  // 63 degrees of freedom at 1%
}

TEST(FlipMasking, EveryDrawIsNew) {
  at::manual_seed(5);
  const auto first = draw_fields(100, 8, 1), second = draw_fields(100, 8, 1);
  EXPECT_FALSE(at::equal(first, second));
  at::manual_seed(5);
  EXPECT_TRUE(at::equal(draw_fields(100, 8, 1), first));
}

TEST(FlipMasking, AFixedChoiceFollowsFromTheRowAloneAndIsAsEven) {
  const auto ids = at::stack({at::arange(kDraws), at::arange(kDraws) % 7, at::arange(kDraws) % 3}, 1);
  const auto keys = row_keys(ids);
  const auto chosen = fixed_fields(keys, 8, 1);
  const auto some = fixed_fields(row_keys(ids.slice(0, 40, 50)), 8, 1);
  EXPECT_TRUE(at::equal(some, chosen.slice(0, 40, 50)));
  const double sigma = std::sqrt(kDraws / 8.0 * 7 / 8);
  for (int64_t f = 0; f < 8; ++f) EXPECT_NEAR(chosen.select(1, f).sum().item<double>(), kDraws / 8.0, 4 * sigma) << f;
}

TEST(FlipMasking, ARowsKeyDoesNotDependOnWhatStandsBehindItsText) {
  const auto longer = row_keys(at::tensor({5, 6, -1, 7, -1, -1}, at::kLong).view({1, 6}));
  EXPECT_EQ(longer, row_keys(at::tensor({5, 6, -1, 7}, at::kLong).view({1, 4})));
  EXPECT_NE(longer, row_keys(at::tensor({5, 6, 7}, at::kLong).view({1, 3})));
}

TEST(FlipMasking, FixedNumbersAreOfARowAndAPlace) {
  const std::vector<uint64_t> keys{11, 12};
  const auto rows = at::tensor({0, 1, 1}, at::kLong), places = at::tensor({2, 2, 0}, at::kLong);
  const auto numbers = fixed_numbers(keys, rows, places, 4, 1);
  EXPECT_TRUE(at::equal(fixed_numbers(keys, rows.slice(0, 1, 2), places.slice(0, 1, 2), 4, 1), numbers.slice(0, 1, 2)));
  EXPECT_EQ(std::get<0>(at::_unique(numbers)).numel(), 12);
  EXPECT_FALSE(at::equal(fixed_numbers(keys, rows, places, 4, 2), numbers));
}

}  // namespace
}  // namespace interplay::flip::flip_masking_test
