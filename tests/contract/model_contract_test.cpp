// What every registered model must keep, with its default options, on every device that is present. A new model is
// tested by existing.
#include <atomic>
#include <cmath>
#include <random>
#include <thread>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/core/objective.h>
#include <interplay/core/represents.h>
#include <interplay/core/retriever.h>
#include <interplay/model.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/table_storage.h>
#include <interplay/train/trainer.h>

#include "support/temp_dir.h"
#include "support/toy_rows.h"

namespace interplay::model_contract_test {
namespace {

constexpr int64_t kRows = 64;

/// Tables and layers of their own.
class TowerImpl final : public torch::nn::Module {
 public:
  explicit TowerImpl(const Schema& schema)
      : fields_(register_module("fields", FieldEmbedding(schema, 8, 0.1))),
        mlp_(register_module("mlp", nn::Mlp(fields_->flat_width(), nn::MlpOptions{.hidden = {16}, .output = 1}))) {}
  at::Tensor forward(const Features& x) { return mlp_(fields_(x).flat()).squeeze(1); }

 private:
  FieldEmbedding fields_;
  nn::Mlp mlp_;
};
TORCH_MODULE(Tower);

/// One tower that is registered twice, as towers that share their weights may be: each weight has two names.
class Twins final : public Model {
 public:
  struct Options {
    bool once = false;
    void visit(auto&& field) { field("once", once, "the tower is registered once"); }
  };
  Twins(const Schema& schema, const Options& o) : tower_(schema) {
    register_module("left", tower_);
    if (!o.once) register_module("right", tower_);
  }
  Output forward(const Features& x) override { return tower_(x) + tower_(x); }

 private:
  Tower tower_;
};

INTERPLAY_REGISTER_MODEL("twins", Twins, "a tower under two names");

struct Case {
  std::string model, device;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.model << " on " << c.device; }

/// The toy fields of every kind, and a field that tells each row from every other, so that any model can learn them.
Schema schema_of(size_t labels) {
  auto fields = testing::toy_schema().fields();
  fields.push_back(testing::make_field("row", FieldKind::categorical, kRows + 2));
  return Schema(fields, labels == 1 ? std::vector<std::string>{"click"} : std::vector<std::string>{"click", "like"});
}

EncodedBatch rows(size_t labels) {
  EncodedBatch toy = testing::toy_rows(0, kRows, /*side_columns=*/false), out = toy;
  std::mt19937 coin(17);
  out.ids.clear();
  out.labels.clear();
  for (int64_t r = 0; r < kRows; ++r) {
    out.ids.insert(out.ids.end(), {toy.ids[size_t(2 * r)], toy.ids[size_t(2 * r + 1)], int32_t(r + 1)});
    out.labels.push_back(float(coin() & 1));
    if (labels > 1) out.labels.push_back(out.labels.back() * float(coin() & 1));  // as a purchase follows a click
    out.dense[size_t(r)] /= float(kRows);  // numbers of the order of one, as `standardise` would make them
    for (size_t i = 0; i < 2; ++i) out.vectors[0][size_t(2 * r) + i] /= float(kRows);
  }
  for (float& w : out.sequences[2].weights) w /= float(kRows);
  return out;
}

/// One row of a batch, `count` times.
EncodedBatch repeated(const EncodedBatch& all, int64_t row, int64_t count) {
  const auto part = [&](const auto& values) {
    const size_t width = values.size() / size_t(all.rows);
    return std::vector(values.begin() + row * int64_t(width), values.begin() + (row + 1) * int64_t(width));
  };
  const auto add = [](auto& to, const auto& values) { to.insert(to.end(), values.begin(), values.end()); };
  EncodedBatch out;
  out.rows = count;
  out.sequences.resize(all.sequences.size());
  out.vectors.resize(all.vectors.size());
  for (auto& sequence : out.sequences) sequence.offsets.push_back(0);
  for (int64_t i = 0; i < count; ++i) {
    add(out.ids, part(all.ids));
    add(out.dense, part(all.dense));
    add(out.labels, part(all.labels));
    for (size_t v = 0; v < all.vectors.size(); ++v) add(out.vectors[v], part(all.vectors[v]));
    for (size_t s = 0; s < all.sequences.size(); ++s) {
      const auto& from = all.sequences[s];
      auto& to = out.sequences[s];
      for (int64_t e = from.offsets[size_t(row)]; e < from.offsets[size_t(row) + 1]; ++e) {
        to.ids.push_back(from.ids[size_t(e)]);
        if (!from.weights.empty()) to.weights.push_back(from.weights[size_t(e)]);
      }
      to.offsets.push_back(int64_t(to.ids.size()));
    }
  }
  return out;
}

class ModelContract : public ::testing::TestWithParam<Case> {
 protected:
  ModelContract() : batch_(to_batch(rows(labels()), schema())) { Progress::enable(false); }

  /// One, unless the model is for several alone.
  static size_t labels() {
    try {
      make_model(named(), schema_of(1));
      return 1;
    } catch (const Error&) {
      return 2;
    }
  }
  static Schema schema() { return schema_of(labels()); }

  static Config named() { return Config::scalar(GetParam().model, true); }
  static std::shared_ptr<Model> make(uint64_t seed = 1) { return make_model(named(), schema(), seed); }
  static Config training() {
    Config c = Config::parse("{optimizer: {dense: {name: adam, lr: 3e-3}, embedding: {name: adam, lr: 1e-2}}}");
    c.set("train.device", Config::scalar(GetParam().device, true));
    return c;
  }
  double train(Model& model, int64_t steps, double until = 0) const {
    Trainer trainer(model, training(), schema().labels());
    double loss = 1;
    for (int64_t i = 0; i < steps && loss > until; ++i) loss = trainer.step(batch_);
    return loss;
  }
  /// Of the labels alone: what else a model learns need not come to nothing.
  double label_loss(Model& model) const {
    const at::NoGradGuard no_grad;
    model.train();
    Output out = model.forward(batch_.features);
    if (out.logit.defined()) out.terms.clear();  // a retriever may have none while it trains
    return Objective(Config::scalar("bce"), {}, schema().labels())(out, batch_).total.item<double>();
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
    return Dataset::from(schema(), {rows(labels())}).slice(first, count).features;
  }

  Batch batch_;
};

TEST_P(ModelContract, LogitsAreFiniteOnePerRow) {
  for (const auto& model : {make(), trained()}) {
    model->eval();
    for (const int64_t count : {kRows, int64_t(1), int64_t(0)}) {
      const auto z = logits(*model, slice(0, count));
      if (labels() == 1) {
        EXPECT_EQ(z.sizes(), at::IntArrayRef({count}));
      } else {
        EXPECT_EQ(z.sizes(), at::IntArrayRef({count, 2}));
      }
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
    const auto z = together[r].view({-1}), alone = logits(*model, slice(r, 1)).view({-1});
    EXPECT_TRUE(at::allclose(alone, z, 2e-6, 2e-5)) << "row " << r << ": " << alone << z;
  }
}

/// Ties are ties: AUC counts equal rows half, whatever their places in a batch.
TEST_P(ModelContract, EqualRowsGetEqualLogits) {
  const auto model = trained();
  for (const int64_t row : {0, 5, 6}) {
    for (const int64_t count : {2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 15, 17, 31, 64, 103, 519}) {
      const auto batch = to_batch(repeated(rows(labels()), row, count), schema());
      const auto z = logits(*model, batch.features);
      EXPECT_TRUE(at::equal(z, z.slice(0, 0, 1).expand_as(z)))
          << count << " times row " << row << ": " << z.min() << " to " << z.max();
    }
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
  Objective objective(Config::scalar("bce"), {}, schema().labels());
  objective(model->forward(b.features), b).total.backward();
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
  train(*model, 600, 0.05);
  EXPECT_LT(label_loss(*model), 0.05);
}

TEST_P(ModelContract, SameSeedSameRun) {
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    std::vector<std::map<std::string, at::Tensor>> runs;
    for (int i = 0; i < 2; ++i) {
      const auto model = make(7);
      at::manual_seed(7);  // of what a model draws as it trains
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

TEST_P(ModelContract, OneRowIsABatch) {
  const auto model = make();
  Trainer trainer(*model, training(), schema().labels());
  const Dataset data = Dataset::from(schema(), {rows(labels())});
  for (int64_t r = 0; r < 3; ++r) EXPECT_TRUE(std::isfinite(trainer.step(data.slice(r, 1))));
  for (const auto& [name, w] : weights_of(*model)) EXPECT_TRUE(at::isfinite(w).all().item<bool>()) << name;
}

TEST_P(ModelContract, EqualWeightsAreNone) {
  Batch weighted = batch_;
  weighted.weight = at::full({kRows}, 3.0f);
  std::vector<double> losses;
  for (const auto* batch : {&batch_, &weighted}) {
    const auto model = make();
    Trainer trainer(*model, training(), schema().labels());
    losses.push_back(trainer.step(*batch));
  }
  EXPECT_NEAR(losses[1], losses[0], 1e-5);
}

/// Two labels, the second missing in every other row: a model learns both, each from its own rows, or says that it is
/// for one label alone.
TEST_P(ModelContract, SeveralLabelsAreLearntOrRefusedByName) {
  const Schema two = schema_of(2);
  EncodedBatch encoded = rows(2);
  for (size_t r = 0; r < size_t(kRows); r += 2) encoded.labels[2 * r + 1] = std::nanf("");
  const Batch batch = to_batch(encoded, two);
  const auto model = make_model(named(), two);
  Trainer trainer(*model, training(), two.labels());
  try {
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(std::isfinite(trainer.step(batch)));
  } catch (const Error& problem) {
    EXPECT_NE(std::string(problem.what()).find("fields.labels"), std::string::npos) << problem.what();
    return;
  }
  model->eval();
  const auto z = logits(*model, batch.features);
  EXPECT_TRUE(at::isfinite(z).all().item<bool>());
  EXPECT_TRUE(z.dim() == 1 || z.size(1) == 2);
}

/// Data with fields of one kind alone: a model works with them or says what it lacks.
TEST_P(ModelContract, FieldsOfOneKindAreReadOrRefused) {
  for (const auto kind : {FieldKind::categorical, FieldKind::numeric, FieldKind::sequence, FieldKind::vector}) {
    SCOPED_TRACE(to_string(kind));
    const Schema every = schema();
    std::vector<std::string> names;
    for (const Field* f : every.of(kind)) names.push_back(f->name);
    const Dataset whole = Dataset::from(every, {rows(labels())});
    try {
      const Schema some = every.keep(names);
      const auto model = make_model(named(), some);
      Trainer trainer(*model, training(), some.labels());
      const Batch batch = whole.select(some).slice(0, kRows);
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isfinite(trainer.step(batch)));
    } catch (const Error& problem) {
      EXPECT_EQ(problem.kind(), ErrorKind::config) << problem.what();
    }
  }
}

TEST_P(ModelContract, WhatItRepresentsIsWhatItsLogitIsMadeOf) {
  const auto model = trained();
  auto* const body = dynamic_cast<Represents*>(model.get());
  if (!body) return;
  const at::NoGradGuard no_grad;
  const auto x = batch_.features.to(at::Device(GetParam().device));
  const auto hidden = body->represent(x);
  EXPECT_EQ(hidden.sizes(), at::IntArrayRef({kRows, body->representation_width()}));
  EXPECT_TRUE(at::allclose(body->output(hidden), model->forward(x).logit, 1e-5, 1e-5));
}

TEST_P(ModelContract, WhatItRetrievesByIsWhatItScoresBy) {
  const auto model = trained();
  auto* const retriever = dynamic_cast<Retriever*>(model.get());
  if (!retriever) return;
  const at::NoGradGuard no_grad;
  const auto x = batch_.features.to(at::Device(GetParam().device));
  const auto product = (retriever->queries(x) * retriever->items(x)).sum(1), z = model->forward(x).logit;
  EXPECT_TRUE(at::equal(product.argsort(), z.argsort()));
  EXPECT_NO_THROW(schema().field(retriever->item_field()));
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

TEST(SharedModule, LearnsAsIfItHadOneName) {
  const Schema schema = schema_of(1);
  const Batch batch = to_batch(rows(1), schema);
  const Config training = Config::parse(
      "{optimizer: {dense: {name: adam, lr: 3e-3, l2: 0.1}, embedding: {name: adam, lr: 1e-2, l2: 0.1}}}");
  std::vector<std::map<std::string, at::Tensor>> weights;
  std::vector<int64_t> counts;
  for (const char* once : {"true", "false"}) {
    const auto model = make_model(Config::parse(fmt::format("{{name: twins, once: {}}}", once)), schema, 1);
    Trainer trainer(*model, training, schema.labels());
    for (int i = 0; i < 12; ++i) trainer.step(batch);
    counts.push_back(parameter_count(*model));
    weights.push_back(weights_of(*model));
  }
  EXPECT_EQ(counts[1], counts[0]);
  for (const auto& [name, w] : weights[0]) EXPECT_TRUE(at::equal(w, weights[1].at(name))) << name;
}

INSTANTIATE_TEST_SUITE_P(Every, ModelContract, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.model + "_" + info.param.device; });

}  // namespace
}  // namespace interplay::model_contract_test
