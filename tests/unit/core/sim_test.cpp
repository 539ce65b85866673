// SIM beside DIN: where the search keeps a whole history, and nothing else is read, the one is the other.
#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <interplay/core/model.h>

#include "support/toy_rows.h"

namespace interplay::sim_test {
namespace {

std::shared_ptr<Model> model(const std::string& text) {
  return make_model(
      Config::parse("{embedding_dim: 4, hidden: [8], attention_hidden: [6], init_std: 0.5, " + text + "}"),
      testing::toy_schema(), 7);
}

at::Tensor logits(Model& model) {
  const at::NoGradGuard no_grad;
  model.eval();
  return model.forward(to_features(testing::toy_rows(0, 16), testing::toy_schema())).logit;
}

TEST(Sim, ReadsWhatItFoundAsDinReadsAHistory) {
  const at::NoGradGuard no_grad;
  const auto din = model("name: din");
  const auto with_weights_of_din = [&](const std::string& more) {
    const auto sim = model("name: sim, attention: din, short_length: 0, " + more);
    auto own = weights_of(*sim);
    for (const auto& [name, value] : weights_of(*din)) {
      const std::string from = "attention_0", to = "long_term_0";
      const auto at = name.find(from);
      const std::string of_sim = at == std::string::npos ? name : std::string(name).replace(at, from.size(), to);
      EXPECT_TRUE(own.contains(of_sim)) << of_sim;
      if (own.contains(of_sim)) own.at(of_sim).copy_(value);
    }
    return logits(*sim);
  };
  const auto expected = logits(*din);
  ASSERT_GT(expected.std().item<double>(), 0.01);
  EXPECT_TRUE(at::allclose(with_weights_of_din("top_k: 3"), expected, 1e-5, 1e-6));  // histories have 3 entries at most
  EXPECT_FALSE(at::allclose(with_weights_of_din("top_k: 1"), expected, 1e-3, 1e-3));
}

TEST(Sim, SearchesByItemsWhateverTheirRatings) {
  const auto sim = model("name: sim, search_dim: 5");
  const auto weights = weights_of(*sim);
  EXPECT_EQ(weights.at("search_key_0.weight").sizes(), (at::IntArrayRef{5, 4}));  // of an item's vector
  EXPECT_EQ(weights.at("long_term_0.value.weight").size(-1), 8);                  // of that and the rating's
}

}  // namespace
}  // namespace interplay::sim_test
