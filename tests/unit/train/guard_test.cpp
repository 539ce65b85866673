#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <string>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/train/trainer.h>

#include "support/error_of.h"
#include "support/toy_rows.h"

namespace interplay::guard_test {
namespace {

using ::testing::HasSubstr;
using testing::make_field;
using testing::numeric_error;

/// What is said of a loss that is not a number: in fit(), whose data have names, or in a step on a batch.
class NotFinite : public ::testing::Test {
 protected:
  NotFinite() {
    Progress::enable(false);
    log::set_level(log::Level::warning);
  }
  ~NotFinite() override { log::set_level(log::Level::info); }

  static constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

  /// user_id, price and image of three rows.
  static Schema schema() {
    Field image = make_field("image", FieldKind::vector);
    image.dimension = 2;
    return Schema({make_field("user_id", FieldKind::categorical, 4), make_field("age", FieldKind::numeric),
                   make_field("price", FieldKind::numeric), image},
                  {"click"});
  }
  static EncodedBatch rows() {
    EncodedBatch b;
    b.rows = 3;
    b.ids = {1, 2, 3};
    b.dense = {1, 2, 3, 4, 5, 6};
    b.vectors = {{1, 2, 3, 4, 5, 6}};
    b.labels = {1, 0, 1};
    b.weight = {1, 1, 1};
    return b;
  }
  static std::shared_ptr<Model> fm() { return make_model(Config::parse("{name: fm, embedding_dim: 2}"), schema()); }
  static Config plain() {
    return Config::parse("{train: {shuffle: false, batch_size: 3}, optimizer: {dense: {name: sgd, lr: 1}}}");
  }

  static std::string fit(Model& model, const EncodedBatch& rows) {
    return numeric_error([&] { Trainer(model, plain()).fit(Dataset::from(schema(), {rows})); });
  }
  static std::string fit(const std::function<void(EncodedBatch&)>& change) {
    EncodedBatch changed = rows();
    change(changed);
    return fit(*fm(), changed);
  }
};

TEST_F(NotFinite, NamesTheNumericFieldAndItsRow) {
  const auto change = [](EncodedBatch& b) { b.dense[5] = kNan; };
  EXPECT_THAT(fit(change), HasSubstr("step 1: the loss is nan: numeric field 'price' is not finite in row 2 of the "
                                     "batch"));
  EncodedBatch changed = rows();
  change(changed);
  const auto model = fm();
  Trainer trainer(*model, plain());  // knows no schema
  EXPECT_THAT(numeric_error([&] { trainer.step(to_batch(changed, schema())); }),
              HasSubstr("numeric field 1 is not finite in row 2"));
}

TEST_F(NotFinite, NamesTheVectorFieldAndItsRow) {
  const auto change = [](EncodedBatch& b) { b.vectors[0][3] = INFINITY; };
  EXPECT_THAT(fit(change), HasSubstr("vector field 'image' is not finite in row 1"));
  EncodedBatch changed = rows();
  change(changed);
  const auto model = fm();
  Trainer trainer(*model, plain());
  EXPECT_THAT(numeric_error([&] { trainer.step(to_batch(changed, schema())); }),
              HasSubstr("vector field 0 is not finite in row 1"));
}

TEST_F(NotFinite, NamesTheRowOfAWeightOrLabel) {
  EXPECT_THAT(fit([](EncodedBatch& b) { b.weight[1] = kNan; }), HasSubstr("the weight of row 1"));
  EXPECT_THAT(fit([](EncodedBatch& b) { b.labels[2] = INFINITY; }), HasSubstr("the label of row 2"));
}

TEST_F(NotFinite, NamesTheEmbeddingAndItsRow) {
  const auto model = fm();
  weights_of(*model).at("fields.user_id.weight")[3].fill_(kNan);
  EXPECT_THAT(fit(*model, rows()), HasSubstr("embedding 'fields.user_id' is not finite in its row 3"));
}

TEST_F(NotFinite, NamesTheParameter) {
  const auto model = fm();
  weights_of(*model).at("linear.bias").fill_(kNan);
  EXPECT_THAT(fit(*model, rows()), HasSubstr("parameter 'linear.bias' is not finite"));
}

TEST_F(NotFinite, NamesTheRowOfALogitThatFiniteWeightsGave) {
  struct Overflow final : Model {
    Overflow() : w(register_parameter("w", at::full({1}, 1e30f))) {}
    Output forward(const Features& x) override { return (w * x.dense.select(1, 0)).square().sqrt() * 0; }
    at::Tensor w;
  } model;
  EncodedBatch some = rows();
  some.dense[0] = 0, some.dense[2] = 0;  // of three ages only the last overflows when it is squared
  EXPECT_THAT(fit(model, some), HasSubstr("the logit of row 2 of the batch is not finite, though every weight is"));
}

TEST_F(NotFinite, LeavesTheWeightsAsTheyWereBeforeTheStep) {
  const auto model = fm();
  std::map<std::string, at::Tensor> before;
  for (const auto& [name, w] : weights_of(*model)) before[name] = w.clone();
  EncodedBatch bad = rows();
  bad.dense[0] = kNan;
  fit(*model, bad);
  for (const auto& [name, w] : weights_of(*model)) EXPECT_TRUE(at::equal(w, before.at(name))) << name;
}

// The loss is the first thing to notice a step that went too far, one step later.
TEST_F(NotFinite, IsNoticedOneStepAfterARateThatIsTooHigh) {
  const auto model = fm();
  Config c = plain();
  c.set("optimizer", Config::parse("{dense: {name: sgd, lr: 1e9}}"));
  c.set("train.epochs", Config::scalar("100"));
  EncodedBatch data = rows();
  data.dense.assign(6, 1e6f);
  const std::string said = numeric_error([&] { Trainer(*model, c).fit(Dataset::from(schema(), {data})); });
  EXPECT_THAT(said, HasSubstr("lower the learning rate, or set train.clip_norm"));
}

}  // namespace
}  // namespace interplay::guard_test
