// Model `probe`: what a CTR run knows of a row, without a language model.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/core/bundle.h>
#include <interplay/core/frozen_run.h>
#include <interplay/core/represents.h>
#include <interplay/optim/optimizer.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::probe_model_test {
namespace {

using testing::config_error;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

Field field(const std::string& name, FieldKind kind, int64_t rows, const std::string& table) {
  Field f;
  f.name = name, f.kind = kind, f.rows = rows, f.table = table;
  return f;
}

class ProbeModel : public ::testing::Test {
 protected:
  ProbeModel() {
    Field history = field("h", FieldKind::sequence, 9, "item"), told = field("p_items", FieldKind::sequence, 9, "item");
    history.target = told.target = "item";
    schema_ = Schema({field("user", FieldKind::categorical, 7, "user"),
                      field("item", FieldKind::categorical, 9, "item"), history, told},
                     {"label"});
    const Config config = Config::parse("model: {name: din, embedding_dim: 3, hidden: [5], init_std: 1}");
    const Schema own = schema_.keep({"user", "item", "h"});
    save_bundle(dir_ / "ctr", *make_model(config["model"], own, 5), config, own);
    x_.rows = 3;
    x_.ids = at::tensor({1, 4, 2, 5, 3, 6}, at::kInt).view({3, 2});
    x_.sequences = {{at::tensor({1, 2, 3}, at::kInt), at::tensor({0, 1, 2, 3}, at::kLong), {}},
                    {at::tensor({7, 1, 2}, at::kInt), at::tensor({0, 2, 2, 3}, at::kLong), {}}};
  }
  std::shared_ptr<Model> make(const std::string& more) {
    const auto model = make_model(
        Config::parse("{name: probe, prompt: p, ctr: " + (dir_ / "ctr").string() + ", " + more + "}"), schema_);
    model->eval();
    return model;
  }
  testing::TempDir dir_;
  Schema schema_;
  Features x_;
};

TEST_F(ProbeModel, IsLinearInWhatTheRunKnows) {
  const FrozenRun run(RunOption(dir_ / "ctr"), schema_);
  const at::NoGradGuard no_grad;
  const auto table = weights_of(run.model()).at("fields.item.weight");
  Features told = run.features(x_);
  told.sequences[0] = x_.sequences[1];
  auto& body = dynamic_cast<Represents&>(run.model());
  const auto own = body.represent(run.features(x_)), mixed = body.represent(told);
  const auto events = at::stack({(table[7] + table[1]) / 2, at::zeros({3}), table[2]});
  const auto items = table.index_select(0, at::tensor({4, 5, 6}));
  for (const auto& [more, expected] : {std::pair{"vectors: false, mix_history: false", own},
                                       {"vectors: false", mixed},
                                       {"state: false", at::cat({items, events}, 1)},
                                       {"mix_history: true", at::cat({mixed, items, events}, 1)}}) {
    const auto model = make(more);
    auto weights = weights_of(*model);
    const auto w = at::arange(1, expected.size(1) + 1, at::kFloat).view({1, -1});
    weights.at("output.weight").copy_(w), weights.at("output.bias").fill_(0.5);
    const auto scale = 1 / std::sqrt(1 + 1e-5);  // the norm has seen no row: mean 0, variance 1
    EXPECT_TRUE(at::allclose(model->forward(x_).logit, (expected * w).sum(1) * scale + 0.5, 1e-4, 1e-5)) << more;
  }
}

TEST_F(ProbeModel, OnlyTheRegressionLearns) {
  const auto model = make("state: true");
  std::vector<std::string> names;
  for (const auto& p : model->named_parameters()) names.push_back(p.key());
  EXPECT_THAT(names, UnorderedElementsAre("output.weight", "output.bias"));
  EXPECT_THAT(config_error([&] { make("state: false, vectors: false"); }), HasSubstr("nothing is left to read"));
  EXPECT_THAT(config_error([&] { make_model(Config::parse("{name: probe}"), schema_); }), HasSubstr("ctr: missing"));
}

}  // namespace
}  // namespace interplay::probe_model_test
