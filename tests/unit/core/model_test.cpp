#include <interplay/core/model.h>

#include <map>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/table_storage.h>

#include "support/error_of.h"
#include "support/toy_rows.h"

namespace interplay::model_test {
namespace {

using testing::config_error;
using testing::data_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::toy_schema;

std::shared_ptr<Model> make(const std::string& config, uint64_t seed = 1) {
  return make_model(Config::parse(config, "x.yaml"), toy_schema(), seed);
}

std::map<std::string, at::Tensor> copy_of(const Model& model) {
  auto weights = weights_of(model);
  for (auto& [name, w] : weights) w = w.clone();
  return weights;
}

TEST(Model, FirstWeightsAreDrawnByTheSeed) {
  const auto a = copy_of(*make("fm", 1)), b = copy_of(*make("fm", 1)), c = copy_of(*make("fm", 2));
  for (const auto& [name, w] : a) EXPECT_TRUE(at::equal(w, b.at(name))) << name;
  EXPECT_FALSE(at::equal(a.at("fields.item_id.weight"), c.at("fields.item_id.weight")));
}

TEST(Model, MakingOneLeavesTheGeneratorsAsTheyWere) {
  at::manual_seed(9);
  const auto expected = at::rand({4});
  at::manual_seed(9);
  make("deepfm", 3);
  EXPECT_TRUE(at::equal(at::rand({4}), expected));
}

TEST(Model, UnknownNameIsAnErrorThatNamesTheNearest) {
  EXPECT_THAT(config_error([] { make("deepfn"); }), HasSubstr("deepfm"));
  EXPECT_THAT(config_error([] { make("{name: fm, embeding_dim: 4}"); }), HasSubstr("embedding_dim"));
}

// Tables of 6 + 9 + 5 + 4 rows, a number, an image of two numbers.
TEST(Model, CountsTablesAndParameters) {
  const int64_t linear = 24 + 1 + 2 + 1;
  EXPECT_EQ(parameter_count(*make("lr")), linear);
  EXPECT_EQ(parameter_count(*make("{name: fm, embedding_dim: 4}")), linear + 24 * 4 + 4 + 2 * 4);
}

TEST(Model, WeightsAreViewsUnderTheNamesTheyAreSavedBy) {
  const auto model = make("lr");
  std::vector<std::string> names;
  for (const auto& [name, w] : weights_of(*model)) names.push_back(name);
  EXPECT_THAT(names,
              ElementsAre("linear.bias", "linear.weights.hist_ratings.weight", "linear.weights.image_projection.weight",
                          "linear.weights.item_id.weight", "linear.weights.numeric", "linear.weights.tags.weight",
                          "linear.weights.user_id.weight"));
  EXPECT_EQ(weights_of(*model).at("linear.weights.item_id.weight").sizes(), (std::vector<int64_t>{9, 1}));
  weights_of(*model).at("linear.weights.item_id.weight")[3].fill_(7);
  EXPECT_EQ(weights_of(*model).at("linear.weights.item_id.weight")[3].item<float>(), 7);
}

TEST(Model, WeightsAndBuffersLoadIntoAnotherModel) {
  const std::string config = "{name: dnn, hidden: [4], norm: batch}";
  const auto from = make(config, 1), to = make(config, 2);
  const Features x = to_features(testing::toy_rows(0, 8), toy_schema());
  from->train();
  from->forward(x);  // moves the batch norm's statistics
  load_weights(*to, copy_of(*from), "somewhere");
  from->eval();
  to->eval();
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(to->forward(x).logit, from->forward(x).logit));
}

TEST(LoadWeights, NamesTheEntryThatIsMissing) {
  const auto model = make("lr");
  auto weights = copy_of(*model);
  weights.erase("linear.weights.tags.weight");
  EXPECT_THAT(data_error([&] { load_weights(*model, weights, "m.safetensors"); }),
              HasSubstr("m.safetensors: entry 'linear.weights.tags.weight' is missing"));
}

TEST(LoadWeights, NamesTheEntryThatIsUnknown) {
  const auto model = make("lr");
  auto weights = copy_of(*model);
  weights["fields.item_id.weight"] = at::zeros({9, 4});
  EXPECT_THAT(data_error([&] { load_weights(*model, weights, "m.safetensors"); }),
              HasSubstr("m.safetensors: entry 'fields.item_id.weight' is unknown"));
}

TEST(LoadWeights, NamesTheEntryOfAnotherShapeWithBothShapes) {
  const auto model = make("lr");
  auto weights = copy_of(*model);
  weights["linear.weights.item_id.weight"] = at::zeros({10, 1});
  EXPECT_THAT(data_error([&] { load_weights(*model, weights, "m.safetensors"); }),
              HasSubstr("'linear.weights.item_id.weight' has shape [10, 1], this model needs [9, 1]"));
}

TEST(LoadWeights, NamesTheEntryThatHoldsWholeNumbersInsteadOfReal) {
  const auto model = make("lr");
  auto weights = copy_of(*model);
  weights["linear.bias"] = at::zeros({}, at::kLong);
  EXPECT_THAT(data_error([&] { load_weights(*model, weights, "m.safetensors"); }),
              HasSubstr("'linear.bias' is of type Long, this model needs Float"));
}

TEST(LoadWeights, TakesRealNumbersOfAnotherPrecision) {
  const auto model = make("lr");
  auto weights = copy_of(*model);
  weights["linear.bias"] = at::full({}, 0.25, at::kHalf);
  load_weights(*model, weights, "m.safetensors");
  EXPECT_EQ(weights_of(*model).at("linear.bias").item<float>(), 0.25);
}

TEST(LoadWeights, LeavesTheStateBehindTheRowsAlone) {
  const auto model = make("lr");
  auto tables = nn::tables_of(*model);
  for (const auto& t : tables) {
    t.table->table().reserve_state(2);
    t.table->table().state().fill_(3);
  }
  auto weights = copy_of(*model);
  weights["linear.weights.item_id.weight"] = at::arange(9, at::kFloat).view({9, 1});
  load_weights(*model, weights, "m.safetensors");
  for (const auto& t : tables) {
    EXPECT_TRUE(at::equal(t.table->table().state(), at::zeros({t.table->rows(), 2}) + 3));
  }
  EXPECT_TRUE(at::equal(weights_of(*model).at("linear.weights.item_id.weight").flatten(), at::arange(9, at::kFloat)));
}

}  // namespace
}  // namespace interplay::model_test
