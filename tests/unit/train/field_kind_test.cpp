// A kind of field and a transform that are defined outside of data/, from raw rows to scores.
#include <cmath>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/dataset.h>
#include <interplay/data/field_kind.h>
#include <interplay/data/open_raw.h>
#include <interplay/data/prepare.h>
#include <interplay/data/transform.h>
#include <interplay/serve/scorer.h>
#include <interplay/train/run.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::field_kind_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Day of the week and hour of a time in seconds: two fields of one column.
class Clock final : public FieldSource {
 public:
  struct Options : KindOptions {
    std::string column;
    void visit(auto&& field) {
      KindOptions::visit(field);
      field("column", column, "raw column with seconds since 1970");
    }
  };
  Clock(const FieldContext& context, const Options& o) : o_(o), context_(context) {
    if (o_.column.empty()) context.at["column"].fail("missing; which column has the time?");
  }
  std::vector<DeclaredField> fields() const override {
    std::vector<DeclaredField> out(2);
    out[0].field.name = "day";
    out[1].field.name = "hour";
    for (auto& d : out) d.encoding.column = o_.column + "." + d.field.name;
    return out;
  }
  Config resolved() const override { return write_options(o_); }
  std::vector<std::string> columns(const Field&) const override { return {o_.column}; }
  void derive(RawBatch& rows, const Refuse& refuse) const override {
    const RawColumn& column = rows.column(o_.column);
    std::vector<std::string> days, hours;
    for (int64_t r = 0; r < rows.rows; ++r) {
      const std::string cell(column.cell(r));
      const bool missing = context_.missing(column, r);
      const int64_t t = std::atoll(cell.c_str());
      if (!missing && t <= 0) refuse(r, o_.column, cell, "is no time");
      days.push_back(missing ? "" : std::to_string((4 + t / 86400) % 7));
      hours.push_back(missing ? "" : std::to_string(t / 3600 % 24));
    }
    rows.columns.push_back(make_raw_column(o_.column + ".day", days));
    rows.columns.push_back(make_raw_column(o_.column + ".hour", hours));
  }

 private:
  Options o_;
  FieldContext context_;
};
INTERPLAY_REGISTER(field_kinds(), "test_clock", Clock, "for tests: day and hour of a time");

class Root final : public Transform {
 public:
  using Options = NoOptions;
  explicit Root(const Options&) {}
  double apply(double x) const override { return std::sqrt(std::fabs(x)); }
};
INTERPLAY_REGISTER(transforms(), "test_root", Root, "for tests: the square root");

class KindFromElsewhere : public ::testing::Test {
 protected:
  KindFromElsewhere() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    std::string rows = "click,t,x\n";
    for (int64_t r = 0; r < 200; ++r) rows += fmt::format("{},{},{}\n", r * 7919 % 24 > 12, r * 7919 * 3600, r % 9);
    for (const char* split : {"train", "valid", "test"}) dir_.write(split + std::string(".csv"), rows);
    dir_.write("data.yaml",
               "files: {train: train.csv, valid: valid.csv, test: test.csv}\nlabel: click\nfields:\n  - {kind: "
               "test_clock, column: t}\n  - {column: x, kind: numeric, transform: test_root}\n");
    dir_.write("rows.csv", "t,x\n3601,4\n,\n");
  }
  RawBatch raw(const Schema& schema, const std::string& file) const {
    ReadRequest request;
    request.files = {dir_ / file};
    request.bad_rows = std::make_shared<BadRows>();
    RawBatch batch;
    open_raw(schema, request)->next(batch);
    return batch;
  }
  interplay::testing::TempDir dir_;
};

TEST_F(KindFromElsewhere, IsPreparedTrainedAndServedAsAnyOther) {
  dir_.write("train.csv", "click,t,x\n1,0,1\n");
  EXPECT_THAT(interplay::testing::data_error([&] { prepare(Config::load(dir_ / "data.yaml"), dir_ / "refused"); }),
              HasSubstr("train.csv:2: t = '0' is no time"));
  std::filesystem::copy_file(dir_ / "valid.csv", dir_ / "train.csv", std::filesystem::copy_options::overwrite_existing);
  PrepareOptions skipping;
  skipping.bad_rows = 3;  // the first row is at 1970
  const auto report = prepare(Config::load(dir_ / "data.yaml"), dir_ / "prepared", skipping);
  EXPECT_EQ(report.train_rows, 199);
  EXPECT_EQ(report.fields, 3);
  const Dataset test = Dataset::open(dir_ / "prepared", "test");
  EXPECT_FLOAT_EQ(test.slice(3, 1).features.dense.item<float>(), 2);  // row 4 of the file: x = 4
  train_run(Config::parse("{model: {name: deepfm, hidden: [8]}, train: {epochs: 2, batch_size: 32}}"),
            {.data = dir_ / "prepared", .out = dir_ / "run"});
  const auto scorer = Scorer::load(dir_ / "run");
  EXPECT_THAT(scorer.columns(), ElementsAre("t", "x"));
  const auto expected = scorer.score(test);
  BadRows bad(1);
  std::vector<int64_t> kept;
  const auto found = scorer.score(raw(scorer.schema(), "test.csv"), bad, kept);
  EXPECT_EQ(found, expected);
  // Few rows, which run compiled, and a server's requests, which go by whole rows where a field is derived.
  const auto two = scorer.score(raw(scorer.schema(), "rows.csv"));
  ASSERT_EQ(two.size(), 2u);
  const auto ranked = scorer.score(Scorer::Row{{"x", "4"}}, std::vector<Scorer::Row>{{{"t", "3601"}}});
  EXPECT_NEAR(ranked[0], two[0], 1e-6);
}

TEST_F(KindFromElsewhere, ItsMistakesAreNamedAsAnyOthers) {
  const auto refusal = [&](const std::string& entry) {
    return interplay::testing::config_error(
        [&] { prepare(Config::parse("{files: {train: x}, label: y, fields: [" + entry + "]}"), dir_ / "refused"); });
  };
  EXPECT_THAT(refusal("{kind: test_clock}"), HasSubstr("fields.0.column: missing; which column has the time?"));
  EXPECT_THAT(refusal("{kind: test_clock, colum: t}"),
              HasSubstr("fields.0.colum: unknown key; did you mean fields.0.column?"));
  EXPECT_THAT(refusal("{kind: test_clok, column: t}"), HasSubstr("did you mean 'test_clock'?"));
}

}  // namespace
}  // namespace interplay::field_kind_test
