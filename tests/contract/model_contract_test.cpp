// What every registered model must keep, with its default options, on every device that is present. A new model is
// tested by existing.
#include <atomic>
#include <random>
#include <thread>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/nn/embedding.h>
#include <interplay/train/trainer.h>

#include "support/temp_dir.h"
#include "support/toy_rows.h"

namespace interplay {
namespace {

constexpr int64_t kRows = 64;

struct Case {
  std::string model, device;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.model << " on " << c.device; }

/// The toy fields of every kind, and a field that tells each row from every other, so that any model can learn them.
Schema schema() {
  auto fields = testing::toy_schema().fields();
  fields.push_back(testing::make_field("row", FieldKind::categorical, kRows + 2));
  return Schema(fields, {"click"});
}

EncodedBatch rows() {
  EncodedBatch toy = testing::toy_rows(0, kRows, /*side_columns=*/false), out = toy;
  std::mt19937 coin(17);
  out.ids.clear();
  out.labels.clear();
  for (int64_t r = 0; r < kRows; ++r) {
    out.ids.insert(out.ids.end(), {toy.ids[size_t(2 * r)], toy.ids[size_t(2 * r + 1)], int32_t(r + 1)});
    out.labels.push_back(float(coin() & 1));
    out.dense[size_t(r)] /= float(kRows);  // numbers of the order of one, as `standardise` would make them
    for (size_t i = 0; i < 2; ++i) out.vectors[0][size_t(2 * r) + i] /= float(kRows);
  }
  for (float& w : out.sequences[2].weights) w /= float(kRows);
  return out;
}

class ModelContract : public ::testing::TestWithParam<Case> {
 protected:
  ModelContract() : batch_(to_batch(rows(), schema())) { Progress::enable(false); }

  static Config named() { return Config::scalar(GetParam().model, true); }
  static std::shared_ptr<Model> make(uint64_t seed = 1) { return make_model(named(), schema(), seed); }
  static Config training() {
    Config c = Config::parse("{optimizer: {dense: {name: adam, lr: 3e-3}, embedding: {name: adam, lr: 1e-2}}}");
    c.set("train.device", Config::scalar(GetParam().device, true));
    return c;
  }
  double train(Model& model, int64_t steps, double until = 0) const {
    Trainer trainer(model, training());
    double loss = 1;
    for (int64_t i = 0; i < steps && loss > until; ++i) loss = trainer.step(batch_);
    return loss;
  }
  /// Weights that say something: those of a fresh model are so small that many mistakes do not show.
  std::shared_ptr<Model> trained(int64_t steps = 30) const {
    auto model = make();
    train(*model, steps);
    model->eval();
    return model;
  }
  at::Tensor logits(Model& model, const Features& x) const {
    const at::NoGradGuard no_grad;
    return model.forward(x.to(at::Device(GetParam().device))).logit.cpu();
  }
  Features slice(int64_t first, int64_t count) const {
    return Dataset::from(schema(), {rows()}).slice(first, count).features;
  }

  Batch batch_;
};

TEST_P(ModelContract, LogitsAreFiniteOnePerRow) {
  for (const auto& model : {make(), trained()}) {
    model->eval();
    for (const int64_t count : {kRows, int64_t(1)}) {
      const auto z = logits(*model, slice(0, count));
      EXPECT_EQ(z.sizes(), at::IntArrayRef({count}));
      EXPECT_EQ(z.scalar_type(), at::kFloat);
      EXPECT_TRUE(at::isfinite(z).all().item<bool>());
    }
  }
}

TEST_P(ModelContract, RowsDoNotSeeTheirNeighbours) {
  const auto model = trained();
  const auto together = logits(*model, batch_.features);
  ASSERT_GT(together.std().item<double>(), 0.01) << "logits too much alike to tell";
  for (int64_t r = 0; r < kRows; ++r) {
    // Products of other sizes may add up in another order: a few units in the last place of the largest term.
    const double z = together[r].item<double>();
    EXPECT_NEAR(logits(*model, slice(r, 1)).item<double>(), z, 2e-5 + 2e-6 * std::abs(z)) << "row " << r;
  }
}

TEST_P(ModelContract, EvaluationChangesNothing) {
  const auto model = trained();
  std::map<std::string, at::Tensor> before;
  for (const auto& [name, w] : weights_of(*model)) before[name] = w.clone();
  logits(*model, batch_.features);
  for (const auto& [name, w] : weights_of(*model)) EXPECT_TRUE(at::equal(w, before.at(name))) << name;
}

TEST_P(ModelContract, EveryWeightGetsAGradient) {
  const auto model = trained(3);
  model->train();
  const Batch b = batch_.to(at::Device(GetParam().device));
  const Output out = model->forward(b.features);
  auto loss = at::binary_cross_entropy_with_logits(out.logit, b.labels.squeeze(1));
  for (const auto& a : out.auxiliary)
    loss = loss + a.weight * at::binary_cross_entropy_with_logits(a.logit, b.labels.squeeze(1));
  if (out.penalty.defined()) loss = loss + out.penalty;
  loss.backward();
  for (const auto& p : model->named_parameters()) {
    ASSERT_TRUE(p.value().grad().defined()) << p.key();
    EXPECT_TRUE(at::isfinite(p.value().grad()).all().item<bool>()) << p.key();
    EXPECT_GT(p.value().grad().abs().max().item<double>(), 0) << p.key();
  }
  const auto tables = nn::tables_of(*model);
  EXPECT_FALSE(tables.empty());
  for (const auto& t : tables) {
    ASSERT_TRUE(t.table->table().touched()) << t.name;
    EXPECT_GT(t.table->table().take().grad.abs().max().item<double>(), 0) << t.name;
  }
}

TEST_P(ModelContract, LearnsSixtyFourRowsByHeart) {
  const auto model = make();
  EXPECT_LT(train(*model, 600, 0.05), 0.05);
}

TEST_P(ModelContract, SameSeedSameRun) {
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    std::vector<std::map<std::string, at::Tensor>> runs;
    for (int i = 0; i < 2; ++i) {
      const auto model = make(7);
      train(*model, 12);
      runs.push_back(weights_of(*model));
    }
    for (const auto& [name, w] : runs[0]) EXPECT_TRUE(at::equal(w, runs[1].at(name))) << name;
  }
  const auto one = weights_of(*make(1)), two = weights_of(*make(2));
  bool differ = false;
  for (const auto& [name, w] : one) differ = differ || !at::equal(w, two.at(name));
  EXPECT_TRUE(differ) << "the seed decides nothing";
}

TEST_P(ModelContract, SavedAndLoadedItScoresTheSame) {
  const auto model = trained();
  const testing::TempDir dir;
  Config config;
  config.set("model", named());
  config.set("model", models().resolve(config["model"]));
  save_bundle(dir / "run", *model, config, schema());
  const auto again = Bundle::open(dir / "run").model();
  EXPECT_FALSE(again->is_training());
  move_model(*again, at::Device(GetParam().device));
  EXPECT_TRUE(at::equal(logits(*again, batch_.features), logits(*model, batch_.features)));
}

TEST_P(ModelContract, ManyThreadsMayScoreAtOnce) {
  const auto model = trained();
  const auto alone = logits(*model, batch_.features);
  std::vector<std::thread> threads;
  std::atomic<int> same = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) same += at::allclose(logits(*model, batch_.features), alone, 0, 1e-5) ? 1 : 0;
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(same, 20);
}

TEST_P(ModelContract, OptionsSurviveBeingWritten) {
  const Config resolved = models().resolve(named());
  EXPECT_EQ(models().resolve(Config::parse(resolved.yaml())), resolved);
  EXPECT_FALSE(models().find(named()).doc.empty());
  for (const auto& option : models().find(named()).options()) EXPECT_FALSE(option.doc.empty()) << option.name;
}

TEST_P(ModelContract, UnknownOptionIsRefused) {
  Config config;
  config.set("name", named());
  config.set("embeding_dim", Config::scalar("4"));
  try {
    make_model(config, schema());
    FAIL() << "accepted";
  } catch (const Error& problem) {
    EXPECT_NE(std::string(problem.what()).find("embeding_dim"), std::string::npos) << problem.what();
    EXPECT_NE(std::string(problem.what()).find(GetParam().model), std::string::npos) << problem.what();
  }
}

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const auto& name : models().names()) {
    out.push_back({name, "cpu"});
    if (at::hasCUDA()) out.push_back({name, "cuda"});
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Every, ModelContract, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.model + "_" + info.param.device; });

}  // namespace
}  // namespace interplay
