// What an entry of `fields:` declares, kind by kind, and what it refuses.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/section.h>
#include <interplay/data/field_kind.h>
#include <interplay/data/transform.h>

#include "data/spec/data_spec.h"
#include "support/error_of.h"

namespace interplay {
namespace {

using interplay::testing::config_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

DataSpec parse(const std::string& fields, const std::string& more = "") {
  return DataSpec::parse(Config::parse("files: {train: x}\nlabel: y\n" + more + "\nfields:\n" + fields));
}

std::string refusal(const std::string& fields) {
  return config_error([&] { parse(fields); });
}

TEST(FieldKinds, AnEntryReadBackDeclaresTheSameFields) {
  const DataSpec spec = parse(
      "  - {columns: [a, I1..I2], min_count: 3}\n"
      "  - {column: a, name: first, first_of: \"|\", hash_buckets: 7}\n"
      "  - {column: n, kind: numeric, transform: standardise, missing: -1}\n"
      "  - {column: m, kind: numeric, transform: log_square_bucket, min_count: 2}\n"
      "  - {column: s, kind: sequence, weights: w, separator: \"|\", target: a, max_length: 4, pooling: sum}\n"
      "  - {column: t, kind: sequence, paired: s, share: a}\n"
      "  - {column: v, kind: vector, dimension: 3}\n"
      "  - {name: h, kind: history, user: u, item: a, time: t, filter: {column: r, above: 2}, side: [{column: r, "
      "name: hr}]}\n");
  const DataSpec again = DataSpec::parse(Config::parse(spec.resolved.yaml()));
  EXPECT_EQ(again.resolved.yaml(), spec.resolved.yaml());
  ASSERT_EQ(again.fields.size(), 11u);
  for (size_t f = 0; f < spec.fields.size(); ++f) {
    EXPECT_EQ(again.fields[f].name, spec.fields[f].name);
    EXPECT_EQ(again.fields[f].kind, spec.fields[f].kind);
    EXPECT_EQ(again.fields[f].table, spec.fields[f].table);
    EXPECT_EQ(again.fields[f].encoding.yaml(), spec.fields[f].encoding.yaml());
  }
  EXPECT_EQ(again.min_count, spec.min_count);
}

TEST(FieldKinds, WhatTheyDeclare) {
  const DataSpec spec = parse(
      "  - {columns: [a, b], min_count: 3}\n"
      "  - {column: m, kind: numeric, transform: log_square_bucket, min_count: 2}\n"
      "  - {column: n, kind: numeric}\n"
      "  - {column: s, kind: sequence, share: a}\n"
      "  - {name: h, kind: history, user: u, item: b, time: t, max_length: 4, side: [{column: a, name: ha}]}\n",
      "min_count: 5");
  std::vector<std::string> shapes, tables;
  for (const Field& f : spec.fields) shapes.push_back(to_string(f.kind)), tables.push_back(f.table);
  EXPECT_THAT(shapes,
              ElementsAre("categorical", "categorical", "categorical", "numeric", "sequence", "sequence", "sequence"));
  EXPECT_THAT(tables, ElementsAre("a", "b", "m", "", "a", "b", "a"));
  EXPECT_EQ(spec.min_count.at("a"), 3);
  EXPECT_EQ(spec.min_count.at("m"), 2);
  EXPECT_EQ(spec.fields[5].target, "b");
  EXPECT_EQ(spec.fields[6].paired_with, "h");
  ASSERT_EQ(spec.past().size(), 1u);
  EXPECT_THAT(spec.past()[0].lists(), ElementsAre("h", "ha"));
  EXPECT_EQ(spec.plain_schema().fields().size(), 5u);
  EXPECT_THAT(spec.past(Schema({spec.fields[0]}, {})), IsEmpty());
}

TEST(FieldKinds, EntriesThatCannotBe) {
  EXPECT_THAT(refusal("  - {column: x, kind: catgorical}\n"),
              HasSubstr("fields.0.kind: 'catgorical' is not known; did you mean 'categorical'?"));
  EXPECT_THAT(refusal("  - x\n"), HasSubstr("fields.0: expected a map"));
  EXPECT_THAT(refusal("  - {kind: numeric}\n"), HasSubstr("fields.0: names no column"));
  EXPECT_THAT(refusal("  - {columns: [a, b], name: c}\n"), HasSubstr("fields.0.name: one name for several columns"));
  EXPECT_THAT(refusal("  - {columns: [I1..J2]}\n"), HasSubstr("fields.0.columns: 'I1..J2' is not a range"));
  EXPECT_THAT(refusal("  - {column: x, transform: log1p}\n"), HasSubstr("fields.0.transform: unknown key"));
  EXPECT_THAT(refusal("  - {column: x, kind: numeric, min_count: 2}\n"), HasSubstr("fields.0.min_count: unknown key"));
  EXPECT_THAT(refusal("  - {column: x, kind: numeric, transform: log}\n"),
              HasSubstr("fields.0.transform: 'log' is not known; did you mean 'log1p'?"));
  EXPECT_THAT(refusal("  - {column: x, kind: numeric, transform: {name: log1p, base: 2}}\n"),
              HasSubstr("fields.0.transform.base: unknown key"));
  EXPECT_THAT(refusal("  - {column: v, kind: vector}\n"), HasSubstr("fields.0: a vector needs its `dimension`"));
  EXPECT_THAT(refusal("  - {column: s, kind: sequence}\n  - {column: r, kind: sequence, paired: s, weights: w}\n"),
              HasSubstr("fields.1.weights: a paired sequence has its leader's weights"));
  EXPECT_THAT(refusal("  - {name: h, kind: history, user: u, item: i}\n"), HasSubstr("fields.0.time: missing"));
  EXPECT_THAT(refusal("  - {name: h, kind: history, user: u, item: i, time: t, side: [{column: r}]}\n"),
              HasSubstr("fields.0.side: each side needs a column and a name"));
  EXPECT_THAT(refusal("  - {name: h, kind: history, user: u, item: i, time: t, filter: {column: r}}\n"),
              HasSubstr("fields.0.filter: expected a column and at_least or above"));
  EXPECT_THAT(refusal("  - {column: x}\n  - {column: y, name: x}\n"), HasSubstr("two fields are called 'x'"));
}

TEST(FieldKinds, HelpPrintsWhatEachDeclares) {
  for (const Section& section : all_sections()) {
    if (section.name != "data") continue;
    std::map<std::string, std::string> when;
    for (const OptionLine& line : section.options()) when.emplace(line.name, line.when);
    EXPECT_EQ(when.at("fields"), "");
    EXPECT_EQ(when.at("fields.kind"), "");
    EXPECT_EQ(when.at("fields.dimension"), "kind: vector");
    EXPECT_THAT(when.at("fields.separator"), HasSubstr("sequence | "));
    EXPECT_EQ(when.at("fields.side.column"), "kind: history");
    return;
  }
  FAIL() << "no section `data`";
}

TEST(Transforms, AreNamedWithTheirOptions) {
  EXPECT_THAT(transforms().names(), IsSupersetOf({"log1p", "log_square_bucket", "min_max", "none", "standardise"}));
  const auto bucket = transforms().make(Config::scalar("log_square_bucket"));
  EXPECT_TRUE(bucket->makes_buckets());
  // floor(ln(3)^2) = 1, floor(ln(20)^2) = 8, floor(ln(1e6)^2) = 190; at most 2: the integer part
  EXPECT_EQ(bucket->apply(3), 1);
  EXPECT_EQ(bucket->apply(20), 8);
  EXPECT_EQ(bucket->apply(1e6), 190);
  EXPECT_EQ(bucket->apply(-1.5), -1);
  EXPECT_EQ(bucket->apply(2.5), 0);  // ln(2.5)^2 = .84
}

/// A kind and a transform from elsewhere: the hour of a time in seconds, and the third power.
class Hour final : public FieldSource {
 public:
  struct Options : KindOptions {
    std::string column;
    void visit(auto&& field) {
      KindOptions::visit(field);
      field("column", column, "raw column with seconds");
    }
  };
  Hour(const FieldContext& context, const Options& o) : o_(o), context_(context) {}
  std::vector<DeclaredField> fields() const override {
    DeclaredField d;
    d.field.name = o_.name;
    d.encoding.column = derived();
    return {d};
  }
  Config resolved() const override { return write_options(o_); }
  std::vector<std::string> columns(const Field&) const override { return {o_.column}; }
  void derive(RawBatch& rows, const Refuse& refuse) const override {
    const RawColumn& column = rows.column(o_.column);
    std::vector<std::string> cells;
    for (int64_t r = 0; r < rows.rows; ++r) {
      const std::string cell(column.cell(r));
      if (cell.starts_with("-")) refuse(r, column.name, cell, "lies before 1970");
      cells.push_back(context_.missing(column, r) ? "" : std::to_string(std::atoll(cell.c_str()) / 3600 % 24));
    }
    rows.columns.push_back(make_raw_column(derived(), cells));
  }

 private:
  std::string derived() const { return "hour of " + o_.column; }
  Options o_;
  FieldContext context_;
};
INTERPLAY_REGISTER(field_kinds(), "test_hour", Hour, "of a time");

class Power final : public Transform {
 public:
  struct Options {
    double power = 3;
    void visit(auto&& field) { field("power", power, "the power"); }
  };
  explicit Power(const Options& o) : o_(o) {}
  double apply(double x) const override { return std::pow(x, o_.power); }
  bool is_fitted() const override { return true; }
  Scale fit(const NumberStatistics& s) const override { return {s.low, 1}; }

 private:
  Options o_;
};
INTERPLAY_REGISTER(transforms(), "test_power", Power, "x to a power, less the smallest");

}  // namespace
}  // namespace interplay

#include <interplay/data/encoder.h>

#include "data/encode/encoder_builder.h"

namespace interplay {
namespace {

RawBatch batch(std::vector<RawColumn> columns) {
  RawBatch raw;
  raw.rows = columns[0].rows;
  raw.columns = std::move(columns);
  raw.file = "rows.csv";
  for (int64_t i = 0; i < raw.rows; ++i) raw.lines.push_back(i + 2);
  return raw;
}

TEST(FieldKinds, OneFromElsewhereIsFittedAndEncodedAsAnyOther) {
  const auto spec = parse(
      "  - {name: hour, kind: test_hour, column: t}\n"
      "  - {column: x, kind: numeric, transform: {name: test_power, power: 2}}\n",
      "missing_tokens: [\"-\"]");
  EncoderBuilder builder(spec, {int64_t{1} << 20, {}, {}});
  // hours 1, 1, 23, missing; 2, 3, 4, 5 squared less 4
  const auto raw =
      batch({make_raw_column("y", {"0", "1", "0", "1"}), make_raw_column("t", {"3600", "90000", "82800", ""}),
             make_raw_column("x", {"2", "3", "4", "5"})});
  EXPECT_THAT(builder.parser().columns(true), ElementsAre("y", "t", "x"));
  const auto values = builder.parser().parse(raw, true, nullptr);
  const std::vector<uint8_t> train(values.rows.size(), 0);
  builder.observe(values, train);
  const CodedRows coded = builder.code(values, train);
  const Encoder encoder = builder.build();
  EXPECT_THAT(encoder.encode(raw, {}).ids, ElementsAre(1, 1, 2, 3));
  EXPECT_THAT(encoder.encode(raw, {}).dense, ElementsAre(0, 5, 12, 21));
  std::vector<EncoderBuilder::Unseen> unseen;
  EXPECT_THAT(builder.resolve(coded, 0, unseen).ids, ElementsAre(1, 1, 2, 3));
  EXPECT_EQ(encoder.column(0), "");  // it is derived
  EXPECT_EQ(encoder.column(1), "x");
  EXPECT_EQ(DataSpec::parse(encoder.schema().source).resolved.yaml(), spec.resolved.yaml());
  const auto bad = batch({make_raw_column("y", {"0"}), make_raw_column("t", {"-5"}), make_raw_column("x", {"1"})});
  EXPECT_THAT(interplay::testing::data_error([&] { encoder.encode(bad, {}); }),
              HasSubstr("rows.csv:2: t = '-5' lies before 1970"));
}

}  // namespace
}  // namespace interplay
