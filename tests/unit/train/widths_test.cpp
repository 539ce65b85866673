#include <map>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/core/bundle.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/safetensors.h>
#include <interplay/train/trainer.h>

#include "support/error_of.h"
#include "support/temp_dir.h"
#include "support/toy_rows.h"

namespace interplay::widths_test {
namespace {

using testing::config_error;
using ::testing::HasSubstr;
using testing::make_field;

constexpr int64_t kWidth = 2;  // of table b, where the model's vectors have 4 numbers

Schema three_fields() {
  return Schema({make_field("a", FieldKind::categorical, 5), make_field("b", FieldKind::categorical, 7),
                 make_field("c", FieldKind::categorical, 4)},
                {"click"});
}

Schema narrow_b() { return select_fields(three_fields(), Config::parse("{widths: {b: 2}}")); }

Batch rows() {
  EncodedBatch batch;
  batch.rows = 24;
  for (int32_t r = 0; r < 24; ++r) {
    batch.ids.insert(batch.ids.end(), {r % 5, (3 * r) % 7, (r * r) % 4});
    batch.labels.push_back(float(r % 3 == 0));
  }
  return Dataset::from(three_fields(), {batch}).slice(0, 24);
}

/// Beyond kWidth, rows of `b` become zero wherever they hold more.
void mask(Model& model, int64_t width) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, weight] : weights_of(model)) {
    if (name.ends_with("fields.b.weight")) weight.slice(1, width).zero_();
  }
}

class Widths : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(OfModels, Widths,
                         ::testing::Values("fm", "deepfm", "ipnn", "dcnv2", "dnn", "fwfm", "autoint", "aim"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Widths, TrainAsAModelWhoseOtherNumbersAreZero) {
  const Config config = Config::parse(fmt::format(R"(
model: {{name: {}, embedding_dim: 4, init_std: 0.3}}
optimizer: {{embedding: {{name: sgd, lr: 0.5}}, dense: {{name: sgd, lr: 0.1}}}}
train: {{precision: fp32}})",
                                                  GetParam()));
  const auto full = make_model(config["model"], three_fields(), 5);
  const auto narrow = make_model(config["model"], narrow_b(), 6);
  EXPECT_EQ(parameter_count(*full) - parameter_count(*narrow), 7 * (4 - kWidth));
  mask(*full, kWidth);
  const auto own = weights_of(*narrow);
  const auto copied = [&](const std::string& name, const at::Tensor& weight) {
    return weight.sizes() == own.at(name).sizes() ? weight : weight.slice(1, 0, kWidth);
  };
  {
    const at::NoGradGuard no_grad;
    for (const auto& [name, weight] : weights_of(*full)) own.at(name).copy_(copied(name, weight));
  }
  Trainer of_full(*full, config), of_narrow(*narrow, config);
  for (int step = 0; step < 6; ++step) {
    EXPECT_NEAR(of_narrow.step(rows()), of_full.step(rows()), 1e-6);
    mask(*full, kWidth);
  }
  for (const auto& [name, weight] : weights_of(*full))
    EXPECT_TRUE(at::allclose(copied(name, weight), weights_of(*narrow).at(name), 1e-4, 1e-6)) << name;
}

TEST(NarrowTables, AreSavedAsNarrow) {
  const testing::TempDir folder;
  const auto model = make_model(Config::parse("{name: fm, embedding_dim: 4}"), narrow_b(), 1);
  save_bundle(folder / "run", *model, Config::parse("model: {name: fm, embedding_dim: 4}"), narrow_b());
  const auto weights = nn::Safetensors(folder / "run/model.safetensors").tensors();
  EXPECT_EQ(weights.at("fields.b.weight").sizes(), (std::vector<int64_t>{7, kWidth}));
  EXPECT_EQ(weights.at("fields.a.weight").sizes(), (std::vector<int64_t>{5, 4}));
  const auto again = Bundle::open(folder / "run").model();  // whose schema says the width
  model->eval();
  EXPECT_TRUE(at::equal(again->forward(rows().features).logit, model->forward(rows().features).logit));
}

TEST(NarrowTables, CannotBeWiderThanTheModel) {
  EXPECT_THAT(config_error([] { make_model(Config::parse("{name: fm, embedding_dim: 1}"), narrow_b(), 1); }),
              HasSubstr("widths: table 'b' is 2 wide; expected 1 to 1, the embedding_dim"));
}

}  // namespace
}  // namespace interplay::widths_test
