#include <interplay/data/keyed_vectors.h>

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/data/vector_book.h>

#include "data/schema/vocabulary.h"
#include "support/error_of.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::keyed_vectors_test {
namespace {

using ::testing::AllOf;
using testing::config_error;
using testing::data_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempDir;

/// Files of other programs: tests/reference/vectors.py says how they were made.
std::string stored(const std::string& name) {
  return (fs::path(INTERPLAY_TESTS_DIR) / "reference" / "data" / "vectors" / name).string();
}

std::vector<float> list(std::span<const float> v) { return {v.begin(), v.end()}; }

void expect_the_three(const KeyedVectors& found, const std::string& what) {
  ASSERT_EQ(found.count(), 3) << what;
  ASSERT_EQ(found.width(), 3) << what;
  EXPECT_THAT(list(found.find("255")), ElementsAre(0, 0.25, 0.5)) << what;
  EXPECT_THAT(list(found.find("7")), ElementsAre(10, 10.25, 10.5)) << what;
  EXPECT_THAT(list(found.find("1682")), ElementsAre(20, 20.25, 20.5)) << what;
  EXPECT_THAT(list(found.find("1")), IsEmpty()) << what;
  EXPECT_EQ(found.key(1), "7") << what;
}

TEST(KeyedVectors, ReadWhatArrowAndNumpyWrite) {
  std::set<std::string> checksums;
  for (const char* name : {"list.parquet", "fixed.parquet", "large.parquet", "v1.npy", "v2.npy"}) {
    const auto found = KeyedVectors::load({.from = stored(name)});
    expect_the_three(found, name);
    checksums.insert(found.checksum());
  }
  EXPECT_EQ(checksums.size(), 1u);  // of what they hold, whatever the file
}

TEST(KeyedVectors, ColumnsThatAreNamedAreTaken) {
  expect_the_three(KeyedVectors::load({.from = stored("list.parquet"), .key = "item_id", .vector = "embedding"}), "");
  const auto problem = [](const VectorSource& source) { return data_error([&] { KeyedVectors::load(source); }); };
  EXPECT_THAT(problem({.from = stored("list.parquet"), .key = "id"}),
              AllOf(HasSubstr("there is no column 'id'"), HasSubstr("columns: item_id, embedding, note")));
  EXPECT_THAT(problem({.from = stored("list.parquet"), .vector = "note"}), HasSubstr("expected vectors"));
  EXPECT_THAT(problem({.from = stored("list.parquet"), .key = "embedding"}), HasSubstr("expected keys"));
}

TEST(KeyedVectors, WhatIsWrittenIsReadAgain) {
  const TempDir dir;
  const fs::path file = dir / "v.parquet";
  {
    VectorWriter out(file, 2);
    out.write(std::vector<std::string>{"a", "b"}, std::vector<float>{1, 2, 3, 4});
    out.write(std::vector<std::string>{"ü,\n"}, std::vector<float>{5, 6e-30f});
    EXPECT_FALSE(fs::exists(file));
    out.close();
  }
  const auto found = KeyedVectors::load({.from = file.string()});
  EXPECT_EQ(found.count(), 3);
  EXPECT_THAT(list(found.find("b")), ElementsAre(3, 4));
  EXPECT_THAT(list(found.find("ü,\n")), ElementsAre(5, 6e-30f));
  { VectorWriter never(dir / "w.parquet", 2); }
  EXPECT_FALSE(fs::exists(dir / "w.parquet"));
  EXPECT_THAT(config_error([&] { VectorWriter(dir / "v.csv", 2); }), HasSubstr("written as .parquet"));
  EXPECT_THAT(data_error([&] { VectorWriter(dir / "no" / "v.parquet", 2); }), HasSubstr("there is no directory"));
}

TEST(KeyedVectors, TheChecksumIsOfKeysAndNumbersInAnyOrder) {
  const auto of = [](const std::vector<std::pair<std::string, float>>& rows) {
    KeyedVectors v("f");
    for (const auto& [key, x] : rows) v.add(key, std::vector<float>{x, 1});
    return v.checksum();
  };
  EXPECT_EQ(of({{"a", 1}, {"b", 2}}), of({{"b", 2}, {"a", 1}}));
  EXPECT_NE(of({{"a", 1}, {"b", 2}}), of({{"a", 2}, {"b", 1}}));
  EXPECT_NE(of({{"a", 1}}), of({{"a", 1.0000001f}}));
  EXPECT_EQ(of({{"a", 1}}).size(), 16u);
}

TEST(KeyedVectors, BadRowsAreRefusedByRowAndKey) {
  const auto problem = [](const std::string& key, const std::vector<float>& vector) {
    return data_error([&] {
      KeyedVectors v("items.npy");
      v.add("a", std::vector<float>{1, 2});
      v.add(key, vector);
    });
  };
  EXPECT_EQ(problem("a", {1, 2}), "items.npy: rows 1 and 2 have the same key 'a'; keep one of them");
  EXPECT_THAT(problem("", {1, 2}), HasSubstr("items.npy: row 2 has no key"));
  EXPECT_THAT(problem("b", {}), HasSubstr("items.npy: row 2 ('b') has no numbers"));
  EXPECT_THAT(problem("b", {1}), HasSubstr("items.npy: row 2 ('b') has 1 numbers, those before it 2"));
  EXPECT_THAT(problem("b", {1, NAN}), HasSubstr("items.npy: row 2 ('b'): its number 1 is nan"));
  EXPECT_THAT(problem("b", {INFINITY, 1}), HasSubstr("its number 0 is inf"));
}

TEST(KeyedVectors, FilesThatAreNoneAreRefusedByName) {
  const TempDir dir;
  const auto load = [&](const std::string& name) { KeyedVectors::load({.from = (dir / name).string()}); };
  EXPECT_THAT(data_error([&] { load("v.parquet"); }), AllOf(HasSubstr("v.parquet"), HasSubstr("no such file")));
  EXPECT_THAT(config_error([&] { load("v.csv"); }), AllOf(HasSubstr(".npy"), HasSubstr("lm embed")));
  EXPECT_THAT(config_error([&] { KeyedVectors::load({}); }), HasSubstr("from: missing"));
  fs::create_directory(dir / "d.npy");
  EXPECT_THAT(data_error([&] { load("d.npy"); }), HasSubstr("is no file"));
  dir.write("v.npy", "PAR1");
  EXPECT_THAT(data_error([&] { load("v.npy"); }), AllOf(HasSubstr("v.npy"), HasSubstr("not a .npy file")));
  dir.write("v.parquet", "\x93NUMPY");
  EXPECT_THAT(data_error([&] { load("v.parquet"); }), HasSubstr("v.parquet"));
}

TEST(KeyedVectors, OtherArraysOfNumpyAreRefusedWithWhatToDo) {
  for (const auto& [name, what] : std::vector<std::pair<std::string, std::string>>{
           {"wrong-f8.npy", "'<f8' in C order"}, {"wrong-endian.npy", "'>f4'"}, {"wrong-order.npy", "Fortran order"}}) {
    EXPECT_THAT(data_error([&] { KeyedVectors::load({.from = stored(name)}); }),
                AllOf(HasSubstr(name), HasSubstr(what), HasSubstr("numpy.save(")));
  }
  EXPECT_THAT(data_error([&] { KeyedVectors::load({.from = stored("wrong-shape.npy")}); }),
              AllOf(HasSubstr("(9)"), HasSubstr("expected a matrix")));
}

TEST(KeyedVectors, KeysBesideAnArrayAreALineARow) {
  const TempDir dir;
  fs::copy_file(stored("v1.npy"), dir / "v.npy");
  const VectorSource source{.from = (dir / "v.npy").string()};
  EXPECT_THAT(data_error([&] { KeyedVectors::load(source); }),
              AllOf(HasSubstr("v.ids: no such file"), HasSubstr("`ids`")));
  dir.write("v.ids", "255\n7\n");
  EXPECT_THAT(data_error([&] { KeyedVectors::load(source); }), HasSubstr("v.ids: has 2 lines"));
  dir.write("v.ids", "255\r\n7\r\n1682");
  expect_the_three(KeyedVectors::load(source), "");
  const auto other = dir.write("other.txt", "255\n7\n1682\n").string();
  fs::remove(dir / "v.ids");
  expect_the_three(KeyedVectors::load({.from = source.from, .ids = other}), "");
}

class Book : public ::testing::Test {
 protected:
  Book() {
    log::set_level(log::Level::off);
    Vocabulary tokens;
    tokens.add("7", 5);
    tokens.add("no vector", 3);
    tokens.add("255", 1);
    fs::create_directories(dir_ / "vocabulary");
    tokens.save(vocabulary_file(dir_.path(), "item"));
    field_.name = "item_id";
    field_.table = "item";
    field_.rows = tokens.rows();
  }
  ~Book() override { log::set_level(log::Level::info); }

  const TempDir dir_;
  Field field_;
  const VectorSource source_{.from = stored("list.parquet")};
};

TEST_F(Book, RowsAreThoseOfTheTokens) {
  VectorBook book(dir_.path());
  const auto rows = book.of(field_, source_);
  EXPECT_EQ(rows->rows, 5);  // padding, three tokens, unseen
  EXPECT_EQ(rows->width, 3);
  EXPECT_EQ(rows->tokens, 3);
  EXPECT_EQ(rows->known, 2);
  EXPECT_THAT(rows->has, ElementsAre(0, 1, 0, 1, 0));
  EXPECT_THAT(rows->values, ElementsAre(0, 0, 0, 10, 10.25, 10.5, 0, 0, 0, 0, 0.25, 0.5, 0, 0, 0));
  EXPECT_EQ(book.of(field_, source_), rows);  // read once
}

TEST_F(Book, ARunsListKnowsWhatTheWeightsHold) {
  VectorBook book(dir_.path());
  book.of(field_, source_);
  VectorBook run(dir_ / "nowhere", Config::parse(book.list().yaml()));
  const auto rows = run.of(field_, source_);
  EXPECT_EQ(rows->rows, 5);
  EXPECT_EQ(rows->width, 3);
  EXPECT_THAT(rows->values, IsEmpty());
  EXPECT_EQ(book.difference(run), "");
  EXPECT_EQ(run.list().yaml(), book.list().yaml());
  EXPECT_THAT(data_error([&] { run.of(field_, {.from = "other.parquet"}); }), HasSubstr("does not list"));
  Config changed = book.list();
  changed.set("0.checksum", Config::scalar("0000000000000000", true));
  EXPECT_EQ(book.difference(VectorBook(dir_.path(), changed)), source_.from);
}

TEST_F(Book, WhatCannotBeMatchedIsRefused) {
  VectorBook book(dir_.path());
  Field hashed = field_;
  hashed.table = "other";
  EXPECT_THAT(config_error([&] { book.of(hashed, source_); }), HasSubstr("hash_buckets"));
  Field number;
  number.name = "price";
  number.kind = FieldKind::numeric;
  EXPECT_THAT(config_error([&] { book.of(number, source_); }), HasSubstr("field 'price' is numeric"));
  VectorWriter out(dir_ / "foreign.parquet", 1);
  out.write(std::vector<std::string>{"item 7"}, std::vector<float>{1});
  out.close();
  EXPECT_THAT(data_error([&] { book.of(field_, {.from = (dir_ / "foreign.parquet").string()}); }),
              AllOf(HasSubstr("0 of 3 values of item have a vector"), HasSubstr("'item 7'"), HasSubstr("'7'")));
}

}  // namespace
}  // namespace interplay::keyed_vectors_test
