// Vectors by key in a model's fields: fields.pretrained and fields.augment.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/augmenter.h>
#include <interplay/core/bundle.h>
#include <interplay/core/field_embedding.h>
#include <interplay/core/vector_table.h>
#include <interplay/data/dataset.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/data/prepare.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/safetensors.h>
#include <interplay/train/run.h>

#include "corrupt/alter.h"
#include "support/error_of.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::vectors_test {
namespace {

using ::testing::AllOf;
using testing::config_error;
using testing::data_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TempDir;

constexpr const char* kData = R"(
files: {train: rows.csv}
label: y
fields:
  - {column: user}
  - {column: item, catalogue: items.csv}
  - {column: past, kind: sequence, separator: "|", share: item, target: item}
)";

/// Items by falling count: a (id 1), b (2), c (3), then d (4) of the catalogue alone; 5 is unseen. `c` has no vector.
class Vectors : public ::testing::Test {
 protected:
  Vectors() {
    Progress::enable(false);
    log::set_level(log::Level::error);
    dir_.write("rows.csv", "y,user,item,past\n1,u,b,\n0,u,b,a\n1,v,b,a|b\n0,v,a,c|c|a\n1,u,a,\n0,v,c,b\n");
    dir_.write("items.csv", "item\na\nd\n");
    dir_.write("data.yaml", kData);
    prepare(Config::load(dir_ / "data.yaml"), dir_ / "data");
    VectorWriter out(dir_ / "v.parquet", 2);
    out.write(std::vector<std::string>{"a", "b", "d", "z"}, std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});
    out.close();
  }
  ~Vectors() override { log::set_level(log::Level::info); }

  Schema with(const std::string& fields) const {
    return select_fields(Schema::load(dir_ / "data" / "schema.yaml"), Config::parse(fields));
  }
  std::string file() const { return (dir_ / "v.parquet").string(); }
  Schema pretrained(const std::string& mode) const {
    return with(fmt::format("{{pretrained: {{item: {{from: {}, mode: {}}}}}}}", file(), mode));
  }
  Features rows(const Schema& schema) const {
    return Dataset::open(dir_ / "data", "train").select(schema).slice(0, 6).features;
  }

  const TempDir dir_;
};

/// By item: b b b a a c
const std::vector<float> kItems{3, 4, 3, 4, 3, 4, 1, 2, 1, 2, 0, 0};
/// By the mean over past: none, a, (a + b) / 2, (c + c + a) / 3, none, b
const std::vector<float> kPast{0, 0, 1, 2, 2, 3, 1 / 3.f, 2 / 3.f, 0, 0, 3, 4};

at::Tensor matrix(const std::vector<float>& values) { return at::tensor(values).view({-1, 2}); }

TEST_F(Vectors, OfACatalogueGetIdsThoughNoTrainingRowHasThem) {
  EXPECT_EQ(with("{}").field("item").rows, 6);
  const Encoder encoder = Encoder::load(dir_ / "data");
  EXPECT_EQ(encoder.token("item", 4), "d");
  RawBatch raw;
  raw.rows = 1;
  raw.columns = {make_raw_column("user", {"u"}), make_raw_column("item", {"d"}), make_raw_column("past", {"z"})};
  EXPECT_THAT(encoder.encode(raw, {.labels = false}).ids, ElementsAre(::testing::_, 4));
}

TEST_F(Vectors, FrozenTheyAreTheRowsAlsoOfAHistory) {
  const Schema schema = pretrained("frozen");
  FieldEmbedding fields(schema, 2);
  const auto x = rows(schema);
  EXPECT_THAT(fields->names(), ElementsAre("user", "item", "past"));
  const auto e = fields(x).tensor();
  EXPECT_TRUE(at::allclose(e.select(1, 1), matrix(kItems)));
  EXPECT_TRUE(at::allclose(e.select(1, 2), matrix(kPast)));
  EXPECT_TRUE(at::allclose(fields->field(x, "item"), matrix(kItems)));
  EXPECT_EQ(fields->sequence(x, "past").vectors.sizes(), (std::vector<int64_t>{7, 2}));
  EXPECT_EQ(parameter_count(*fields), 2 * 4);  // the users' table: padding, two users, unseen
  EXPECT_EQ(weights_of(*fields).count("item_frozen.vectors"), 1u);
}

TEST_F(Vectors, FrozenTheyNeitherMoveNorHaveState) {
  const auto experiment =
      Config::parse(fmt::format("{{model: {{name: fm, embedding_dim: 2}}, fields: {{pretrained: {{item: {{from: {}, "
                                "mode: frozen}}}}}}, optimizer: "
                                "{{embedding: {{name: adam, lr: 0.1, l2: 0.1}}}}, train: {{epochs: 2, batch_size: 2, "
                                "checkpoint_every: 1, metrics: "
                                "[logloss], monitor: logloss}}, threads: 1}}",
                                file()));
  train_run(experiment, {.data = dir_ / "data", .out = dir_ / "run"});
  const nn::Safetensors weights(dir_ / "run" / Bundle::kWeights);
  EXPECT_TRUE(at::equal(weights.at("fields.item_frozen.vectors"), matrix({0, 0, 1, 2, 3, 4, 0, 0, 5, 6, 0, 0})));
  EXPECT_GT(weights.at("fields.user.weight").abs().max().item<float>(), 0.01);  // the others have moved
  std::string latest = read_file(dir_ / "run" / "LATEST");
  latest.pop_back();
  const nn::Safetensors state(dir_ / "run" / latest / "optimizer.safetensors");
  EXPECT_TRUE(state.has("fields.user.weight"));
  for (const auto& [name, tensor] : state.tensors())
    EXPECT_THAT(name, ::testing::Not(HasSubstr("fields.item"))) << name;
}

TEST_F(Vectors, RowsStartFromThemAndThoseWithoutAsUsual) {
  const Schema schema = pretrained("init");
  FieldEmbedding fields(schema, 2);
  for (const auto& t : nn::tables_of(*fields)) {
    if (t.name != "item") continue;
    const auto w = t.table->weight();
    EXPECT_TRUE(at::equal(w.index_select(0, at::tensor({0, 1, 2, 4})), matrix({0, 0, 1, 2, 3, 4, 5, 6})));
    EXPECT_LT(w.index_select(0, at::tensor({3, 5})).abs().max().item<float>(), 1e-3);
    EXPECT_GT(w.index_select(0, at::tensor({3, 5})).abs().min().item<float>(), 0);
  }
  EXPECT_EQ(parameter_count(*fields), 2 * (4 + 6));
  EXPECT_THAT(fields->names(), ElementsAre("user", "item", "past"));
}

TEST_F(Vectors, BesideWhatIsLearntTheyAreAFieldThroughAProjection) {
  const Schema schema = pretrained("concat");
  FieldEmbedding fields(schema, 3);
  EXPECT_THAT(fields->names(), ElementsAre("user", "item", "past", "item.vector"));
  EXPECT_EQ(vector_names(schema), fields->names());
  const at::NoGradGuard no_grad;
  fields->named_parameters()["item_vector_projection.weight"].copy_(at::tensor({1., 0., 0., 1., 1., 1.}).view({3, 2}));
  const auto e = fields(rows(schema)).tensor();
  const auto v = matrix(kItems);
  EXPECT_TRUE(at::allclose(e.select(1, 3), at::cat({v, v.sum(1, true)}, 1)));
  EXPECT_EQ(parameter_count(*fields), 3 * (4 + 6) + 6);
}

TEST_F(Vectors, ThoseOfAnotherWidthAreRefusedWithTheRemedy) {
  for (const char* mode : {"init", "frozen"}) {
    EXPECT_THAT(config_error([&] { FieldEmbedding(pretrained(mode), 16); }),
                AllOf(HasSubstr("fields.pretrained.item"), HasSubstr("vectors of 2 numbers"), HasSubstr("have 16"),
                      HasSubstr("set model.embedding_dim to 2"), HasSubstr("mode: concat")));
  }
}

TEST_F(Vectors, WhatCannotBeMeantIsRefused) {
  const auto problem = [&](const std::string& fields) {
    return config_error([&] { FieldEmbedding(with(fields), 2); });
  };
  EXPECT_THAT(problem("{pretrained: {itm: {from: v}}}"), AllOf(HasSubstr("pretrained"), HasSubstr("'item'")));
  EXPECT_THAT(problem("{pretrained: {item: {mode: init}}}"), HasSubstr("pretrained.item.from"));
  EXPECT_THAT(problem("{pretrained: {item: {from: v, mode: fixed}}}"), HasSubstr("init"));
  EXPECT_THAT(problem("{pretrained: [item]}"), HasSubstr("expected a map"));
  EXPECT_THAT(problem("{augment: [{name: text_vector, from: v}]}"), HasSubstr("text_vectors"));
  EXPECT_THAT(problem("{augment: [{name: text_vectors, fields: [item]}]}"), HasSubstr("from"));
  EXPECT_THAT(problem("{augment: [{name: text_vectors, from: v}]}"), HasSubstr("fields"));
  EXPECT_THAT(problem("{augment: {name: text_vectors}}"), HasSubstr("expected a list"));
  EXPECT_THAT(problem("{drop: [item], pretrained: {item: {from: v}}}"), HasSubstr("item"));
  EXPECT_THAT(problem(fmt::format("{{pretrained: {{item: {{from: {0}}}, past: {{from: {0}}}}}}}", file())),
              HasSubstr("share the table 'item'"));
  EXPECT_THAT(problem(fmt::format("{{augment: [{{name: text_vectors, from: {}, fields: [user, item]}}]}}", file())),
              HasSubstr("do not read the same table"));
  EXPECT_THAT(config_error([&] { make_model(Config::scalar("lr"), pretrained("frozen")); }),
              AllOf(HasSubstr("fields.pretrained"), HasSubstr("'lr'")));
  EXPECT_THAT(config_error([&] {
                make_model(
                    Config::parse("{name: two_tower, item: item}"),
                    with(fmt::format("{{augment: [{{name: text_vectors, from: {}, fields: [item, past]}}]}}", file())));
              }),
              AllOf(HasSubstr("'text_vectors'"), HasSubstr("'two_tower'"), HasSubstr("an entry of its own")));
}

TEST_F(Vectors, ThroughAnAdaptorAreFieldsOfEveryModel) {
  const Schema schema = with(fmt::format(
      "{{augment: [{{name: text_vectors, from: {0}, fields: [item, past]}}, {{name: text_vectors, from: {0}, "
      "fields: [item], hidden: [4]}}]}}",
      file()));
  FieldEmbedding fields(schema, 3);
  EXPECT_THAT(fields->names(), ElementsAre("user", "item", "past", "augment.text_vectors.0", "augment.text_vectors.1",
                                           "augment.text_vectors_2.0"));
  EXPECT_EQ(vector_names(schema), fields->names());
  const at::NoGradGuard no_grad;
  auto parameters = fields->named_parameters();
  for (auto& p : parameters) {
    if (p.key().find("augment_text_vectors.adaptor") == std::string::npos) continue;
    p.value().copy_(p.value().dim() == 1 ? at::tensor({1., 2., 3.})
                                         : at::tensor({1., 0., 0., 1., 1., 1.}).view({3, 2}));
  }
  const auto e = fields(rows(schema)).tensor();
  const auto expected = [](const at::Tensor& v) { return at::cat({v, v.sum(1, true)}, 1) + at::tensor({1., 2., 3.}); };
  EXPECT_TRUE(at::allclose(e.select(1, 3), expected(matrix(kItems)).to(at::kFloat)));
  EXPECT_TRUE(at::allclose(e.select(1, 4), expected(matrix(kPast)).to(at::kFloat)));
}

TEST_F(Vectors, PartsOfAModelHaveWhatTheirFieldsTell) {
  const Schema schema = with(fmt::format("{{augment: [{{name: text_vectors, from: {}, fields: [item]}}]}}", file()));
  EXPECT_THAT(FieldEmbedding(schema, EmbeddingOptions{2}, FieldChoice{.only = {{"user"}}})->names(),
              ElementsAre("user"));
  EXPECT_THAT(FieldEmbedding(schema, EmbeddingOptions{2}, FieldChoice{.only = {{"item"}}})->names(),
              ElementsAre("item", "augment.text_vectors.0"));
  EXPECT_THAT(FieldEmbedding(schema, EmbeddingOptions{2}, FieldChoice{.leave_out = {"augment.text_vectors.0", "user"}})
                  ->names(),
              ElementsAre("item", "past"));
}

/// Two vectors of one number, whatever the row says.
class Constant final : public Augmenter {
 public:
  struct Options {
    int64_t wrong = 0;
    void visit(auto&& field) { field("wrong", wrong, "vectors too many"); }
  };
  Constant(const Schema&, int64_t, const Options& o) : wrong_(o.wrong) {}
  at::Tensor augment(const Features& x) override { return at::ones({x.rows, 2 + wrong_, 1}); }
  int64_t count() const override { return 2; }
  int64_t width() const override { return 1; }
  std::vector<std::string> reads() const override { return {}; }

 private:
  int64_t wrong_;
};
INTERPLAY_REGISTER_AUGMENTER("test_constant", Constant, "ones");

TEST_F(Vectors, OfAnotherWidthArePutThroughAProjection) {
  const Schema schema = with("{augment: [test_constant]}");
  FieldEmbedding fields(schema, 3);
  const at::NoGradGuard no_grad;
  fields->named_parameters()["augment_test_constant_projection.weight"].copy_(at::tensor({1., 2., 3.}).view({3, 1}));
  const auto e = fields(rows(schema)).tensor();
  EXPECT_EQ(e.sizes(), (std::vector<int64_t>{6, 5, 3}));
  EXPECT_TRUE(at::allclose(e[2][4], at::tensor({1.f, 2.f, 3.f})));
}

TEST_F(Vectors, AnAugmenterThatDoesNotKeepItsWordIsNamed) {
  const Schema schema = with("{augment: [{name: test_constant, wrong: 1}]}");
  EXPECT_THAT(config_error([&] { FieldEmbedding(schema, 3)(rows(schema)); }),
              AllOf(HasSubstr("'test_constant'"), HasSubstr("[6, 3, 1]"), HasSubstr("expected [6, 2, 1]")));
}

TEST_F(Vectors, AreReadFromSafetensorsToo) {
  const fs::path stored = fs::path(INTERPLAY_TESTS_DIR) / "reference" / "data" / "vectors";
  for (const char* name : {"keyed.safetensors", "half.safetensors"}) {
    const auto v = KeyedVectors::load({.from = (stored / name).string()});
    ASSERT_EQ(v.count(), 3) << name;
    EXPECT_THAT(std::vector<float>(v.find("7").begin(), v.find("7").end()), ElementsAre(10, 10.25, 10.5)) << name;
  }
  EXPECT_THAT(data_error([&] { KeyedVectors::load({.from = (stored / "keyed.safetensors").string(), .vector = "w"}); }),
              AllOf(HasSubstr("there is no entry 'w'"), HasSubstr("entries: keys, vectors")));
  EXPECT_THAT(data_error([&] { KeyedVectors::load({.from = (stored / "half.safetensors").string(), .key = "w"}); }),
              HasSubstr("expected whole numbers"));
  nn::save_safetensors(dir_ / "two.safetensors", {{"a", at::ones({1, 2})}, {"b", at::ones({1, 2})}});
  EXPECT_THAT(data_error([&] { KeyedVectors::load({.from = (dir_ / "two.safetensors").string()}); }),
              HasSubstr("there are several matrices"));
}

TEST_F(Vectors, OfSafetensorsThatWereAlteredAreRefusedOrNumbers) {
  const fs::path stored = fs::path(INTERPLAY_TESTS_DIR) / "reference" / "data" / "vectors";
  const std::string bytes = testing::bytes_of(stored / "keyed.safetensors");
  testing::each_alteration(bytes, {}, [&](const std::string& what, const std::string& altered) {
    testing::put_bytes(dir_ / "v.safetensors", altered);
    try {
      EXPECT_EQ(KeyedVectors::load({.from = (dir_ / "v.safetensors").string()}).count(), 3) << what;
      EXPECT_EQ(altered.size(), bytes.size()) << what;
    } catch (const Error& problem) {
      EXPECT_EQ(problem.kind(), ErrorKind::data) << what << ": " << problem.what();
      EXPECT_THAT(problem.what(), HasSubstr("v.")) << what;
    }
  });
}

TEST_F(Vectors, OfARunThatOthersStartFromAreThoseOfTheNewData) {
  const auto experiment = Config::parse(fmt::format(
      "{{model: {{name: fm, embedding_dim: 2}}, fields: {{pretrained: {{item: {{from: {}, mode: frozen}}}}}}, train: "
      "{{epochs: 1, batch_size: 2, metrics: [logloss], monitor: logloss}}, threads: 1}}",
      file()));
  train_run(experiment, {.data = dir_ / "data", .out = dir_ / "run"});
  dir_.write("items.csv", "item\na\nd\nz\n");  // one more
  prepare(Config::load(dir_ / "data.yaml"), dir_ / "day2", {.vocabulary_from = dir_ / "run"});
  Config next = experiment;
  next.set("init", Config::scalar((dir_ / "run").string(), true));
  train_run(next, {.data = dir_ / "day2", .out = dir_ / "run2"});
  const auto vectors = nn::Safetensors(dir_ / "run2" / Bundle::kWeights).at("fields.item_frozen.vectors");
  EXPECT_TRUE(at::equal(vectors, matrix({0, 0, 1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 0, 0})));
}

TEST_F(Vectors, ARunGoesOnWithThoseItWasBegunWith) {
  const auto experiment = [&](int epochs) {
    return Config::parse(fmt::format(
        "{{model: {{name: fm, embedding_dim: 2}}, fields: {{pretrained: {{item: {{from: {}, mode: frozen}}}}}}, train: "
        "{{epochs: {}, batch_size: 2, metrics: [logloss], monitor: logloss}}, threads: 1}}",
        file(), epochs));
  };
  train_run(experiment(1), {.data = dir_ / "data", .out = dir_ / "run"});
  const Config stored = Config::load(dir_ / "run" / "config.yaml");
  EXPECT_EQ(stored["fields"]["pretrained"]["item"]["mode"].as<std::string>(), "frozen");
  EXPECT_TRUE(resolve_experiment(stored) == resolve_experiment(Config::parse(stored.yaml())));
  const Schema schema = Schema::load(dir_ / "run" / "schema.yaml");
  EXPECT_EQ(schema.field("item").pretrained["from"].as<std::string>(), file());
  VectorWriter out(file(), 2);
  out.write(std::vector<std::string>{"a", "b", "d"}, std::vector<float>{1, 2, 3, 4, 5, 7});
  out.close();
  EXPECT_THAT(
      data_error([&] { train_run(experiment(2), {.data = dir_ / "data", .out = dir_ / "run", .resume = true}); }),
      AllOf(HasSubstr("v.parquet"), HasSubstr("not the vectors that")));
}

}  // namespace
}  // namespace interplay::vectors_test
