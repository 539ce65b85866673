#include <interplay/core/frozen_run.h>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::frozen_run_test {
namespace {

using testing::config_error;
using testing::data_error;
using ::testing::HasSubstr;

Field field(const std::string& name, FieldKind kind, int64_t rows) {
  Field f;
  f.name = name, f.kind = kind, f.rows = rows;
  if (kind != FieldKind::numeric) f.table = name;
  return f;
}
Field user() { return field("user", FieldKind::categorical, 5); }
Field item() { return field("item", FieldKind::categorical, 9); }
Field place() { return field("place", FieldKind::categorical, 4); }
Field price() { return field("price", FieldKind::numeric, 0); }
Field size() { return field("size", FieldKind::numeric, 0); }
Field tags() { return field("tags", FieldKind::sequence, 6); }
Field seen() { return field("seen", FieldKind::sequence, 7); }

/// A run that reads three of the fields, and rows that have more, in another order.
class FrozenRunTest : public ::testing::Test {
 protected:
  FrozenRunTest() {
    const Config config =
        Config::parse("model: {name: deepfm, embedding_dim: 4, hidden: [6], dropout: 0.5, init_std: 1}");
    model_ = make_model(config["model"], own_, 5);
    save_bundle(dir_ / "run", *model_, config, own_);
    model_->eval();
  }
  testing::TempDir dir_;
  Schema own_{{user(), item(), price(), tags()}, {"y"}};
  Schema rows_{{place(), user(), seen(), size(), tags(), price(), item()}, {"y"}};
  std::shared_ptr<Model> model_;
};

Sequence sequence(std::vector<int32_t> ids) {
  return {at::tensor(ids, at::kInt), at::tensor(std::vector<int64_t>{0, 1, int64_t(ids.size())}), {}};
}

TEST_F(FrozenRunTest, ReadsItsOwnFieldsOfRowsThatHaveMore) {
  Features all, own;
  all.rows = own.rows = 2;
  all.ids = at::tensor({3, 1, 7, 2, 4, 5}, at::kInt).view({2, 3});  // place, user, item
  all.dense = at::tensor({10.f, .5f, 20.f, .25f}).view({2, 2});     // size, price
  all.sequences = {sequence({1, 2}), sequence({3, 4, 5})};          // seen, tags
  own.ids = at::tensor({1, 7, 4, 5}, at::kInt).view({2, 2});
  own.dense = at::tensor({.5f, .25f}).view({2, 1});
  own.sequences = {sequence({3, 4, 5})};
  const FrozenRun run(RunOption(dir_ / "run"), rows_);
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(run.model().forward(run.features(all)).logit, model_->forward(own).logit));
  EXPECT_FALSE(run.model().is_training());
  EXPECT_NE(run.checksum(), 0u);
  for (const auto& p : run.model().parameters()) EXPECT_FALSE(p.requires_grad());
}

TEST_F(FrozenRunTest, RefusesRowsThatMeanOtherThings) {
  const RunOption option(dir_ / "run");
  EXPECT_THAT(config_error([&] { FrozenRun(option, rows_.drop({"price"})); }), HasSubstr("reads field 'price', which"));
  Field other = user();
  other.rows = 6;
  EXPECT_THAT(data_error([&] {
                FrozenRun(option, Schema({other, item(), price(), tags()}, {"y"}));
              }),
              HasSubstr("field 'user' is encoded otherwise"));
  other = price();
  other.encoding = Config::parse("{values: {shift: 3}}");
  EXPECT_THAT(data_error([&] {
                FrozenRun(option, Schema({user(), item(), other, tags()}, {"y"}));
              }),
              HasSubstr("field 'price' is encoded otherwise"));
  EXPECT_THAT(data_error([&] { FrozenRun(RunOption(dir_ / "gone"), rows_); }), HasSubstr("no such run directory"));
}

TEST(RunOptionTest, IsWrittenInFull) {
  RunOption option;
  option.read_option(Config::parse("runs/../din"));
  EXPECT_EQ(option.path(), std::filesystem::current_path() / "din");
  EXPECT_EQ(option.write_option().as<std::string>(), option.path().string());
  option.read_option(option.write_option());
  EXPECT_EQ(option.path(), std::filesystem::current_path() / "din");
  option.read_option(Config::parse("''"));
  EXPECT_FALSE(option.given());
}

}  // namespace
}  // namespace interplay::frozen_run_test
