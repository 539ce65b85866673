#include <interplay/data/schema.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <interplay/base/files.h>
#include <unistd.h>

namespace interplay::schema_test {
namespace {

Field make(const std::string& name, FieldKind kind, int64_t rows = 0, const std::string& table = "") {
  Field field;
  field.name = name;
  field.kind = kind;
  field.rows = rows;
  field.table = table;
  return field;
}

Schema movies() {
  Field history = make("hist", FieldKind::sequence, 12, "item");
  history.target = "item";
  history.max_length = 30;
  Field ratings = make("hist_ratings", FieldKind::sequence, 7);
  ratings.paired_with = "hist";
  return Schema({make("user", FieldKind::categorical, 5), make("age", FieldKind::numeric),
                 make("item", FieldKind::categorical, 12), history, ratings},
                {"label"});
}

TEST(Schema, ColumnsCountWithinAKind) {
  const Schema schema = movies();
  EXPECT_EQ(schema.field("user").column, 0);
  EXPECT_EQ(schema.field("item").column, 1);
  EXPECT_EQ(schema.field("age").column, 0);
  EXPECT_EQ(schema.field("hist_ratings").column, 1);
}

TEST(Schema, SharedTablesAreListedOnce) {
  const auto tables = movies().tables();
  ASSERT_EQ(tables.size(), 3u);
  EXPECT_EQ(tables[0].name, "user");
  EXPECT_EQ(tables[1].name, "item");
  EXPECT_EQ(tables[1].rows, 12);
  EXPECT_EQ(tables[2].name, "hist_ratings");
}

TEST(Schema, ADroppedSequenceTakesItsPairsAlong) {
  const Schema rest = movies().drop({"hist"});
  EXPECT_EQ(rest.find("hist_ratings"), nullptr);
  EXPECT_EQ(rest.fields().size(), 3u);
}

TEST(Schema, KeepsTheOrderOfTheSchemaNotOfTheList) {
  const Schema some = movies().keep({"item", "user"});
  EXPECT_EQ(some.fields()[0].name, "user");
  EXPECT_EQ(some.fields()[1].name, "item");
}

TEST(Schema, RefusesWhatCannotBe) {
  const auto twice = [] { Schema({make("a", FieldKind::numeric), make("a", FieldKind::numeric)}, {}); };
  const auto sizes = [] {
    Schema({make("a", FieldKind::categorical, 3, "t"), make("b", FieldKind::categorical, 4, "t")}, {});
  };
  const auto target = [] {
    Field field = make("a", FieldKind::sequence, 3);
    field.target = "nobody";
    Schema({field}, {});
  };
  EXPECT_THROW(twice(), Error);
  EXPECT_THROW(sizes(), Error);
  EXPECT_THROW(target(), Error);
}

TEST(Schema, AnUnknownFieldNamesTheNearest) {
  try {
    movies().field("itme");
    FAIL();
  } catch (const Error& problem) {
    EXPECT_NE(std::string(problem.what()).find("did you mean 'item'"), std::string::npos) << problem.what();
  }
}

TEST(Schema, FingerprintFollowsWhatDecidesAnId) {
  const Schema schema = movies();
  EXPECT_EQ(schema.fingerprint(), movies().fingerprint());
  EXPECT_NE(schema.fingerprint(), schema.drop({"age"}).fingerprint());
  auto fields = schema.fields();
  fields[0].rows = 6;
  EXPECT_NE(schema.fingerprint(), Schema(fields, {"label"}).fingerprint());
  fields = schema.fields();
  fields[0].encoding.set("values.tokens", Config::scalar("abc", true));
  EXPECT_NE(schema.fingerprint(), Schema(fields, {"label"}).fingerprint());
  fields = schema.fields();
  fields[3].max_length = 5;
  EXPECT_EQ(schema.fingerprint(), Schema(fields, {"label"}).fingerprint());
}

class SchemaFile : public ::testing::Test {
 protected:
  SchemaFile() : directory_(std::filesystem::temp_directory_path() / fmt::format("interplay_schema_{}", ::getpid())) {
    std::filesystem::create_directories(directory_);
  }
  ~SchemaFile() override { std::filesystem::remove_all(directory_); }
  std::filesystem::path directory_;
};

TEST_F(SchemaFile, ReadsBackEqual) {
  auto fields = movies().fields();
  fields[1].encoding = Config::parse("{column: \"age: years\", values: {transform: log1p, shift: 0.1, scale: 1e-7}}");
  fields[0].name = "1e5";  // text that looks like a number
  fields[0].table = "yes";
  Schema schema(fields, {"click", "buy"});
  schema.source = Config::parse("format: {name: csv, separator: \"::\"}\nlabel: [click, buy]\n");
  schema.save(directory_ / "schema.yaml");
  const Schema back = Schema::load(directory_ / "schema.yaml");
  EXPECT_EQ(back.fingerprint(), schema.fingerprint());
  EXPECT_EQ(back.labels(), schema.labels());
  EXPECT_EQ(back.field("1e5").table, "yes");
  EXPECT_EQ(back.field("hist").target, "item");
  EXPECT_EQ(back.field("hist").max_length, 30);
  EXPECT_EQ(back.field("hist_ratings").paired_with, "hist");
  EXPECT_TRUE(back.field("age").encoding == schema.field("age").encoding);
  EXPECT_TRUE(back.source == schema.source);
  back.save(directory_ / "again.yaml");
  EXPECT_EQ(read_file(directory_ / "again.yaml"), read_file(directory_ / "schema.yaml"));
}

TEST_F(SchemaFile, CutAnywhereItIsRefusedAsBadData) {
  movies().save(directory_ / "schema.yaml");
  const std::string whole = read_file(directory_ / "schema.yaml");
  const auto cut = directory_ / "cut.yaml";
  for (size_t n = 0; n + 1 < whole.size(); n += 3) {
    std::ofstream(cut, std::ios::binary) << whole.substr(0, n);
    try {
      Schema::load(cut);
      ADD_FAILURE() << "cut to " << n << " bytes it was read";
    } catch (const Error& problem) {
      EXPECT_EQ(problem.kind(), ErrorKind::data);
      EXPECT_NE(std::string(problem.what()).find("cut.yaml"), std::string::npos) << problem.what();
    }
  }
}

TEST_F(SchemaFile, AChangedRowCountIsFoundByItsFingerprint) {
  movies().save(directory_ / "schema.yaml");
  std::string text = read_file(directory_ / "schema.yaml");
  text.replace(text.find("rows: 5"), 7, "rows: 6");
  std::ofstream(directory_ / "schema.yaml", std::ios::binary) << text;
  EXPECT_THROW(Schema::load(directory_ / "schema.yaml"), Error);
}

}  // namespace
}  // namespace interplay::schema_test
