#include <interplay/data/encoder.h>

#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <interplay/base/files.h>
#include <interplay/data/keyed_vectors.h>

#include "data/encode/encoder_builder.h"
#include "data/encode/encoder_state.h"
#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::encoder_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

RawBatch batch(std::vector<RawColumn> columns) {
  RawBatch raw;
  raw.rows = columns.empty() ? 0 : columns[0].rows;
  raw.columns = std::move(columns);
  raw.file = "rows.csv";
  for (int64_t i = 0; i < raw.rows; ++i) raw.lines.push_back(i + 2);
  return raw;
}

Encoder fit(const std::string& fields, const RawBatch& raw, const std::string& more = "",
            const std::filesystem::path& from = {}) {
  const auto spec = DataSpec::parse(Config::parse("files: {train: x}\nlabel: y\n" + more + "\nfields:\n" + fields));
  EncoderBuilder builder(spec, {int64_t{1} << 20, {}, from});
  const auto values = builder.parser().parse(raw, true, nullptr);
  const std::vector<uint8_t> train(values.rows.size(), 0);
  builder.observe(values, train);
  builder.code(values, train);
  return builder.build();
}

std::vector<std::string> labels(size_t rows) { return std::vector<std::string>(rows, "0"); }

class EncoderFiles : public ::testing::Test {
 protected:
  EncoderFiles()
      : directory_(std::filesystem::temp_directory_path() / fmt::format("interplay_encoder_{}", ::getpid())) {
    std::filesystem::create_directories(directory_);
  }
  ~EncoderFiles() override { std::filesystem::remove_all(directory_); }
  std::filesystem::path directory_;
};

TEST(Encoder, IdsFallByCountThenByBytes) {
  // counts: b 3, a 2, c 2, z 1
  const auto raw =
      batch({make_raw_column("y", labels(8)), make_raw_column("f", {"c", "b", "a", "b", "z", "a", "c", "b"})});
  const Encoder encoder = fit("  - {column: f}", raw);
  EXPECT_THAT(encoder.encode(raw, {}).ids, ElementsAre(3, 1, 2, 1, 4, 2, 3, 1));
  EXPECT_EQ(encoder.schema().field("f").rows, 6);  // padding, 4 tokens, unseen
  EXPECT_EQ(encoder.token("f", 1), "b");
  EXPECT_EQ(encoder.token("f", 0), "");
  EXPECT_EQ(encoder.token("f", 5), "");
}

TEST(Encoder, ColumnsSayWhetherTheirNumbersAreWhole) {
  const auto raw = batch({make_raw_column("y", labels(3)), make_raw_column("whole", {"7", "-12", "none"}),
                          make_raw_column("point", {"7", "8.0", "9"}), make_raw_column("words", {"a", "b", "c"}),
                          make_raw_column("hashed", {"1", "2", "3"}), make_raw_column("number", {"1", "2", "3"})});
  const Encoder encoder =
      fit("  - {columns: [whole, point, words]}\n  - {column: hashed, hash_buckets: 9}\n"
          "  - {column: number, kind: numeric}",
          raw);
  EXPECT_TRUE(encoder.holds_whole_numbers("whole"));
  for (const char* column : {"point", "words", "hashed", "number", "none"})
    EXPECT_FALSE(encoder.holds_whole_numbers(column)) << column;
}

TEST(Encoder, RareMissingAndNewTokensAreUnseen) {
  const auto raw = batch({make_raw_column("y", labels(4)), make_raw_column("f", {"a", "a", "b", ""})});
  const Encoder encoder = fit("  - {column: f, min_count: 2}", raw, "missing_tokens: [\"NULL\"]");
  const auto served = batch({make_raw_column("f", {"a", "b", "", "new", "NULL"})});
  EXPECT_THAT(encoder.encode(served, {.labels = false}).ids, ElementsAre(1, 2, 2, 2, 2));
}

TEST(Encoder, MissingTokensAreNotCounted) {
  const auto raw = batch({make_raw_column("y", labels(4)), make_raw_column("f", {"-", "-", "-", "a"})});
  const Encoder encoder = fit("  - {column: f}", raw, "missing_tokens: [\"-\"]");
  EXPECT_EQ(encoder.schema().field("f").rows, 3);
  EXPECT_THAT(encoder.encode(raw, {}).ids, ElementsAre(2, 2, 2, 1));
}

TEST(Encoder, HashedIdsNeedNoVocabularyAndMissingStaysApart) {
  const auto raw = batch({make_raw_column("y", labels(3)), make_raw_column("f", {"a", "b", ""})});
  const Encoder encoder = fit("  - {column: f, hash_buckets: 10}", raw);
  const auto served = batch({make_raw_column("f", {"a", "never met", ""})});
  EXPECT_THAT(encoder.encode(served, {.labels = false}).ids,
              ElementsAre(int32_t(1 + hash64("a") % 10), int32_t(1 + hash64("never met") % 10), 11));
  EXPECT_EQ(encoder.schema().field("f").rows, 12);
}

TEST(Encoder, LogSquareBucketsAreThoseOfFuxiCTR) {
  // floor(ln(3)^2) = 1, floor(ln(20)^2) = 8, floor(ln(1382)^2) = 52; 2 and below are themselves: counts 1:2, others
  // once
  const auto raw =
      batch({make_raw_column("y", labels(7)), make_raw_column("I", {"1", "3", "20", "1382", "-2", "0", "2"})});
  const Encoder encoder = fit("  - {column: I, kind: numeric, transform: log_square_bucket}", raw);
  std::vector<std::string> tokens;
  for (int64_t id = 1; id <= 6; ++id) tokens.push_back(encoder.token("I", id));
  EXPECT_THAT(tokens, ElementsAre("1", "-2", "0", "2", "52", "8"));
  EXPECT_EQ(encoder.schema().field("I").kind, FieldKind::categorical);
  const auto served = batch({make_raw_column("I", {"3", "19", "", "1e12"})});
  EXPECT_THAT(encoder.encode(served, {.labels = false}).ids, ElementsAre(1, 6, 7, 7));
}

TEST(Encoder, AMissingBucketMayCountAsANumber) {
  const auto raw = batch({make_raw_column("y", labels(3)), make_raw_column("I", {"", "", "1"})});
  const Encoder encoder = fit("  - {column: I, kind: numeric, transform: log_square_bucket, missing: 0}", raw);
  EXPECT_EQ(encoder.token("I", 1), "0");
  EXPECT_THAT(encoder.encode(raw, {}).ids, ElementsAre(1, 1, 2));
}

TEST(Encoder, NumbersPassThroughAndAreTransformed) {
  const std::vector<std::string> x = {"1", "3", "", "8"};  // mean 4, population deviation sqrt(26/3)
  const auto raw = batch({make_raw_column("y", labels(4)), make_raw_column("x", x)});
  const Encoder encoder =
      fit("  - {column: x, name: a, kind: numeric}\n"
          "  - {column: x, name: b, kind: numeric, transform: log1p}\n"
          "  - {column: x, name: c, kind: numeric, transform: standardise}\n"
          "  - {column: x, name: d, kind: numeric, transform: min_max}\n"
          "  - {column: x, name: e, kind: numeric, missing: -1}",
          raw);
  const auto out = encoder.encode(raw, {});
  const float deviation = std::sqrt(26.0f / 3);
  const std::vector<float> expected = {1,
                                       std::log(2.0f),
                                       -3 / deviation,
                                       0,
                                       1,  //
                                       3,
                                       std::log(4.0f),
                                       -1 / deviation,
                                       2.0f / 7,
                                       3,  //
                                       0,
                                       0,
                                       0,
                                       0,
                                       -1,  //
                                       8,
                                       std::log(9.0f),
                                       4 / deviation,
                                       1,
                                       8};
  ASSERT_EQ(out.dense.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(out.dense[i], expected[i], 1e-6) << i;  // f32 rounding
}

TEST(Encoder, SequencesKeepTheLastEntriesAndDropMissingOnes) {
  const auto raw = batch({make_raw_column("y", labels(4)), make_raw_column("s", {"a^b^c", "^a^^b", "", "c"})});
  const Encoder encoder = fit("  - {column: s, kind: sequence, max_length: 2}", raw);
  // kept: b c | a b | nothing | c, so b 2, c 2, a 1
  const auto out = encoder.encode(raw, {});
  EXPECT_THAT(out.sequences.at(0).ids, ElementsAre(1, 2, 3, 1, 2));
  EXPECT_THAT(out.sequences.at(0).offsets, ElementsAre(0, 2, 4, 4, 5));
}

TEST(Encoder, ListColumnsAreSequencesToo) {
  const auto raw = batch({make_raw_column("y", labels(2)), make_raw_list_column("s", {{"a^b", "c"}, {}})});
  const Encoder encoder = fit("  - {column: s, kind: sequence}", raw);
  EXPECT_EQ(encoder.token("s", 1), "a^b");
  EXPECT_THAT(encoder.encode(raw, {}).sequences.at(0).offsets, ElementsAre(0, 2, 2));
}

TEST(Encoder, ASharedTableCountsTheUnionOfItsFields) {
  const auto raw = batch(
      {make_raw_column("y", labels(2)), make_raw_column("item", {"a", "b"}), make_raw_column("hist", {"c^c^c", "b"})});
  const Encoder encoder = fit("  - {column: item}\n  - {column: hist, kind: sequence, share: item, target: item}", raw);
  const auto out = encoder.encode(raw, {});  // c 3, b 2, a 1
  EXPECT_THAT(out.ids, ElementsAre(3, 2));
  EXPECT_THAT(out.sequences.at(0).ids, ElementsAre(1, 1, 1, 2));
  EXPECT_EQ(encoder.schema().tables().size(), 1u);
  EXPECT_EQ(encoder.schema().field("hist").target, "item");
}

TEST(Encoder, PairedSequencesLoseTheSameEntries) {
  const auto raw = batch({make_raw_column("y", labels(2)), make_raw_column("items", {"a^^b^c", "c"}),
                          make_raw_column("ratings", {"5^4^^3", "3"}), make_raw_column("w", {"1^2^3^0.5", "-1"})});
  const Encoder encoder =
      fit("  - {column: items, kind: sequence, weights: w, max_length: 2}\n"
          "  - {column: ratings, kind: sequence, paired: items}",
          raw);
  const auto out = encoder.encode(raw, {});  // items: b c | c; ratings: missing 3 | 3
  EXPECT_THAT(out.sequences.at(0).ids, ElementsAre(2, 1, 1));
  EXPECT_THAT(out.sequences.at(0).weights, ElementsAre(3.0f, 0.5f, -1.0f));
  EXPECT_THAT(out.sequences.at(1).ids, ElementsAre(2, 1, 1));  // "3" is 1, a missing rating is unseen: 2
  EXPECT_EQ(out.sequences.at(0).offsets, out.sequences.at(1).offsets);
}

TEST(Encoder, UnequalPairsAreABadRow) {
  const auto raw =
      batch({make_raw_column("y", labels(1)), make_raw_column("items", {"a^b"}), make_raw_column("ratings", {"5"})});
  const std::string fields =
      "  - {column: items, kind: sequence}\n  - {column: ratings, kind: sequence, paired: items}";
  EXPECT_THROW(fit(fields, raw), Error);
}

TEST(Encoder, VectorsHaveTheirDimension) {
  const auto raw = batch({make_raw_column("y", labels(3)), make_raw_column("v", {"1^2.5", "", "-1^0"})});
  const Encoder encoder = fit("  - {column: v, kind: vector, dimension: 2}", raw);
  EXPECT_THAT(encoder.encode(raw, {}).vectors.at(0), ElementsAre(1, 2.5f, 0, 0, -1, 0));
  const auto bad = batch({make_raw_column("v", {"1^2^3"})});
  EXPECT_THROW(encoder.encode(bad, {.labels = false}), Error);
}

void write_vectors(const std::filesystem::path& file, const std::vector<std::string>& keys,
                   const std::vector<float>& numbers) {
  std::filesystem::remove(file);
  VectorWriter writer(file, 2);
  writer.write(keys, numbers);
  writer.close();
}

TEST(Encoder, VectorsMayBeLookedUpByKey) {
  const TempDir here;
  const auto file = here.path() / "items.parquet";
  write_vectors(file, {"a", "b"}, {1, 2, 3, 4});
  const auto raw = batch({make_raw_column("y", labels(4)), make_raw_column("item", {"b", "", "a", "c"})});
  const std::string field = fmt::format("  - {{column: item, name: text, kind: vector, from: {}}}", file.string());
  const Encoder encoder = fit(field, raw);
  EXPECT_EQ(encoder.schema().field("text").dimension, 2);
  EXPECT_THAT(encoder.encode(raw, {}).vectors.at(0), ElementsAre(3, 4, 0, 0, 1, 2, 0, 0));

  make_directories(here.path() / "fitted");
  encoder.schema().save(here.path() / "fitted" / "schema.yaml");
  EXPECT_THAT(Encoder::load(here.path() / "fitted").encode(raw, {}).vectors.at(0), ElementsAre(3, 4, 0, 0, 1, 2, 0, 0));
  write_vectors(file, {"a", "b"}, {1, 2, 3, 5});
  EXPECT_THAT(data_error([&] { Encoder::load(here.path() / "fitted").encode(raw, {}); }),
              HasSubstr("field 'text': its file of vectors is not the one that the data were prepared with"));
  EXPECT_THAT(config_error([&] { fit("  - {column: item, kind: vector, dimension: 2, key: k}", raw); }),
              HasSubstr("fields.0.key: says something of a file of vectors"));
  EXPECT_THAT(config_error([&] { fit(field.substr(0, field.size() - 1) + ", separator: x}", raw); }),
              HasSubstr("a key is the whole cell"));
}

TEST(Encoder, LabelsMayBeSeveralAndThresholds) {
  const auto raw = batch({make_raw_column("click", {"1", "0.0", "1"}), make_raw_column("rating", {"4", "3.5", "5"}),
                          make_raw_column("f", {"a", "a", "a"})});
  const auto spec =
      DataSpec::parse(Config::parse("{files: {train: x}, fields: [{column: f}], label: [click, {column: rating, "
                                    "at_least: 4, name: liked}, {column: rating, above: 4, name: loved}]}"));
  EncoderBuilder builder(spec, {1 << 20, {}, {}});
  const auto values = builder.parser().parse(raw, true, nullptr);
  builder.code(values, std::vector<uint8_t>(values.rows.size(), 0));
  const Encoder encoder = builder.build();
  EXPECT_THAT(encoder.encode(raw, {}).labels, ElementsAre(1, 1, 0, 0, 0, 0, 1, 1, 1));
  EXPECT_THAT(encoder.schema().labels(), ElementsAre("click", "liked", "loved"));
}

TEST(Encoder, BadRowsAreNamedAndLeftOut) {
  const auto raw = batch(
      {make_raw_column("y", {"1", "2", "", "0", "x", "1"}), make_raw_column("x", {"1", "1", "1", "one", "1", "7"})});
  const Encoder encoder =
      fit("  - {column: x, kind: numeric}", batch({make_raw_column("y", {"1"}), make_raw_column("x", {"1"})}));
  try {
    encoder.encode(raw, {});
    FAIL();
  } catch (const Error& problem) {
    EXPECT_EQ(problem.kind(), ErrorKind::data);
    EXPECT_THAT(problem.what(), HasSubstr("rows.csv:3"));
    EXPECT_THAT(problem.what(), HasSubstr("'2'"));
  }
  BadRows some(4);
  std::vector<int64_t> kept;
  const auto out = encoder.encode(raw, {}, &some, &kept);
  EXPECT_THAT(kept, ElementsAre(0, 5));
  EXPECT_THAT(out.dense, ElementsAre(1, 7));
  EXPECT_THAT(out.labels, ElementsAre(1, 1));
  EXPECT_EQ(some.count(), 4);
}

TEST(Encoder, ServedRowsNeedNoLabelButTheirFields) {
  const auto raw = batch({make_raw_column("y", labels(1)), make_raw_column("f", {"a"})});
  const Encoder encoder = fit("  - {column: f}", raw, "").keep(Schema());
  EXPECT_EQ(encoder.schema().fields().size(), 0u);
}

TEST_F(EncoderFiles, ASavedEncoderDoesTheSame) {
  const auto raw = batch({make_raw_column("y", {"1", "0", "1"}), make_raw_column("f", {"a", "b", "b"}),
                          make_raw_column("I", {"7", "", "9"}), make_raw_column("x", {"1", "2", "4"}),
                          make_raw_column("s", {"a|b", "", "z"}), make_raw_column("h", {"p", "q", ""})});
  const Encoder encoder =
      fit("  - {column: f}\n  - {column: I, kind: numeric, transform: log_square_bucket}\n"
          "  - {column: x, kind: numeric, transform: standardise}\n  - {column: s, kind: sequence, separator: \"|\", "
          "share: f}\n"
          "  - {column: h, hash_buckets: 100}",
          raw);
  encoder.save(directory_);
  const Encoder back = Encoder::load(directory_);
  EXPECT_EQ(back.schema().fingerprint(), encoder.schema().fingerprint());
  const auto a = encoder.encode(raw, {}), b = back.encode(raw, {});
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.dense, b.dense);
  EXPECT_EQ(a.sequences[0].ids, b.sequences[0].ids);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(back.columns({}), (std::vector<std::string>{"y", "f", "I", "x", "s", "h"}));
}

TEST_F(EncoderFiles, DamagedVocabulariesAreRefused) {
  const auto raw = batch({make_raw_column("y", labels(3)), make_raw_column("f", {"a", "b", "b"})});
  fit("  - {column: f}", raw).save(directory_);
  const auto file = vocabulary_file(directory_, "f");
  const std::string whole = read_file(file);
  for (size_t n = 0; n < whole.size(); ++n) {
    std::ofstream(file, std::ios::binary) << whole.substr(0, n);
    EXPECT_THROW(Encoder::load(directory_), Error) << n;
  }
  Manifest::describe(directory_).save(directory_);  // of the cut file, then of the whole one
  std::ofstream(file, std::ios::binary) << whole;
  EXPECT_THROW(Encoder::load(directory_), Error);
  Manifest::describe(directory_).save(directory_);
  for (size_t n = 0; n < whole.size(); ++n) {
    std::string flipped = whole;
    flipped[n] = char(flipped[n] ^ 4);
    std::ofstream(file, std::ios::binary) << flipped;
    EXPECT_THROW(Encoder::load(directory_), Error) << n;
  }
  std::filesystem::remove(directory_ / "manifest.json");  // without it nothing may crash, whatever the bytes
  for (size_t n = 0; n < whole.size(); ++n) {
    std::string flipped = whole;
    flipped[n] = char(flipped[n] ^ (1 << (n % 8)));
    std::ofstream(file, std::ios::binary) << flipped;
    try {
      Encoder::load(directory_);
    } catch (const Error& problem) {
      EXPECT_EQ(problem.kind(), ErrorKind::data);
    }
  }
}

TEST_F(EncoderFiles, AWarmStartKeepsOldIdsAndAppendsNewTokens) {
  const std::string fields = "  - {column: f}\n  - {column: x, kind: numeric, transform: standardise}";
  const auto old = batch(
      {make_raw_column("y", labels(3)), make_raw_column("f", {"b", "b", "a"}), make_raw_column("x", {"1", "2", "3"})});
  const Encoder first = fit(fields, old);
  first.save(directory_);
  const auto fresh = batch({make_raw_column("y", labels(5)), make_raw_column("f", {"d", "c", "c", "a", "zz"}),
                            make_raw_column("x", {"10", "20", "30", "40", "50"})});
  const Encoder second = fit(fields, fresh, "", directory_);
  std::vector<std::string> tokens;
  for (int64_t id = 1; id <= 5; ++id) tokens.push_back(second.token("f", id));
  EXPECT_THAT(tokens, ElementsAre("b", "a", "c", "d", "zz"));
  EXPECT_EQ(second.schema().field("f").rows, 7);
  EXPECT_EQ(first.encode(old, {}).dense, second.encode(old, {}).dense);
}

TEST(Encoder, ManyThreadsGetTheSameAnswer) {
  std::vector<std::string> cells;
  for (int i = 0; i < 5000; ++i) cells.push_back(std::to_string(i * i % 997));
  const auto raw = batch({make_raw_column("y", labels(5000)), make_raw_column("f", cells)});
  const Encoder encoder = fit("  - {column: f}", raw);
  const auto expected = encoder.encode(raw, {}).ids;
  std::vector<std::thread> threads;
  std::atomic<int> equal = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] { equal += encoder.encode(raw, {}).ids == expected; });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(equal, 4);
}

std::string complaint(const std::string& yaml) {
  try {
    DataSpec::parse(Config::parse(yaml));
    return "";
  } catch (const Error& problem) {
    EXPECT_EQ(problem.kind(), ErrorKind::config);
    return problem.what();
  }
}

TEST(DataYaml, UnknownKeysNameTheNearest) {
  EXPECT_THAT(complaint("{files: {train: x}, label: y, fields: [{column: f, min_cuont: 2}]}"), HasSubstr("min_count"));
  EXPECT_THAT(complaint("{files: {trian: x}, label: y, fields: [{column: f}]}"), HasSubstr("train"));
  EXPECT_THAT(complaint("{flies: {train: x}, label: y, fields: [{column: f}]}"), HasSubstr("files"));
  EXPECT_THAT(complaint("{files: {train: x}, label: y, fields: [{column: f, kind: numerc}]}"),
              HasSubstr("did you mean 'numeric'"));
}

TEST(DataYaml, KeysOfAnotherKindAreUnknown) {
  EXPECT_THAT(complaint("{files: {train: x}, label: y, fields: [{column: f, kind: numeric, separator: \",\"}]}"),
              HasSubstr("unknown key"));
  EXPECT_THAT(complaint("{files: {train: x}, label: y, fields: [{column: f, transform: log1p}]}"),
              HasSubstr("unknown key"));
}

TEST(DataYaml, ContradictionsAreRefused) {
  EXPECT_THAT(complaint("{label: y, fields: [{column: f}]}"), HasSubstr("files"));
  EXPECT_THAT(complaint("{files: {train: x}, split: {by: random}, label: y, fields: [{column: f}]}"),
              HasSubstr("either"));
  EXPECT_THAT(complaint("{file: x, split: {by: user_time, time: t}, label: y, fields: [{column: f}]}"),
              HasSubstr("whose row"));
  EXPECT_THAT(complaint("{file: x, split: {ratios: [0.5, 0.4]}, label: y, fields: [{column: f}]}"),
              HasSubstr("add up to 1"));
  EXPECT_THAT(complaint("{files: {train: x}, fields: [{column: f}]}"), HasSubstr("label"));
  EXPECT_THAT(complaint("{files: {train: x}, label: y, fields: [{column: f}, {column: f}]}"), HasSubstr("two fields"));
  EXPECT_THAT(complaint("{files: {train: x}, label: y, fields: [{column: f, share: g}]}"),
              HasSubstr("no other field 'g'"));
  EXPECT_THAT(complaint("{files: {train: x}, label: y, fields: [{column: f, share: g}, {column: g, share: f}]}"),
              HasSubstr("circle"));
  EXPECT_THAT(complaint("{files: {train: x}, label: y, fields: [{name: h, kind: history, user: u, item: i}]}"),
              HasSubstr("time"));
}

TEST(DataYaml, RangesOfColumnsAreSpelledOut) {
  EXPECT_THAT(expand_range("I1..I4"), ElementsAre("I1", "I2", "I3", "I4"));
  EXPECT_THAT(expand_range("C08..C11"), ElementsAre("C08", "C09", "C10", "C11"));
  EXPECT_THAT(expand_range("age"), ElementsAre("age"));
  EXPECT_THROW(expand_range("I1..J4"), Error);
  EXPECT_THROW(expand_range("I4..I1"), Error);
  EXPECT_THROW(expand_range("I1..I"), Error);
  EXPECT_THAT(expand_range("user..id"), ElementsAre("user..id"));  // a name as any other
  EXPECT_THAT(complaint("{files: {train: x}, label: y, header: [y, I4..I1], fields: [{column: f}]}"),
              HasSubstr("header: 'I4..I1' is not a range"));
  EXPECT_THAT(complaint("{files: {train: x}, label: y, fields: [{columns: [f, I1..J4]}]}"),
              HasSubstr("fields.0.columns: 'I1..J4' is not a range"));
}

TEST(DataYaml, LabelsOfOneNameAreRefused) {
  EXPECT_THAT(complaint("{files: {train: x}, label: [y, z, y], fields: [{column: f}]}"),
              HasSubstr("two labels are called 'y'"));
  EXPECT_THAT(complaint("{files: {train: x}, label: [y, {column: y, name: z, above: 0}, {column: q, name: z}], fields: "
                        "[{column: f}]}"),
              HasSubstr("two labels are called 'z'"));
}

TEST(DataYaml, WhatIsResolvedParsesToTheSame) {
  const auto spec =
      DataSpec::parse(Config::parse("format: {name: csv, separator: \"::\"}\nheader: [y, I1..I2, u, i, t]\nfile: [a, "
                                    "b]\nsplit: {by: user_time, user: u, time: t}\n"
                                    "label: {column: y, at_least: 4}\nfields:\n  - {columns: [I1..I2], kind: numeric, "
                                    "missing: 0}\n  - {columns: [u, i]}\n"
                                    "  - {name: h, kind: history, user: u, item: i, time: t, max_length: 3, filter: "
                                    "{column: y, at_least: 4}, side: [{column: y, name: ys}]}"));
  const auto again = DataSpec::parse(Config::parse(spec.resolved.yaml()));
  EXPECT_EQ(again.resolved.yaml(), spec.resolved.yaml());
  EXPECT_EQ(again.reader.yaml(), spec.reader.yaml());
  ASSERT_EQ(again.fields.size(), 6u);
  for (size_t f = 0; f < 6; ++f) {
    EXPECT_EQ(again.fields[f].name, spec.fields[f].name);
    EXPECT_TRUE(again.fields[f].encoding == spec.fields[f].encoding);
  }
  EXPECT_EQ(spec.fields[4].table, "i");
  EXPECT_EQ(spec.fields[4].target, "i");
  EXPECT_EQ(spec.fields[5].table, "ys");
  EXPECT_EQ(spec.fields[5].paired_with, "h");
}

}  // namespace
}  // namespace interplay::encoder_test
