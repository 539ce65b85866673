#include <interplay/core/bundle.h>
#include <interplay/core/warm_start.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/data/dataset.h>
#include <interplay/data/prepare.h>
#include <interplay/nn/embedding.h>

#include "support/error_of.h"
#include "support/temp_dir.h"
#include "support/toy_rows.h"

namespace fs = std::filesystem;

namespace interplay::bundle_test {
namespace {

using testing::config_error;
using testing::data_error;
using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempDir;
using testing::toy_schema;

std::vector<std::string> names_of(const Schema& schema) {
  std::vector<std::string> names;
  for (const auto& f : schema.fields()) names.push_back(f.name);
  return names;
}

TEST(SelectFields, KeepsAndDropsByName) {
  const auto select = [](const char* config) { return names_of(select_fields(toy_schema(), Config::parse(config))); };
  EXPECT_EQ(select("{}"), names_of(toy_schema()));
  EXPECT_THAT(select("{keep: [age, user_id]}"), ElementsAre("user_id", "age"));
  EXPECT_THAT(select("{drop: [image, tags]}"), ElementsAre("user_id", "item_id", "age", "hist", "hist_ratings"));
  EXPECT_THAT(select("{drop: [hist]}"), ElementsAre("user_id", "item_id", "age", "tags", "image"));  // and its pair
  EXPECT_THAT(select("{keep: [user_id, item_id, age], drop: [age]}"), ElementsAre("user_id", "item_id"));
}

TEST(SelectFields, NumbersTheColumnsThatAreLeftAnew) {
  const Schema schema = select_fields(toy_schema(), Config::parse("{keep: [item_id, tags]}"));
  EXPECT_EQ(schema.field("item_id").column, 0);
  EXPECT_EQ(schema.field("tags").column, 0);
  EXPECT_THAT(schema.labels(), ElementsAre("click", "like"));
}

TEST(SelectFields, ChoosesAmongTheLabels) {
  const Schema schema = select_fields(toy_schema(), Config::parse("{keep: [age], labels: [like]}"));
  EXPECT_THAT(schema.labels(), ElementsAre("like"));
  EXPECT_THAT(names_of(schema), ElementsAre("age"));
}

TEST(SelectFields, SaysHowWideTheRowsOfATableAre) {
  const Schema schema = select_fields(toy_schema(), Config::parse("{drop: [age], widths: {item_id: 3}}"));
  EXPECT_EQ(schema.field("item_id").width, 3);
  EXPECT_EQ(schema.field("hist").width, 3);  // reads the same table
  EXPECT_EQ(schema.field("user_id").width, 0);
  EXPECT_EQ(schema.fingerprint(), toy_schema().drop({"age"}).fingerprint());  // ids mean what they meant
}

TEST(SelectFields, NamesWhatIsUnknown) {
  const auto say = [](const char* config) {
    return config_error([&] { select_fields(toy_schema(), Config::parse(config)); });
  };
  EXPECT_THAT(say("{keep: [user_ids]}"), HasSubstr("no field 'user_ids'; did you mean 'user_id'?"));
  EXPECT_THAT(say("{drop: [agee]}"), HasSubstr("no field 'agee'; did you mean 'age'?"));
  EXPECT_THAT(say("{keeps: [age]}"), HasSubstr("keep"));
  EXPECT_THAT(say("{labels: [clicks]}"), HasSubstr("no label 'clicks' (labels: click, like)"));
  EXPECT_THAT(say("{widths: {item_ids: 3}}"),
              HasSubstr("widths: there is no table 'item_ids'; did you mean 'item_id'?"));
  EXPECT_THAT(say("{widths: {item_id: 0}}"), HasSubstr("table 'item_id' cannot be 0 wide"));
}

/// Prepared data of one item column, which tokens decide.
class BundleOfItems : public ::testing::Test {
 protected:
  BundleOfItems() { Progress::enable(false); }

  /// A row for each letter of `items`. Tokens get ids by falling count, then by bytes.
  fs::path prepare_items(const std::string& name, const std::string& items, const fs::path& vocabulary_from = {},
                         const std::string& field = "{column: item, kind: categorical}", bool new_tokens = true) {
    std::string csv = "click,item\n";
    for (size_t i = 0; i < items.size(); ++i) csv += fmt::format("{},{}\n", i % 2, items[i]);
    dir_.write(name + ".csv", csv);
    dir_.write(name + ".yaml",
               fmt::format("format: csv\nfiles: {{train: {}.csv}}\nlabel: click\nfields: [{}]\n", name, field));
    PrepareOptions options;
    options.vocabulary_from = vocabulary_from;
    options.new_tokens = new_tokens;
    prepare(Config::load(dir_ / (name + ".yaml")), dir_ / name, options);
    return dir_ / name;
  }

  static std::shared_ptr<Model> make(const fs::path& prepared, uint64_t seed = 1) {
    return make_model(config()["model"], Schema::load(prepared / "schema.yaml"), seed);
  }
  static Config config() { return Config::parse("{model: {name: fm, embedding_dim: 2}, seed: 1}"); }

  /// A run on prepared data: item row r is (r, r / 8), its linear weight 10 r, the bias 0.5.
  Bundle save(const fs::path& prepared, const std::string& name = "run") {
    const at::NoGradGuard no_grad;
    const auto model = make(prepared);
    auto weights = weights_of(*model);
    for (int64_t r = 1; r < weights.at(kItem).size(0); ++r) {
      weights.at(kItem)[r].copy_(at::tensor({float(r), float(r) / 8}));
      weights.at(kLinear)[r].fill_(float(10 * r));
    }
    weights.at("linear.bias").fill_(0.5);
    save_bundle(dir_ / name, *model, config(), Schema::load(prepared / "schema.yaml"), prepared);
    return Bundle::open(dir_ / name);
  }

  static constexpr const char* kItem = "fields.item.weight";
  static constexpr const char* kLinear = "linear.weights.item.weight";
  TempDir dir_;
};

TEST_F(BundleOfItems, OpensWhereverItIsMoved) {
  const auto prepared = prepare_items("data", "aaabbc");
  const auto saved = save(prepared);
  EXPECT_TRUE(saved.finished());
  fs::rename(dir_ / "run", dir_ / "moved");
  fs::remove_all(prepared);
  const Bundle bundle = Bundle::open(dir_ / "moved");
  EXPECT_EQ(bundle.directory(), dir_ / "moved");
  EXPECT_EQ(bundle.config()["model"]["embedding_dim"].as<int64_t>(), 2);
  EXPECT_THAT(names_of(bundle.schema()), ElementsAre("item"));
  EXPECT_EQ(Encoder::load(dir_ / "moved").token("item", 2), "b");
  const auto model = bundle.model();
  EXPECT_FALSE(model->is_training());
  EXPECT_EQ(weights_of(*model).at(kLinear)[4].item<float>(), 40);
  EXPECT_EQ(weights_of(*model).at("linear.bias").item<float>(), 0.5);
}

TEST_F(BundleOfItems, SaysWhatADirectoryLacks) {
  EXPECT_THAT(data_error([&] { Bundle::open(dir_ / "absent"); }), HasSubstr("no such run directory"));
  EXPECT_THAT(data_error([&] { Bundle::open(dir_.path()); }),
              HasSubstr("has no config.yaml; it is not a run directory"));
  const auto prepared = prepare_items("data", "aab");
  start_bundle(dir_ / "begun", config(), Schema::load(prepared / "schema.yaml"), prepared);
  EXPECT_THAT(data_error([&] { Bundle::open(dir_ / "begun"); }), HasSubstr("has no model.safetensors yet"));
  save_weights(dir_ / "begun" / Bundle::kWeights, *make(prepared));
  EXPECT_FALSE(Bundle::open(dir_ / "begun").finished());
}

TEST_F(BundleOfItems, NoticesAFileThatWasChanged) {
  save(prepare_items("data", "aab"));
  write_file(dir_ / "run" / "config.yaml", read_file(dir_ / "run" / "config.yaml") + "# a thought\n");
  EXPECT_THAT(data_error([&] { Bundle::open(dir_ / "run"); }), HasSubstr("config.yaml"));
}

TEST_F(BundleOfItems, MayHaveALongerLogThanWhenItWasFinished) {
  save(prepare_items("data", "aab"));
  dir_.write("run/train.log", "read again\n");
  EXPECT_NO_THROW(Bundle::open(dir_ / "run"));
}

TEST_F(BundleOfItems, CorrectsLogitsForTheShareOfNegativesItWasTrainedOn) {
  const auto prepared = prepare_items("data", "aab");
  const Schema schema = Schema::load(prepared / "schema.yaml");
  const auto offset = [&](const std::string& name, const char* train) {
    Config c = config();
    c.set("train", Config::parse(train));
    save_bundle(dir_ / name, *make(prepared), c, schema, prepared);
    return Bundle::open(dir_ / name).logit_offsets();
  };
  EXPECT_THAT(offset("sampled", "{negative_rate: 0.25}"), ElementsAre(DoubleEq(std::log(0.25))));
  EXPECT_THAT(offset("whole", "{negative_rate: 1}"), IsEmpty());
  EXPECT_THAT(offset("silent", "{epochs: 1}"), IsEmpty());
}

TEST_F(BundleOfItems, AcceptsDataWhoseIdsMeanTheSame) {
  const auto prepared = prepare_items("data", "aaabbc");
  const auto bundle = save(prepared);
  EXPECT_NO_THROW(bundle.check_data(prepared));
  EXPECT_NO_THROW(bundle.check_data(prepare_items("again", "aaabbc")));
  EXPECT_NO_THROW(bundle.check_data(prepare_items("more", "cccba", dir_ / "run")));  // counted otherwise
  const std::string said = data_error([&] { bundle.check_data(prepare_items("new", "ad", dir_ / "run")); });
  EXPECT_THAT(said, HasSubstr("--vocabulary-from " + (dir_ / "run").string() + " --no-new-tokens"));
}

TEST_F(BundleOfItems, WithoutNewTokensTheyAreUnseen) {
  const auto bundle = save(prepare_items("data", "aaabbc"));
  const auto day2 = prepare_items("day2", "cda", dir_ / "run", "{column: item, kind: categorical}", false);
  EXPECT_NO_THROW(bundle.check_data(day2));
  EXPECT_EQ(Schema::load(day2 / "schema.yaml").fields()[0].rows, 5);
}

TEST_F(BundleOfItems, RefusesDataWithAnotherVocabulary) {
  const auto bundle = save(prepare_items("data", "aaabbc"));
  const std::string said = data_error([&] { bundle.check_data(prepare_items("other", "abbbcc")); });
  EXPECT_THAT(said, HasSubstr("its vocabulary 'item' is not the one that"));
  EXPECT_THAT(said, HasSubstr("--vocabulary-from " + (dir_ / "run").string()));
  EXPECT_THAT(data_error([&] { bundle.check_data(dir_.path()); }), HasSubstr("its vocabulary 'item'"));
}

// Of a 3, b 2 and c 1 with ids 1 to 3, 4 is unseen. Then d comes most often, and e: they are appended as 4 and 5.
TEST_F(BundleOfItems, WarmStartKeepsOldRowsAndStartsNewOnesAsTheUnseenRow) {
  const auto bundle = save(prepare_items("data", "aaabbc"));
  const auto grown = prepare_items("grown", "ddddceee", dir_ / "run");
  const Encoder encoder = Encoder::load(grown);
  ASSERT_EQ(encoder.schema().field("item").rows, 7);
  ASSERT_EQ(encoder.token("item", 1) + encoder.token("item", 3) + encoder.token("item", 4), "acd");
  const auto model = make(grown, 9);
  WarmStart(*model, encoder.schema(), grown).copy(bundle);
  const auto weights = weights_of(*model);
  // padding, a, b, c, d, e, unseen; d and e begin where unseen was, row 4 of old
  EXPECT_TRUE(
      at::equal(weights.at(kItem),
                at::tensor({0.f, 0.f, 1.f, .125f, 2.f, .25f, 3.f, .375f, 4.f, .5f, 4.f, .5f, 4.f, .5f}).view({7, 2})))
      << weights.at(kItem);
  EXPECT_TRUE(at::equal(weights.at(kLinear).flatten(), at::tensor({0.f, 10.f, 20.f, 30.f, 40.f, 40.f, 40.f})));
  EXPECT_EQ(weights.at("linear.bias").item<float>(), 0.5);
}

TEST_F(BundleOfItems, WarmStartOnTheSameVocabularyCopiesEveryRow) {
  const auto prepared = prepare_items("data", "aaabbc");
  const auto bundle = save(prepared);
  const auto model = make(prepared, 9);
  WarmStart(*model, bundle.schema(), prepared).copy(bundle);
  for (const auto& [name, w] : weights_of(*bundle.model()))
    EXPECT_TRUE(at::equal(weights_of(*model).at(name), w)) << name;
}

TEST_F(BundleOfItems, WarmStartGoesOnFromAWarmStart) {
  save(prepare_items("data", "aaabbc"));
  const auto second = prepare_items("second", "dd", dir_ / "run");
  const auto bundle = save(second, "run2");  // rows (r, r / 8) of 6
  const auto third = prepare_items("third", "ef", dir_ / "run2");
  const auto model = make(third);
  WarmStart(*model, Schema::load(third / "schema.yaml"), third).copy(bundle);
  EXPECT_TRUE(
      at::equal(weights_of(*model).at(kLinear).flatten(), at::tensor({0.f, 10.f, 20.f, 30.f, 40.f, 50.f, 50.f, 50.f})));
}

TEST_F(BundleOfItems, WarmStartRefusesIdsThatMeanSomethingElse) {
  const auto bundle = save(prepare_items("data", "aaabbc"));
  const auto other = prepare_items("other", "bbbaacd");  // b is 1 now
  const auto model = make(other);
  const std::string said =
      data_error([&] { WarmStart(*model, Schema::load(other / "schema.yaml"), other).copy(bundle); });
  EXPECT_THAT(said, HasSubstr("id 1 of table 'item' is 'b', but 'a' in"));
  EXPECT_THAT(said, HasSubstr("--vocabulary-from"));
}

TEST_F(BundleOfItems, WarmStartRefusesATableThatShrank) {
  const auto bundle = save(prepare_items("data", "aaabbc"));
  const auto smaller = prepare_items("smaller", "aaab");
  const auto model = make(smaller);
  EXPECT_THAT(data_error([&] { WarmStart(*model, Schema::load(smaller / "schema.yaml"), smaller).copy(bundle); }),
              HasSubstr("table 'item' has 4 rows, "));
}

TEST_F(BundleOfItems, WarmStartRefusesAnotherNumberOfBuckets) {
  const std::string hashed = "{{column: item, kind: categorical, hash_buckets: {}}}";
  const auto bundle = save(prepare_items("data", "aaabbc", {}, fmt::format(fmt::runtime(hashed), 10)));
  const auto wider = prepare_items("wider", "aaabbc", {}, fmt::format(fmt::runtime(hashed), 20));
  const auto model = make(wider);
  EXPECT_THAT(data_error([&] { WarmStart(*model, Schema::load(wider / "schema.yaml"), wider).copy(bundle); }),
              HasSubstr("table 'item' is hashed into 22 rows, in " + (dir_ / "run").string() + " into 12"));
}

TEST_F(BundleOfItems, WarmStartCopiesWhatFitsAndSaysWhatIsFresh) {
  const auto prepared = prepare_items("data", "aaabbc");
  const auto bundle = save(prepared);
  const auto grown = prepare_items("grown", "d", dir_ / "run");
  const Schema schema = Schema::load(grown / "schema.yaml");
  const auto wider = make_model(Config::parse("{name: fm, embedding_dim: 3}"), schema);
  const auto fresh = weights_of(*wider).at(kItem).clone();
  WarmStart start(*wider, schema, grown);
  start.copy(bundle);
  EXPECT_TRUE(at::equal(weights_of(*wider).at(kItem), fresh));
  EXPECT_TRUE(at::equal(weights_of(*wider).at(kLinear).flatten(), at::tensor({0.f, 10.f, 20.f, 30.f, 40.f, 40.f})));
  const std::string run = (dir_ / "run").string();
  EXPECT_EQ(start.table(), "  fields.item.weight          6 x 3  fresh: 5 x 2 in " + run + "\n" +
                               "  linear.bias                     1  from " + run + "\n" +
                               "  linear.weights.item.weight  6 x 1  from " + run + ": 1 new rows");
}

TEST_F(BundleOfItems, WarmStartOfAPartCopiesBelowItsName) {
  const auto prepared = prepare_items("data", "aaabbc");
  const auto bundle = save(prepared);
  const auto both = make_model(Config::parse("{name: ensemble, members: [{name: lr}, {name: fm, embedding_dim: 2}]}"),
                               bundle.schema());
  const std::string part = "member1";
  WarmStart start(*both, bundle.schema(), prepared);
  start.copy(bundle, part);
  const auto weights = weights_of(*both);
  for (const auto& [name, w] : weights_of(*bundle.model())) EXPECT_TRUE(at::equal(weights.at(part + "." + name), w));
  for (const auto& w : start.weights()) EXPECT_EQ(w.run.empty(), !w.name.starts_with(part + ".")) << w.name;
  EXPECT_THAT(data_error([&] { WarmStart(*both, bundle.schema(), prepared).copy(bundle, "nowhere"); }),
              HasSubstr("none of its weights fits this model's part 'nowhere'"));
}

TEST_F(BundleOfItems, WarmStartTakesAPartOfARun) {
  const auto prepared = prepare_items("data", "aaabbc");
  const Schema schema = Schema::load(prepared / "schema.yaml");
  const Config ensemble =
      Config::parse("{model: {name: ensemble, members: [{name: lr}, {name: fm, embedding_dim: 2}]}}");
  const auto both = make_model(ensemble["model"], schema, 5);
  save_bundle(dir_ / "both", *both, ensemble, schema, prepared);
  const auto model = make_model(Config::parse("{name: fm, embedding_dim: 2}"), schema, 9);
  WarmStart start(*model, schema, prepared);
  const std::string source = (dir_ / "both").string() + ":member1";
  Config init;
  init.set_key(source, Config::scalar("", true));
  start.copy_all(init);
  const auto whole = weights_of(*both);
  for (const auto& [name, w] : weights_of(*model)) EXPECT_TRUE(at::equal(w, whole.at("member1." + name))) << name;
  const auto again = make_model(ensemble["model"], schema, 9);  // a part as another part
  WarmStart(*again, schema, prepared).copy(Bundle::open(dir_ / "both"), "member0", "member1");
  EXPECT_TRUE(at::equal(weights_of(*again).at("member0.linear.bias"), whole.at("member1.linear.bias")));
  EXPECT_THAT(data_error([&] { WarmStart(*model, schema, prepared).copy(Bundle::open(dir_ / "both"), "", "member"); }),
              HasSubstr("the model of this run has no part 'member' (parts: member0, member1)"));
}

TEST_F(BundleOfItems, APartOfARunStandsBehindItsLastColon) {
  EXPECT_EQ(RunPart::parse("runs/flip").run, "runs/flip");
  EXPECT_EQ(RunPart::parse("runs/flip").part, "");
  EXPECT_EQ(RunPart::parse("a:b/flip:text").run, "a:b/flip");
  EXPECT_EQ(RunPart::parse("a:b/flip:text").part, "text");
  const fs::path folder = dir_ / "flip:text";
  fs::create_directory(folder);
  EXPECT_EQ(RunPart::parse(folder.string()).run, folder);
}

}  // namespace
}  // namespace interplay::bundle_test
