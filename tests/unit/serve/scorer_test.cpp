#include <interplay/serve/scorer.h>

#include <thread>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/core/calibration.h>
#include <interplay/core/quantise_bundle.h>
#include <interplay/data/event_history.h>
#include <interplay/data/open_raw.h>
#include <interplay/data/prepare.h>
#include <interplay/data/row_facts.h>
#include <interplay/data/synth.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/run.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::scorer_test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

RawBatch read_all(const Schema& schema, const fs::path& file) {
  ReadRequest request;
  request.files = {file};
  request.bad_rows = std::make_shared<BadRows>();
  const auto reader = open_raw(schema, request);
  std::vector<RawBatch> batches;
  for (RawBatch batch; reader->next(batch);) batches.push_back(batch);
  return concatenate(batches);
}

RawBatch rows_of(const RawBatch& all, int64_t first, int64_t count) {
  std::vector<int64_t> rows;
  for (int64_t r = first; r < std::min(first + count, all.rows); ++r) rows.push_back(r);
  return take_rows(all, rows);
}

/// A DeepFM on data of Criteo's shape, and a DIN on data of MovieLens' shape, whose rows keep the order of their file.
class ScorerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    Progress::enable(false);
    dir_ = new testing::TempDir;
    SynthOptions criteo;
    criteo.shape = "criteo", criteo.rows = 3000;
    synthesize(criteo, *dir_ / "criteo");
    prepare(Config::load(*dir_ / "criteo" / "data.yaml"), *dir_ / "prepared-criteo");
    run("criteo",
        "{model: {name: deepfm, hidden: [16], norm: batch}, train: {epochs: 1, batch_size: 256, "
        "negative_rate: 0.5}}");
    SynthOptions movielens;
    movielens.shape = "movielens", movielens.rows = 2000, movielens.users = 40;
    synthesize(movielens, *dir_ / "ml");
    prepare(Config::parse(fmt::format(R"(
format: recbole
root: {}
files: {{train: ml.inter}}
label: {{column: rating, at_least: 4}}
fields:
  - columns: [user_id, item_id, gender]
  - {{name: past, kind: history, user: user_id, item: item_id, time: timestamp, filter: {{column: rating, at_least: 3}},
     max_length: 5, side: [{{column: rating, name: past_ratings}}]}}
)",
                                      (*dir_ / "ml").string())),
            *dir_ / "prepared-ml");
    run("ml", "{model: {name: din, hidden: [16]}, train: {epochs: 1, batch_size: 256}}");
  }
  static void TearDownTestSuite() { delete dir_; }
  static void run(const std::string& name, const std::string& experiment) {
    train_run(Config::parse(experiment), {.data = *dir_ / ("prepared-" + name), .out = *dir_ / ("run-" + name)});
  }
  static std::vector<float> evaluated(const std::string& name, const std::string& split, int64_t batch_size) {
    const Bundle bundle = Bundle::open(*dir_ / ("run-" + name));
    PredictOptions options;
    options.batch_size = batch_size;
    options.logit_offsets = bundle.logit_offsets();
    return predict(*bundle.model(), Dataset::open(*dir_ / ("prepared-" + name), split), options).logit;
  }

  static testing::TempDir* dir_;
};
testing::TempDir* ScorerTest::dir_ = nullptr;

TEST_F(ScorerTest, RawRowsScoreAsEvaluationDoesToTheByteAtOneBatchSize) {
  const auto scorer = Scorer::load(*dir_ / "run-criteo");
  const auto raw = read_all(scorer.schema(), *dir_ / "criteo" / "test.txt");
  ASSERT_EQ(raw.rows, 300);
  std::vector<float> logits;
  for (int64_t first = 0; first < raw.rows; first += 64) {
    const auto some = scorer.logits(rows_of(raw, first, 64));
    logits.insert(logits.end(), some.begin(), some.end());
  }
  EXPECT_EQ(logits, evaluated("criteo", "test", 64));
}

TEST_F(ScorerTest, RawRowsScoreAsEvaluationDoesAtAnyBatchSize) {
  const auto scorer = Scorer::load(*dir_ / "run-criteo");
  const auto raw = read_all(scorer.schema(), *dir_ / "criteo" / "test.txt");
  const auto expected = evaluated("criteo", "test", 300);
  for (const int64_t size : {1, 7, 300}) {
    for (int64_t first = 0; first < 70; first += size) {
      const auto p = scorer.score(rows_of(raw, first, size));
      for (size_t i = 0; i < p.size(); ++i)
        EXPECT_NEAR(p[i], 1 / (1 + std::exp(-double(expected[size_t(first) + i]))), 1e-6);
    }
  }
}

TEST_F(ScorerTest, PreparedDataScoreAsRawRows) {
  const auto scorer = Scorer::load(*dir_ / "run-criteo");
  const auto raw = read_all(scorer.schema(), *dir_ / "criteo" / "test.txt");
  EXPECT_EQ(scorer.score(Dataset::open(*dir_ / "prepared-criteo", "test"), 300), scorer.score(raw));
}

/// Logits of the model with its tables unpacked, which is what evaluation gives, against those of a scorer that reads
/// them as they are.
TEST_F(ScorerTest, QuantisedTablesScoreAsTheyDoUnpacked) {
  for (const std::string type : {"int8", "fp16", "bf16"}) {
    for (const std::string name : {"criteo", "ml"}) {
      const std::string quantised = fmt::format("{}-{}", name, type);
      quantise_bundle(Bundle::open(*dir_ / ("run-" + name)), type, *dir_ / ("run-" + quantised));
      fs::create_directory_symlink(*dir_ / ("prepared-" + name), *dir_ / ("prepared-" + quantised));
      const std::string split = name == "ml" ? "train" : "test";
      const auto expected = evaluated(quantised, split, 300);
      const auto p = Scorer::load(*dir_ / ("run-" + quantised))
                         .score(Dataset::open(*dir_ / ("prepared-" + quantised), split), 300);
      ASSERT_EQ(p.size(), expected.size());
      for (size_t i = 0; i < p.size(); ++i) ASSERT_NEAR(p[i], 1 / (1 + std::exp(-double(expected[i]))), 1e-6) << type;
      EXPECT_NE(expected, evaluated(name, split, 300));
      EXPECT_LT(fs::file_size(*dir_ / ("run-" + quantised) / Bundle::kWeights),
                fs::file_size(*dir_ / ("run-" + name) / Bundle::kWeights));
    }
  }
  const auto raw = rows_of(read_all(Scorer::load(*dir_ / "run-criteo").schema(), *dir_ / "criteo" / "test.txt"), 0, 20);
  const auto scorer = Scorer::load(*dir_ / "run-criteo-int8");
  EXPECT_TRUE(scorer.fallback_reason().empty()) << scorer.fallback_reason();
  std::vector<std::string_view> user, candidates;
  const Ranker ranker = scorer.ranker({"I1", "C3"});
  for (const auto& column : ranker.user_columns()) user.push_back(raw.column(column).cell(0));
  for (const auto& column : ranker.candidate_columns()) candidates.push_back(raw.column(column).cell(0));
  EXPECT_NEAR(ranker.score(user, candidates)[0], scorer.score(rows_of(raw, 0, 1))[0], 1e-6);
  EXPECT_THAT(
      testing::data_error([&] { quantise_bundle(Bundle::open(*dir_ / "run-criteo-int8"), "fp16", *dir_ / "twice"); }),
      HasSubstr("quantised already"));
}

TEST_F(ScorerTest, NegativeSamplingIsCorrected) {
  const auto scorer = Scorer::load(*dir_ / "run-criteo");
  const auto raw = rows_of(read_all(scorer.schema(), *dir_ / "criteo" / "test.txt"), 0, 10);
  const Bundle bundle = Bundle::open(*dir_ / "run-criteo");
  const at::NoGradGuard no_grad;
  const auto encoded = Encoder::load(*dir_ / "run-criteo").encode(raw, {.labels = false});
  const auto own = bundle.model()->forward(to_features(encoded, bundle.schema())).logit;
  const auto corrected = scorer.logits(raw);
  for (int64_t r = 0; r < 10; ++r) EXPECT_NEAR(corrected[size_t(r)], own[r].item<float>() + std::log(0.5), 1e-6);
}

TEST_F(ScorerTest, ManyThreadsScoreAtOnce) {
  const auto scorer = Scorer::load(*dir_ / "run-criteo");
  const auto raw = rows_of(read_all(scorer.schema(), *dir_ / "criteo" / "test.txt"), 0, 50);
  const auto alone = scorer.score(raw);
  std::vector<std::thread> threads;
  std::atomic<int> same = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) same += scorer.score(raw) == alone ? 1 : 0;
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(same, 40);
}

TEST_F(ScorerTest, RowsOfCellsScoreAsColumnsDo) {
  const auto scorer = Scorer::load(*dir_ / "run-criteo");
  const auto raw = rows_of(read_all(scorer.schema(), *dir_ / "criteo" / "test.txt"), 0, 5);
  std::vector<Scorer::Row> rows(5);
  for (const auto& name : scorer.columns()) {
    for (int64_t r = 0; r < 5; ++r) rows[size_t(r)][name] = std::string(raw.column(name).cell(r));
  }
  EXPECT_EQ(scorer.score(rows), scorer.score(raw));
  rows[1].erase("C3");  // absent in one row: a missing value, as an empty cell
  auto emptied = rows;
  emptied[1]["C3"] = "";
  EXPECT_EQ(scorer.score(rows), scorer.score(emptied));
}

TEST_F(ScorerTest, ColumnThatNoRowHasIsNamed) {
  const auto scorer = Scorer::load(*dir_ / "run-ml");
  const auto without_history = testing::data_error([&] {
    scorer.score({{{"user_id", "1"}, {"item_id", "2"}, {"gender", "F"}, {"past_ratings", "4"}}});
  });
  EXPECT_THAT(without_history, HasSubstr("'past'"));
  EXPECT_THAT(without_history, HasSubstr("--history"));
  EXPECT_THAT(testing::data_error([&] {
                scorer.score({{{"user_id", "1"}, {"item_id", "2"}, {"past", "4"}, {"past_ratings", "4"}}});
              }),
              HasSubstr("'gender'"));
}

TEST_F(ScorerTest, HistoriesDerivedFromEventsAreThoseOfPrepare) {
  const auto scorer = Scorer::load(*dir_ / "run-ml");
  const auto raw = read_all(scorer.schema(), *dir_ / "ml" / "ml.inter");
  EventHistory history(scorer.schema());
  history.add_events({*dir_ / "ml" / "ml.inter"});
  std::vector<RawBatch> batches;
  for (int64_t first = 0; first < raw.rows; first += 512) batches.push_back(rows_of(raw, first, 512));
  for (const auto& batch : batches) history.add_rows(batch);
  history.finish();
  std::vector<float> logits;
  for (auto& batch : batches) {
    history.append(batch);
    const auto some = scorer.logits(batch);
    logits.insert(logits.end(), some.begin(), some.end());
  }
  EXPECT_EQ(logits, evaluated("ml", "train", 512));
}

TEST_F(ScorerTest, RowsAreNobodysPast) {
  const auto scorer = Scorer::load(*dir_ / "run-ml");
  const auto raw = read_all(scorer.schema(), *dir_ / "ml" / "ml.inter");
  EventHistory history(scorer.schema());  // no event at all
  history.add_rows(raw);
  history.finish();
  auto copy = raw;
  history.append(copy);
  EXPECT_EQ(copy.column("past").list_offsets[raw.rows], 0);
}

TEST_F(ScorerTest, EventsForAModelWithoutHistoryAreRefused) {
  EXPECT_THROW(EventHistory(Scorer::load(*dir_ / "run-criteo").schema()), Error);
}

TEST_F(ScorerTest, OtherPreparedDataAreRefused) {
  const auto scorer = Scorer::load(*dir_ / "run-criteo");
  EXPECT_THROW(scorer.score(Dataset::open(*dir_ / "prepared-ml", "train")), Error);
}

/// The run of Criteo's shape, calibrated on its test rows.
class CalibratedScorer : public ScorerTest, public ::testing::WithParamInterface<std::tuple<std::string, std::string>> {
 protected:
  CalibratedScorer() {
    fs::remove_all(run_);
    fs::copy(*dir_ / "run-criteo", run_, fs::copy_options::recursive);
    const auto& [method, by] = GetParam();
    const Bundle bundle = Bundle::open(run_);
    const Dataset rows = Dataset::open(*dir_ / "prepared-criteo", "test").select(bundle.schema());
    PredictOptions options;
    options.logit_offsets = bundle.logit_offsets();
    Predictions own = predict(*bundle.model(), rows, options);
    const auto ids = by.empty() ? std::vector<int32_t>() : ids_of(rows, by);
    Calibration::fit(own, ids, bundle.schema(), {.method = method, .by = by, .min_rows = 20}).save(run_);
    Bundle::open(run_).calibration()->apply(own, rows);
    expected_ = own.logit;
  }
  static Scorer::Row row(const RawBatch& raw, int64_t r, const std::vector<std::string>& columns) {
    Scorer::Row out;
    for (const auto& name : columns) out[name] = std::string(raw.column(name).cell(r));
    return out;
  }
  double p(size_t row) const { return 1 / (1 + std::exp(-double(expected_[row]))); }

  /// A batch of another size rounds a logit elsewhere in its last bits, and a map of few rows can be steep there.
  static constexpr double kNear = 1e-4;

  const fs::path run_ = *dir_ / "calibrated";
  std::vector<float> expected_;
};
INSTANTIATE_TEST_SUITE_P(Each, CalibratedScorer,
                         ::testing::Combine(::testing::ValuesIn(calibrators().names()),
                                            ::testing::Values("", "C9", "C20")));

TEST_P(CalibratedScorer, GivesWhatEvaluationGives) {
  const auto scorer = Scorer::load(run_);
  EXPECT_EQ(scorer.fallback_reason(), "");
  const auto raw = read_all(scorer.schema(), *dir_ / "criteo" / "test.txt");
  EXPECT_NE(expected_, evaluated("criteo", "test", 4096));
  EXPECT_EQ(scorer.logits(raw), expected_);
  for (const int64_t size : {1, 7}) {
    for (int64_t first = 0; first < 70; first += size) {
      const auto found = scorer.score(rows_of(raw, first, size));
      for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], p(size_t(first) + i), kNear);
    }
  }
}

TEST_P(CalibratedScorer, RanksByTheSameMapsWhosesoeverTheFieldIs) {
  const auto scorer = Scorer::load(run_);
  const auto raw = read_all(scorer.schema(), *dir_ / "criteo" / "test.txt");
  for (const auto& user : std::vector<std::vector<std::string>>{{"C9", "I1"}, {"C20"}, {"C9", "C20"}}) {
    const auto others = scorer.ranker(user).candidate_columns();
    for (int64_t r = 0; r < 20; ++r) {
      const auto found = scorer.score(row(raw, r, user), {row(raw, r, others)});
      ASSERT_NEAR(found.at(0), p(size_t(r)), kNear) << r;
    }
  }
}

TEST_F(ScorerTest, ACalibrationThatIsNotVouchedForIsRefused) {
  const fs::path run = *dir_ / "stray";
  fs::copy(*dir_ / "run-criteo", run, fs::copy_options::recursive);
  write_file(run / Calibration::kFile, "{}");
  EXPECT_THAT(testing::data_error([&] { Scorer::load(run); }), HasSubstr("--remove"));
  EXPECT_EQ(Bundle::open_uncalibrated(run).calibration(), nullptr);
  EXPECT_TRUE(Calibration::remove(run));
  EXPECT_NO_THROW(Scorer::load(run));
}

}  // namespace
}  // namespace interplay::scorer_test
