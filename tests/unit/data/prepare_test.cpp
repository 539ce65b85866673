#include <interplay/data/prepare.h>

#include <filesystem>
#include <fstream>
#include <map>

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <arrow/ipc/reader.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/random.h>
#include <interplay/data/encoder.h>
#include <interplay/data/reader.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace interplay::prepare_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Prepare : public ::testing::Test {
 protected:
  Prepare() : directory_(fs::temp_directory_path() / fmt::format("interplay_prepare_{}", ::getpid())) {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  ~Prepare() override { fs::remove_all(directory_); }

  void file(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name, std::ios::binary) << text;
  }
  Config config(const std::string& yaml) {
    file("data.yaml", yaml);
    return Config::load(directory_ / "data.yaml");
  }

  /// Every file of a directory with its bytes.
  std::map<std::string, std::string> bytes(const std::string& name) const {
    std::map<std::string, std::string> out;
    for (const auto& entry : fs::recursive_directory_iterator(directory_ / name)) {
      if (entry.is_regular_file())
        out[fs::relative(entry.path(), directory_ / name).string()] = read_file(entry.path());
    }
    return out;
  }

  /// One split as Arrow's own reader sees it.
  std::shared_ptr<arrow::Table> table(const std::string& name, const std::string& split) const {
    const auto source = *arrow::io::ReadableFile::Open((directory_ / name / (split + "-00000.arrow")).string());
    const auto reader = *arrow::ipc::RecordBatchFileReader::Open(source);
    std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
    for (int i = 0; i < reader->num_record_batches(); ++i) batches.push_back(*reader->ReadRecordBatch(i));
    return *(*arrow::Table::FromRecordBatches(reader->schema(), batches))->CombineChunks();
  }

  /// The tokens of a sequence field, row by row.
  std::vector<std::vector<std::string>> tokens(const std::string& name, const std::string& split,
                                               const std::string& field) const {
    const Encoder encoder = Encoder::load(directory_ / name);
    const auto column =
        std::static_pointer_cast<arrow::ListArray>(table(name, split)->GetColumnByName(field)->chunk(0));
    const auto ids = std::static_pointer_cast<arrow::Int32Array>(column->values());
    std::vector<std::vector<std::string>> out;
    for (int64_t r = 0; r < column->length(); ++r) {
      out.emplace_back();
      for (int64_t i = column->value_offset(r); i < column->value_offset(r + 1); ++i) {
        out.back().push_back(encoder.token(encoder.schema().field(field).table, ids->Value(i)));
      }
    }
    return out;
  }

  std::vector<std::string> categories(const std::string& name, const std::string& split,
                                      const std::string& field) const {
    const Encoder encoder = Encoder::load(directory_ / name);
    const auto column =
        std::static_pointer_cast<arrow::FixedSizeListArray>(table(name, split)->GetColumnByName("ids")->chunk(0));
    const auto ids = std::static_pointer_cast<arrow::Int32Array>(column->values());
    const Field& f = encoder.schema().field(field);
    std::vector<std::string> out;
    for (int64_t r = 0; r < column->length(); ++r) {
      out.push_back(encoder.token(f.table, ids->Value(r * column->value_length() + f.column)));
    }
    return out;
  }

  std::string complaint(const std::string& yaml, const PrepareOptions& options = {}) {
    try {
      prepare(config(yaml), directory_ / "out", options);
      return "";
    } catch (const Error& problem) {
      EXPECT_FALSE(fs::exists(directory_ / "out"));
      EXPECT_FALSE(fs::exists(directory_ / ".out.partial"));
      return problem.what();
    }
  }

  fs::path directory_;
};

const std::string kThreeFiles =
    "files: {train: train.csv, valid: valid.csv, test: test.csv}\nlabel: y\nfields: [{columns: [a, b]}]\n";

TEST_F(Prepare, FitsOnTheTrainingFileAlone) {
  file("train.csv", "y,a,b\n1,p,u\n0,q,u\n0,q,v\n");
  file("valid.csv", "y,a,b\n1,q,w\n");
  file("test.csv", "y,a,b\n1,r,v\n0,r,u\n");
  const auto report = prepare(config(kThreeFiles), directory_ / "out");
  EXPECT_EQ(report.train_rows, 3);
  EXPECT_EQ(report.valid_rows, 1);
  EXPECT_EQ(report.test_rows, 2);
  EXPECT_THAT(categories("out", "train", "a"), ElementsAre("p", "q", "q"));
  EXPECT_THAT(categories("out", "valid", "a"), ElementsAre("q"));
  EXPECT_THAT(categories("out", "valid", "b"), ElementsAre(""));  // w is unseen
  EXPECT_THAT(categories("out", "test", "a"), ElementsAre("", ""));
  Manifest::load(directory_ / "out").check(directory_ / "out", true);
}

TEST_F(Prepare, PatternsAndSeveralFilesAreReadInOrder) {
  file("part-2.csv", "y,a,b\n0,three,u\n");
  file("part-1.csv", "y,a,b\n0,one,u\n0,two,u\n");
  file("extra.csv", "y,a,b\n0,zero,u\n");
  prepare(config("files: {train: [extra.csv, \"part-*.csv\"]}\nlabel: y\nfields: [{column: a}]\n"), directory_ / "out");
  EXPECT_THAT(categories("out", "train", "a"), ElementsAre("zero", "one", "two", "three"));
  EXPECT_FALSE(fs::exists(directory_ / "out" / "valid-00000.arrow"));
}

TEST_F(Prepare, BadRowsStopWithTheirPlace) {
  file("train.csv", "y,a,b\n1,p,u\nmaybe,q,u\n");
  file("valid.csv", "y,a,b\n1,q,w\n");
  file("test.csv", "y,a,b\n1,r,v\n");
  const auto text = complaint(kThreeFiles);
  EXPECT_THAT(text, HasSubstr("train.csv:3"));
  EXPECT_THAT(text, HasSubstr("'maybe'"));
}

TEST_F(Prepare, ToleratedRowsAreLeftOutOfEveryPassAndListed) {
  file("train.csv", "y,a,b\n1,p,u\nmaybe,zz,u\n0,q,u\n1,only two\n0,p,v\n");
  file("valid.csv", "y,a,b\n1,q,w\n7,q,w\n");
  file("test.csv", "y,a,b\n1,r,v\n");
  PrepareOptions options;
  options.bad_rows = 3;
  const auto report = prepare(config(kThreeFiles), directory_ / "out", options);
  EXPECT_EQ(report.train_rows, 3);
  EXPECT_EQ(report.valid_rows, 1);
  EXPECT_EQ(report.rejected_rows, 3);
  EXPECT_EQ(Encoder::load(directory_ / "out").schema().field("a").rows, 4);  // p, q: zz never counted
  const std::string rejected = read_file(directory_ / "out" / "rejected.tsv");
  EXPECT_LT(rejected.find("train.csv\t3\ty\tmaybe"), rejected.find("train.csv\t5"));
  EXPECT_LT(rejected.find("train.csv\t5"), rejected.find("valid.csv\t3\ty\t7"));
  options.bad_rows = 2;
  fs::remove_all(directory_ / "out");
  EXPECT_THAT(complaint(kThreeFiles, options), HasSubstr("valid.csv:3"));
}

TEST_F(Prepare, UnseenIdsAreCountedAndToldOf) {
  // Of a and b: train all seen but v, which is too rare; valid 1 of 3 (a is missing once); test all of a, none of b.
  file("train.csv", "y,a,b,tags\n1,12.0,u,x^y\n0,12.0,u,x\n0,13.0,v,y\n1,13.0,,y\n");
  file("valid.csv", "y,a,b,tags\n1,12.0,u,\n1,,w,\n");
  file("test.csv", "y,a,b,tags\n1,12,u,z^x\n0,13,u,\n");
  log::File log(directory_ / "log");
  const auto report =
      prepare(config("files: {train: train.csv, valid: valid.csv, test: test.csv}\nlabel: y\nmin_count: 2\n"
                     "fields: [{columns: [a, b]}, {column: tags, kind: sequence}]\n"),
              directory_ / "out");
  const std::string said = read_file(directory_ / "log");
  EXPECT_DOUBLE_EQ(report.train_unseen, 1.0 / 12);
  EXPECT_DOUBLE_EQ(report.valid_unseen, 1.0 / 3);
  EXPECT_DOUBLE_EQ(report.test_unseen, 3.0 / 6);
  EXPECT_THAT(said, HasSubstr("2 of 2 ids of field 'a' in the test rows are unseen"));
  EXPECT_THAT(said, ::testing::Not(HasSubstr("field 'b'")));
}

TEST_F(Prepare, FilesReadTwiceAndLabelsAmongTheFieldsAreToldOf) {
  file("day-1.csv", "y,a\n1,p\n");
  file("day-2.csv", "y,a\n0,q\n");
  fs::create_symlink("day-1.csv", directory_ / "link.csv");
  const auto said = [&](const std::string& yaml) {
    fs::remove_all(directory_ / "out");
    fs::remove(directory_ / "log");
    log::File log(directory_ / "log");
    prepare(config(yaml), directory_ / "out");
    return read_file(directory_ / "log");
  };
  EXPECT_THAT(said("files: {train: day-*.csv, test: day-2.csv}\nlabel: y\nfields: [{column: a}]\n"),
              HasSubstr("day-2.csv is read for train and for test"));
  EXPECT_THAT(said("files: {train: [day-1.csv, link.csv]}\nlabel: y\nfields: [{column: a}]\n"),
              HasSubstr("link.csv is read twice for train"));
  EXPECT_THAT(said("files: {train: day-1.csv, test: day-2.csv}\nlabel: y\nfields: [{columns: [a, y]}]\n"),
              HasSubstr("field 'y' reads column 'y', which is the label"));
  EXPECT_THAT(said("files: {train: day-1.csv, test: day-2.csv}\nlabel: y\nfields: [{column: a}]\n"),
              ::testing::Not(::testing::AnyOf(HasSubstr("is read"), HasSubstr("the label"))));
}

TEST_F(Prepare, DirectoriesAndPipesAreNamed) {
  fs::create_directory(directory_ / "ds");
  const auto refusal = [&](const std::string& yaml) -> std::string {
    try {
      prepare(config(yaml), directory_ / "out");
    } catch (const Error& problem) {
      return problem.what();
    }
    return "";
  };
  EXPECT_THAT(refusal("files: {train: ds}\nlabel: y\nfields: [{column: a}]\n"), HasSubstr("ds: is a directory"));
  EXPECT_THAT(refusal("file: /dev/null\nsplit: {by: random}\nlabel: y\nfields: [{column: a}]\n"),
              HasSubstr("/dev/null: is a pipe or a device"));
}

TEST_F(Prepare, TheInsideOfAQuotedValueIsNoRow) {
  file("train.csv", "y,a,b\n1,u1,\"good\n0,ghost,bad\"\n0,u2,fine\n");
  PrepareOptions options;
  options.bad_rows = 9;
  const auto report = prepare(config("files: {train: train.csv}\nlabel: y\nfields: [{columns: [a, b]}]\n"),
                              directory_ / "out", options);
  EXPECT_EQ(report.train_rows, 2);
  EXPECT_EQ(report.rejected_rows, 0);
  EXPECT_THAT(categories("out", "train", "b"), ElementsAre("good\n0,ghost,bad", "fine"));
}

TEST_F(Prepare, CellsThatOftenMeanAMissingValueNameTheRemedy) {
  for (const char* cell : {"nan", "NULL", "\\N", "NA"}) {
    file("train.csv", fmt::format("y,a\n1,0.5\n0,{}\n", cell));
    const std::string yaml = "files: {train: train.csv}\nlabel: y\nfields: [{column: a, kind: numeric}]\n";
    const std::string remedy = fmt::format("missing_tokens: ['{}']", cell);
    EXPECT_THAT(complaint(yaml), HasSubstr(remedy));
    prepare(config(yaml + remedy + "\n"), directory_ / "out");  // as it is written there
    fs::remove_all(directory_ / "out");
  }
}

TEST_F(Prepare, NothingToFitOnIsAnError) {
  file("train.csv", "y,a,b\n");
  file("valid.csv", "y,a,b\n1,q,w\n");
  file("test.csv", "y,a,b\n1,r,v\n");
  EXPECT_THAT(complaint(kThreeFiles), HasSubstr("no training rows"));
}

const std::string kEvents =
    "u,i,r,t\n"
    "ann,10,5,3\n"  // line 2
    "bob,7,4,1\n"   // 3
    "ann,9,4,1\n"   // 4
    "ann,2,5,3\n"   // 5: the same time as line 2, but item 2 < 10
    "ann,30,1,2\n"  // 6: rated too low to be remembered
    "bob,7,5,2\n"   // 7
    "ann,4,4,9\n"   // 8
    ",5,5,1\n"      // 9: nobody's
    "ann,,5,4\n";   // 10: nothing to remember

TEST_F(Prepare, HistoriesHoldEarlierEventsOnly) {
  file("events.csv", kEvents);
  prepare(
      config("files: {train: events.csv}\nlabel: {column: r, at_least: 4}\nfields:\n"
             "  - {columns: [u, i]}\n"
             "  - {name: h, kind: history, user: u, item: i, time: t, max_length: 3, filter: {column: r, at_least: 4},"
             " ties: order, side: [{column: r, name: hr}]}\n"),
      directory_ / "out");
  using Row = std::vector<std::string>;
  EXPECT_THAT(tokens("out", "train", "h"), ElementsAre(Row{"9", "2"}, Row{}, Row{}, Row{"9"}, Row{"9"}, Row{"7"},
                                                       Row{"9", "2", "10"}, Row{}, Row{"9", "2", "10"}));
  EXPECT_THAT(tokens("out", "train", "hr"), ElementsAre(Row{"4", "5"}, Row{}, Row{}, Row{"4"}, Row{"4"}, Row{"4"},
                                                        Row{"4", "5", "5"}, Row{}, Row{"4", "5", "5"}));
  const Schema schema = Schema::load(directory_ / "out" / "schema.yaml");
  EXPECT_EQ(schema.field("h").table, "i");
  EXPECT_EQ(schema.field("h").target, "i");
  EXPECT_EQ(schema.field("hr").paired_with, "h");
}

TEST_F(Prepare, AHistoryEndsBeforeTheTimeOfItsRow) {
  // What was shown and clicked at one moment is not known at that moment, whatever the numbers of the items: the row of
  // item 2 must not hold its click, nor that of item 1.
  file("events.csv", "u,i,r,t\nann,1,1,5\nann,2,0,5\nann,9,1,4\nann,3,1,6\nann,3,1,6\n");
  const auto yaml = [](const std::string& more) {
    return "files: {train: events.csv}\nlabel: r\nfields:\n  - {column: i}\n"
           "  - {name: h, kind: history, user: u, item: i, time: t, side: [{column: r, name: hr}]" +
           more + "}\n";
  };
  prepare(config(yaml("")), directory_ / "out");
  using Row = std::vector<std::string>;
  EXPECT_THAT(tokens("out", "train", "h"),
              ElementsAre(Row{"9"}, Row{"9"}, Row{}, Row{"9", "1", "2"}, Row{"9", "1", "2"}));
  EXPECT_THAT(tokens("out", "train", "hr"),
              ElementsAre(Row{"1"}, Row{"1"}, Row{}, Row{"1", "1", "0"}, Row{"1", "1", "0"}));
  prepare(config(yaml(", ties: order")), directory_ / "order");  // by item, for coarse times
  EXPECT_THAT(tokens("order", "train", "h"),
              ElementsAre(Row{"9"}, Row{"9", "1"}, Row{}, Row{"9", "1", "2"}, Row{"9", "1", "2"}));
  EXPECT_EQ(prepare(config(yaml(", min_length: 2")), directory_ / "short").train_rows, 2);
  EXPECT_EQ(prepare(config(yaml(", min_length: 2, ties: order")), directory_ / "short-order").train_rows, 3);
  fs::remove_all(directory_ / "out");
  EXPECT_THAT(complaint(yaml(", ties: item")), HasSubstr("ties"));
}

TEST_F(Prepare, TimesOf64BitsStayApart) {
  // As doubles the first two are 20230301181139580, and the last two 1677628800123456768.
  const std::vector<std::string> times = {"20230301181139580",   "20230301181139581",   "1677628800.1",
                                          "1677628800.10000001", "1677628800123456788", "1677628800123456789"};
  for (size_t first = 0; first < times.size(); first += 2) {
    // The item's number must not decide: the later event has the smaller one.
    file("events.csv", fmt::format("u,i,t,y\nann,9,{},1\nann,1,{},0\n", times[first], times[first + 1]));
    for (const char* ties : {"before", "order"}) {
      const fs::path out = directory_ / fmt::format("{}-{}", ties, first);
      prepare(config(fmt::format("files: {{train: events.csv}}\nlabel: y\nfields:\n  - {{column: i}}\n"
                                 "  - {{name: h, kind: history, user: u, item: i, time: t, ties: {}}}\n",
                                 ties)),
              out);
      using Row = std::vector<std::string>;
      EXPECT_THAT(tokens(out.filename(), "train", "h"), ElementsAre(Row{}, Row{"9"})) << times[first];
    }
    fs::remove_all(directory_ / "split");  // nor does the row's
    file("events.csv", fmt::format("i,t,y\nlate,{},1\nearly,{},0\n", times[first + 1], times[first]));
    prepare(config("file: events.csv\nsplit: {by: time, time: t, ratios: [0.5, 0.5]}\nlabel: y\n"
                   "fields: [{column: i}]\n"),
            directory_ / "split");
    EXPECT_THAT(categories("split", "train", "i"), ElementsAre("early")) << times[first];
  }
  file("events.csv", "i,t,y\na,202303011811395801234,1\nb,1,0\n");
  EXPECT_THAT(complaint("file: events.csv\nsplit: {by: time, time: t}\nlabel: y\nfields: [{column: i}]\n"),
              HasSubstr("events.csv:2: t = '202303011811395801234' has more digits than the 19"));
}

TEST_F(Prepare, HistoriesKeepTheLastEventsAndCrossSplits) {
  std::string train = "u,i,t,y\n", test = "u,i,t,y\n";
  for (int k = 1; k <= 5; ++k) train += fmt::format("ann,{},{},1\n", k, k);
  for (int k = 6; k <= 7; ++k) test += fmt::format("ann,{},{},1\n", k, k);
  train += "ann,99,100,1\n";  // later than every test row
  file("train.csv", train);
  file("test.csv", test);
  prepare(config("files: {train: train.csv, test: test.csv}\nlabel: y\nfields:\n  - {column: i, min_count: 1}\n"
                 "  - {name: h, kind: history, user: u, item: i, time: t, max_length: 2}\n"),
          directory_ / "out");
  using Row = std::vector<std::string>;
  EXPECT_THAT(tokens("out", "test", "h"), ElementsAre(Row{"4", "5"}, Row{"5", "6"}));
  EXPECT_THAT(tokens("out", "train", "h").back(), ElementsAre("6", "7"));
}

TEST_F(Prepare, EachUserIsCutInTime) {
  // ann has 10 rows (8, 1, 1), bob 5 (4, 0, 1: floor(4.5) = 4), eve 1 (0, 0, 1)
  std::string rows = "u,i,t,y\n";
  for (int k = 9; k >= 0; --k) rows += fmt::format("ann,{},{},1\n", k, k / 2);  // pairs of one time, in order of item
  for (int k = 0; k < 5; ++k) rows += fmt::format("bob,{},{},0\n", 100 + k, -k);
  rows += "eve,7,7,1\n";
  file("all.csv", rows);
  const auto report = prepare(
      config(
          "file: all.csv\nsplit: {by: user_time, user: u, time: t, tie: i}\nlabel: y\nfields: [{columns: [u, i]}]\n"),
      directory_ / "out");
  EXPECT_EQ(report.train_rows, 12);
  EXPECT_EQ(report.valid_rows, 1);
  EXPECT_EQ(report.test_rows, 3);
  EXPECT_THAT(categories("out", "train", "i"),
              ElementsAre("7", "6", "5", "4", "3", "2", "1", "0", "101", "102", "103", "104"));
  EXPECT_THAT(categories("out", "test", "u"), ElementsAre("ann", "bob", ""));  // eve was never seen in training
}

TEST_F(Prepare, EachUsersLastRowsAreTestAndValid) {
  // Of ratings above 3 with a time, ann has 7, bob 3, eve 2: with one of these before it a row is a sample, so that
  // they have 6, 2 and 1.
  std::string rows = "u,i,t,r\n";
  for (int k = 0; k < 7; ++k) rows += fmt::format("ann,{},{},5\n", k, 10 + k);
  rows += "ann,90,12,3\nann,91,0,5\n";  // not above 3; without a time
  rows += "bob,3,6,4\nbob,1,5,4\nbob,2,6,5\neve,8,1,4\neve,9,2,4\n";
  file("all.csv", rows);
  const auto report = prepare(config("file: all.csv\nfilter: {column: r, above: 3, also: [{column: t, above: 0}]}\n"
                                     "split: {by: user_last, user: u, time: t, tie: i}\nlabel: {column: r, above: 3}\n"
                                     "fields:\n  - {columns: [u, i]}\n  - {name: h, kind: history, user: u, item: i, "
                                     "time: t, ties: order, min_length: 1}\n"),
                              directory_ / "out");
  EXPECT_EQ(report.train_rows, 4);
  EXPECT_EQ(report.valid_rows, 2);
  EXPECT_EQ(report.test_rows, 3);
  EXPECT_THAT(categories("out", "train", "i"), ElementsAre("1", "2", "3", "4"));
  EXPECT_THAT(tokens("out", "valid", "h"), ElementsAre(ElementsAre("0", "1", "2", "3", "4"), ElementsAre("1")));
  EXPECT_THAT(tokens("out", "test", "h").back(), ElementsAre(""));  // eve's 8 is in no training row, nor its past
}

TEST_F(Prepare, OneSourceIsCutInTime) {
  file("all.csv", "t,a,y\n5,e,1\n1,a,1\n2,b,1\n4,d,1\n3,c,1\n");
  prepare(
      config("file: all.csv\ntime: t\nsplit: {by: time, ratios: [0.4, 0.4, 0.2]}\nlabel: y\nfields: [{column: a}]\n"),
      directory_ / "out");
  EXPECT_THAT(categories("out", "train", "a"), ElementsAre("a", "b"));
  EXPECT_EQ(table("out", "valid")->num_rows(), 2);
  EXPECT_EQ(table("out", "test")->num_rows(), 1);
}

TEST_F(Prepare, ARandomSplitFollowsItsSeed) {
  std::string rows = "a,y\n";
  for (int k = 0; k < 4000; ++k) rows += fmt::format("{},1\n", k);
  file("all.csv", rows);
  const auto yaml = [](int seed) {
    return fmt::format(
        "file: all.csv\nsplit: {{by: random, ratios: [0.5, 0.3, 0.2], seed: {}}}\nlabel: y\nfields: [{{column: a}}]\n",
        seed);
  };
  const auto report = prepare(config(yaml(1)), directory_ / "one");
  EXPECT_NEAR(double(report.train_rows), 2000, 4 * 32);  // four standard deviations
  EXPECT_NEAR(double(report.valid_rows), 1200, 4 * 29);
  EXPECT_EQ(report.train_rows + report.valid_rows + report.test_rows, 4000);
  prepare(config(yaml(1)), directory_ / "again");
  prepare(config(yaml(2)), directory_ / "two");
  EXPECT_EQ(bytes("one"), bytes("again"));
  EXPECT_NE(categories("one", "train", "a"), categories("two", "train", "a"));
}

TEST_F(Prepare, ATimeSplitOrdersTiesInTurn) {
  // of time 1 in the order (u, i): a 2, a 10, b 1; by i alone b 1 would be in train
  file("all.csv", "t,u,i,y\n1,b,1,1\n1,a,10,1\n1,a,2,1\n2,a,3,1\n");
  prepare(config("file: all.csv\nsplit: {by: time, time: t, tie: [u, i], ratios: [0.5, 0.25, 0.25]}\nlabel: y\n"
                 "fields: [{column: i}]\n"),
          directory_ / "out");
  EXPECT_THAT(categories("out", "train", "i"), ElementsAre("10", "2"));
}

TEST_F(Prepare, FilteredRowsAreNeitherSamplesNorEvents) {
  file("all.csv", "u,i,t,y\nann,1,1,1\nann,2,0,1\nann,3,,1\nann,4,2,1\n");
  const std::string yaml =
      "files: {train: all.csv}\nlabel: y\nfilter: {column: t, above: 0}\nfields:\n  - {column: i}\n"
      "  - {name: h, kind: history, user: u, item: i, time: t}\n";
  const std::string with_a_hole = "all.csv:4: t is empty, but rows are ordered by it";
  EXPECT_THAT(complaint(yaml), HasSubstr(with_a_hole));  // unreadable rows are bad before they are left out
  file("all.csv", "u,i,t,y\nann,1,1,1\nann,2,0,1\nann,4,2,1\n");
  const auto report = prepare(config(yaml), directory_ / "out");
  using Row = std::vector<std::string>;
  EXPECT_THAT(categories("out", "train", "i"), ElementsAre("1", "4"));
  EXPECT_THAT(tokens("out", "train", "h"), ElementsAre(Row{}, Row{"1"}));
  EXPECT_EQ(report.left_out_rows, 1);
  EXPECT_EQ(report.rejected_rows, 0);
  fs::remove_all(directory_ / "out");
  EXPECT_THAT(complaint("files: {train: all.csv}\nlabel: y\nfilter: {column: t}\nfields: [{column: i}]\n"),
              HasSubstr("filter"));
}

TEST_F(Prepare, RowsWithShortHistoriesAreEventsButNoSamples) {
  // bob has too few events before his rows for a sample but one; ann's third and fourth row are samples
  file("all.csv", "u,i,t,y\nann,1,1,1\nbob,7,1,1\nann,2,2,0\nann,3,3,1\nbob,8,3,1\nann,4,4,0\nbob,9,5,1\n,5,6,1\n");
  const auto report =
      prepare(config("file: all.csv\nsplit: {by: time, time: t, ratios: [0.4, 0.3, 0.3]}\nlabel: y\nfields:\n"
                     "  - {column: i}\n"
                     "  - {name: h, kind: history, user: u, item: i, time: t, max_length: 1, min_length: 2}\n"),
              directory_ / "out");
  using Row = std::vector<std::string>;
  EXPECT_EQ(report.train_rows, 1);  // floor(0.4 * 3): the shares are those of samples
  EXPECT_EQ(report.valid_rows, 1);  // floor(0.7 * 3) - 1
  EXPECT_EQ(report.test_rows, 1);
  EXPECT_EQ(report.left_out_rows, 5);
  EXPECT_THAT(categories("out", "train", "i"), ElementsAre("3"));  // and the vocabulary is fitted on it alone:
  EXPECT_EQ(Encoder::load(directory_ / "out").schema().field("i").rows, 4);  // 3 and, before it, 2; padding, unseen
  EXPECT_THAT(tokens("out", "train", "h"), ElementsAre(Row{"2"}));
  EXPECT_THAT(tokens("out", "valid", "h"), ElementsAre(Row{"3"}));
}

const std::string kJoined =
    "format: {name: csv, separator: \"::\", quote: false, encoding: latin1}\nheader: [u, i, r, t]\n"
    "files: {train: ratings.dat}\nlabel: {column: r, at_least: 4}\njoin:\n"
    "  - {file: users.dat, key: u, header: [u, age]}\n  - {file: movies.dat, key: i, header: [i, title, genres]}\n"
    "fields:\n  - {columns: [u, age, title]}\n  - {column: genres, name: genre, first_of: \"|\"}\n";

TEST_F(Prepare, JoinedTablesBringTheirColumns) {
  file("ratings.dat", "1::10::5::1\n2::11::3::2\n1::12::4::3\n");
  file("users.dat", "2::30\n1::24\n");
  file("movies.dat", "11::Caf\xe9: One::War|Drama\n10::Two::Drama\n");
  prepare(config(kJoined), directory_ / "out");
  EXPECT_THAT(categories("out", "train", "age"), ElementsAre("24", "30", "24"));
  EXPECT_THAT(categories("out", "train", "title"), ElementsAre("Two", "Caf\xc3\xa9: One", ""));  // 12 has no row
  EXPECT_THAT(categories("out", "train", "genre"), ElementsAre("Drama", "War", ""));
  const Encoder encoder = Encoder::load(directory_ / "out");
  RawBatch raw;  // a served row carries the columns itself, and the first of its tokens counts there too
  raw.rows = 1;
  for (const auto& [name, cell] : {std::pair("u", "1"), {"age", "24"}, {"title", "Two"}, {"genres", "War|Comedy"}}) {
    raw.columns.push_back(make_raw_column(name, {cell}));
  }
  const auto ids = encoder.encode(raw, {.labels = false}).ids;
  EXPECT_EQ(encoder.token("genre", ids.at(3)), "War");
}

TEST_F(Prepare, WhatCannotBeJoinedIsNamed) {
  file("ratings.dat", "1::10::5::1\n");
  file("users.dat", "1::24\n");
  EXPECT_THAT(complaint(kJoined), HasSubstr("movies.dat: no such file"));
  file("movies.dat", "10::One::Drama\n10::Two::War\n");
  EXPECT_THAT(complaint(kJoined), HasSubstr("movies.dat:2: i = '10' has a row already"));
  std::string both = kJoined;
  both.replace(both.find("movies.dat"), 10, "mo*.dat");
  file("more.dat", "10::Two::War\n");
  file("movies.dat", "11::Three::War\n10::One::Drama\n");
  EXPECT_THAT(complaint(both), HasSubstr("movies.dat:2: i = '10' has a row already"));
  fs::remove(directory_ / "more.dat");
  file("movies.dat", "10::One\n");
  EXPECT_THAT(complaint(kJoined), HasSubstr("movies.dat:1: '10::One' has 2 values, but there are 3 columns"));
  file("movies.dat", "10::One::Drama\n");
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = kJoined;
    return text.replace(text.find(from), from.size(), to);
  };
  EXPECT_THAT(complaint(changed("key: i, header: [i,", "key: item, header: [item,")),
              ::testing::AllOf(HasSubstr("ratings.dat: there is no column 'item'"), HasSubstr("u, i, r, t")));
  EXPECT_THAT(complaint(changed("[i, title, genres]", "[i, title, age]")),
              ::testing::AllOf(HasSubstr("movies.dat: column 'age' is also"), HasSubstr("rename")));
  EXPECT_THAT(complaint(changed("{file: users.dat, key: u,", "{file: users.dat,")), HasSubstr("join.0.key: missing"));
}

TEST_F(Prepare, TheMemoryBoundNeverShowsInTheResult) {
  std::string rows = "y,a,b,s\n";
  for (uint64_t k = 0; k < 60000; ++k) {
    const auto token = [&](uint64_t stream) { return uint64_t(std::exp(10 * random_unit(7, stream, k))); };
    rows += fmt::format("{},{:08x},{},{}^{}\n", k % 3 / 2, token(0) * 2654435761u % 4294967296u, token(1), token(2),
                        token(3));
  }
  file("train.csv", rows);
  const auto data = config(
      "files: {train: train.csv}\nlabel: y\nfields: [{column: a, min_count: 2}, {column: b}, {column: s, kind: "
      "sequence, share: b}]\n");
  prepare(data, directory_ / "roomy");
  PrepareOptions tight;
  tight.memory_bytes = 1 << 18;
  prepare(data, directory_ / "tight", tight);
  EXPECT_EQ(bytes("roomy"), bytes("tight"));
}

/// 40,000 rows with a field of every kind: several blocks of text.
std::string many_rows() {
  std::string rows = "y,w,u,i,t,x,z,s,r,v\n";
  for (uint64_t k = 0; k < 40000; ++k) {
    const auto token = [&](uint64_t stream) { return uint64_t(std::exp(8 * random_unit(3, stream, k))); };
    const std::string filler(k % 53, 'f');
    rows += fmt::format("{},{},u{},{},{},{},{},{}^{}{},{}^{},{}^0.5\n", k % 3 / 2, 1 + k % 2, token(0) % 900, token(1),
                        k * 7919 % 40000, token(2), k % 11 == 0 ? "" : fmt::format("{}", token(3)), token(4), token(5),
                        filler, token(6) % 5, token(7) % 5, k % 7);
  }
  return rows;
}

const std::string kEveryKind =
    "label: y\nweight: w\ngroup: u\ntime: t\nmin_count: 2\nfields:\n"
    "  - {columns: [u, i]}\n  - {column: i, name: hashed, hash_buckets: 50}\n"
    "  - {column: x, kind: numeric, transform: standardise}\n  - {column: z, kind: numeric, transform: min_max}\n"
    "  - {column: z, name: bucket, kind: numeric, transform: log_square_bucket}\n"
    "  - {column: s, kind: sequence, share: i}\n  - {column: r, kind: sequence, paired: s}\n"
    "  - {column: v, kind: vector, dimension: 2}\n"
    "  - {name: h, kind: history, user: u, item: i, time: t, max_length: 4}\n";

TEST_F(Prepare, NeitherThreadsNorMemoryShowInTheResult) {
  file("all.csv", many_rows());
  for (const char* split : {"{by: random, seed: 3}", "{by: user_time, user: u, time: t}"}) {
    const auto data = config("file: all.csv\nsplit: " + std::string(split) + "\n" + kEveryKind);
    std::map<std::string, std::string> expected;
    for (const int threads : {1, 2, 5}) {
      for (const int64_t memory : {int64_t{1} << 30, int64_t{1} << 18}) {
        PrepareOptions options;
        options.threads = threads;
        options.memory_bytes = memory;
        prepare(data, directory_ / "out", options);
        if (expected.empty()) expected = bytes("out");
        EXPECT_EQ(bytes("out"), expected) << split << ", " << threads << " threads, " << memory << " bytes";
      }
    }
  }
}

TEST_F(Prepare, WhatIsWrittenIsWhatTheEncoderMakesOfTheRows) {
  file("all.csv", many_rows());
  PrepareOptions options;
  options.memory_bytes = 1 << 18;  // through several epochs of codes
  prepare(config("files: {train: all.csv}\n" + kEveryKind.substr(0, kEveryKind.rfind("  - {name: h"))),
          directory_ / "out", options);
  const Encoder encoder = Encoder::load(directory_ / "out");
  ReadRequest request;
  request.files = {directory_ / "all.csv"};
  const auto reader = readers().make(request, Config::parse("csv"));
  std::vector<int32_t> ids, entries;
  std::vector<float> dense;
  for (RawBatch raw; reader->next(raw);) {
    const EncodedBatch batch = encoder.encode(raw, {});
    ids.insert(ids.end(), batch.ids.begin(), batch.ids.end());
    dense.insert(dense.end(), batch.dense.begin(), batch.dense.end());
    entries.insert(entries.end(), batch.sequences[0].ids.begin(), batch.sequences[0].ids.end());
  }
  const auto written = table("out", "train");
  const auto fixed = [&](const char* name) {
    return std::static_pointer_cast<arrow::FixedSizeListArray>(written->GetColumnByName(name)->chunk(0))->values();
  };
  const auto written_ids = std::static_pointer_cast<arrow::Int32Array>(fixed("ids"));
  const auto written_dense = std::static_pointer_cast<arrow::FloatArray>(fixed("dense"));
  const auto list = std::static_pointer_cast<arrow::ListArray>(written->GetColumnByName("s")->chunk(0));
  const auto written_entries = std::static_pointer_cast<arrow::Int32Array>(list->values());
  EXPECT_EQ(ids, std::vector<int32_t>(written_ids->raw_values(), written_ids->raw_values() + written_ids->length()));
  EXPECT_EQ(dense,
            std::vector<float>(written_dense->raw_values(), written_dense->raw_values() + written_dense->length()));
  EXPECT_EQ(entries, std::vector<int32_t>(written_entries->raw_values(),
                                          written_entries->raw_values() + written_entries->length()));
}

TEST_F(Prepare, TheFirstBadRowOfTheFileStopsWhateverTheThreads) {
  std::string rows = "y,a\n";
  for (int line = 2; line <= 200000; ++line) {
    rows += line == 120001   ? "maybe,x\n"  // cells are looked at after lines are split, and in later blocks sooner
            : line == 120004 ? "1,x,y\n"
            : line == 120007 ? "1,\xff\n"
            : line > 190000  ? "no\n"
                             : fmt::format("1,filler {}\n", line);
  }
  file("train.csv", rows);
  const std::string yaml = "files: {train: train.csv}\nlabel: y\nfields: [{column: a}]\n";
  for (const int threads : {1, 2, 5}) {
    PrepareOptions options;
    options.threads = threads;
    EXPECT_THAT(complaint(yaml, options), HasSubstr("train.csv:120001: y = 'maybe'")) << threads;
    options.bad_rows = 2;
    EXPECT_THAT(complaint(yaml, options), HasSubstr("train.csv:120007: a = '\\xff'")) << threads;
    options.bad_rows = 3;
    EXPECT_THAT(complaint(yaml, options), HasSubstr("train.csv:190001: 'no' has 1 values")) << threads;
  }
}

TEST_F(Prepare, ATokenMetInOtherSplitsAloneIsNotInTheVocabulary) {
  file("all.csv", "y,a,t\n1,early,1\n0,early,2\n1,late,3\n");
  prepare(config("file: all.csv\nsplit: {by: time, time: t, ratios: [0.7, 0.3]}\nlabel: y\nfields: [{column: a}]\n"),
          directory_ / "out");
  EXPECT_EQ(Encoder::load(directory_ / "out").schema().field("a").rows, 3);
  EXPECT_THAT(categories("out", "valid", "a"), ElementsAre(""));
}

TEST_F(Prepare, AWarmStartKeepsIds) {
  file("day1.csv", "y,a\n1,x\n0,x\n0,w\n");
  file("day2.csv", "y,a\n1,new\n0,w\n1,new\n1,w\n1,w\n");
  const std::string yaml = "files: {train: FILE}\nlabel: y\nfields: [{column: a}]\n";
  const auto of = [&](const std::string& name) {
    std::string text = yaml;
    return config(text.replace(text.find("FILE"), 4, name));
  };
  prepare(of("day1.csv"), directory_ / "one");
  PrepareOptions warm;
  warm.vocabulary_from = directory_ / "one";
  prepare(of("day2.csv"), directory_ / "two", warm);
  const Encoder encoder = Encoder::load(directory_ / "two");
  EXPECT_EQ(encoder.token("a", 1), "x");
  EXPECT_EQ(encoder.token("a", 2), "w");
  EXPECT_EQ(encoder.token("a", 3), "new");
  warm.new_tokens = false;
  EXPECT_DOUBLE_EQ(prepare(of("day2.csv"), directory_ / "three", warm).train_unseen, 2 / 5.);
  EXPECT_EQ(Encoder::load(directory_ / "three").token("a", 3), "");
}

TEST_F(Prepare, ThePreparedDirectoryReplacesAnOlderOneWhole) {
  file("train.csv", "y,a,b\n1,p,u\n");
  file("valid.csv", "y,a,b\n1,q,w\n");
  file("test.csv", "y,a,b\n1,r,v\n");
  prepare(config(kThreeFiles), directory_ / "out");
  prepare(config("files: {train: train.csv}\nlabel: y\nfields: [{column: a}]\n"), directory_ / "out");
  EXPECT_FALSE(fs::exists(directory_ / "out" / "test-00000.arrow"));
  EXPECT_FALSE(fs::exists(directory_ / "out" / "vocabulary" / "b.parquet"));
}

TEST_F(Prepare, SchemasNameNoMachinesPaths) {
  file("train.csv", "y,a\n1,p\n");
  prepare(config("root: " + directory_.string() + "\nfiles: {train: train.csv}\nlabel: y\nfields: [{column: a}]\n"),
          directory_ / "out");
  EXPECT_EQ(read_file(directory_ / "out" / "schema.yaml").find(directory_.string()), std::string::npos);
}

}  // namespace
}  // namespace interplay::prepare_test
