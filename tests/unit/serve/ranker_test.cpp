#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <map>
#include <new>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/data/open_raw.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/serve/scorer.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/run.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace {

thread_local int64_t allocations = 0;

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* const memory = alignment > alignof(std::max_align_t)
                           ? std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)
                           : std::malloc(size > 0 ? size : 1);
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Of this whole program, the library's included. Not inlined: GCC takes a free() of what new gave for a mistake.
void* operator new(std::size_t size) { return counted(size, 0); }
void* operator new[](std::size_t size) { return counted(size, 0); }
void* operator new(std::size_t size, std::align_val_t alignment) { return counted(size, std::size_t(alignment)); }
void* operator new[](std::size_t size, std::align_val_t alignment) { return counted(size, std::size_t(alignment)); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace interplay::ranker_test {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Views = std::vector<std::string_view>;

/// One user's request, as cells.
struct Request {
  std::vector<std::string> user, cells;  // candidates row after row
  int64_t rows = 0;
  Views user_views() const { return {user.begin(), user.end()}; }
  Views views() const { return {cells.begin(), cells.end()}; }
};

/// Runs on rows of Criteo's shape, of whose columns I3 and I5 are numbers, and a DIN on rows of MovieLens' shape.
class RankerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    Progress::enable(false);
    dir_ = new testing::TempDir;
    SynthOptions criteo;
    criteo.shape = "criteo", criteo.rows = 3000;
    synthesize(criteo, *dir_ / "raw");
    prepare(Config::parse(fmt::format(R"(
format: tsv
header: [label, I1..I13, C1..C26]
root: {}
files: {{train: train.txt, test: test.txt}}
label: label
min_count: 2
fields:
  - {{columns: [I1, I2], kind: numeric, transform: log_square_bucket}}
  - {{columns: [I3, I5], kind: numeric, transform: standardise}}
  - {{columns: [C1..C13], kind: categorical}}
  - {{columns: [C14], kind: categorical, hash_buckets: 40}}
)",
                                      (*dir_ / "raw").string())),
            *dir_ / "prepared");
    run("deepfm",
        "{model: {name: deepfm, hidden: [20, 12], norm: batch}, train: {epochs: 2, batch_size: 64, "
        "negative_rate: 0.5}}");
    run("autoint", "{model: {name: autoint, attention_layers: 1}, train: {epochs: 1, batch_size: 256}}");
    run("ffm", "{model: {name: ffm}, train: {epochs: 1, batch_size: 256}}");
    run("fwfm", "{model: {name: fwfm}, train: {epochs: 1, batch_size: 256}}");
    const Scorer scorer = Scorer::load(*dir_ / "deepfm");
    ReadRequest request;
    request.files = {*dir_ / "raw" / "test.txt"};
    request.bad_rows = std::make_shared<BadRows>();
    const auto reader = open_raw(scorer.schema(), request);
    std::vector<RawBatch> batches;
    for (RawBatch batch; reader->next(batch);) batches.push_back(batch);
    raw_ = new RawBatch(concatenate(batches));
  }
  static void TearDownTestSuite() {
    delete raw_;
    delete dir_;
  }
  static void run(const std::string& name, const std::string& experiment) {
    train_run(Config::parse(experiment), {.data = *dir_ / "prepared", .out = *dir_ / name});
  }

  static const std::vector<std::string>& user() {
    static const std::vector<std::string> columns{"C2", "I1", "I3", "C7", "C14", "C1"};
    return columns;
  }
  /// The user of the first test row, the candidates of the first `rows`.
  static Request request(const Ranker& ranker, int64_t rows) {
    Request r;
    r.rows = rows;
    for (const auto& name : ranker.user_columns()) r.user.emplace_back(raw_->column(name).cell(0));
    for (int64_t i = 0; i < rows; ++i)
      for (const auto& name : ranker.candidate_columns()) r.cells.emplace_back(raw_->column(name).cell(i));
    return r;
  }
  /// The same rows, the user's cells in each.
  static RawBatch flat(const Ranker& ranker, const Request& r) {
    RawBatch batch;
    batch.rows = r.rows;
    for (size_t c = 0; c < r.user.size(); ++c)
      batch.columns.push_back(
          make_raw_column(ranker.user_columns()[c], std::vector<std::string>(size_t(r.rows), r.user[c])));
    const size_t width = ranker.candidate_columns().size();
    for (size_t c = 0; c < width; ++c) {
      std::vector<std::string> cells;
      for (size_t i = c; i < r.cells.size(); i += width) cells.push_back(r.cells[i]);
      batch.columns.push_back(make_raw_column(ranker.candidate_columns()[c], cells));
    }
    return batch;
  }
  static std::vector<float> of_model(const std::string& name, const RawBatch& rows) {
    const Bundle bundle = Bundle::open(*dir_ / name);
    const auto encoded = Encoder::load(*dir_ / name).encode(rows, {.labels = false});
    const auto predicted = predict(*bundle.model(), Dataset::from(bundle.schema(), {encoded}),
                                   {.batch_size = rows.rows, .logit_offsets = bundle.logit_offsets()});
    std::vector<float> p;
    for (const float z : predicted.logit) p.push_back(float(1 / (1 + std::exp(-double(z)))));
    return p;
  }
  static void expect_near(const std::vector<float>& found, const std::vector<float>& expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-6) << "row " << i;
  }

  static testing::TempDir* dir_;
  static RawBatch* raw_;
};
testing::TempDir* RankerTest::dir_ = nullptr;
RawBatch* RankerTest::raw_ = nullptr;

TEST_F(RankerTest, CandidatesScoreAsTheirRowsDo) {
  const auto scorer = Scorer::load(*dir_ / "deepfm");
  EXPECT_THAT(scorer.fallback_reason(), IsEmpty());
  for (const auto& columns : {user(), std::vector<std::string>(), scorer.columns()}) {
    const Ranker ranker = scorer.ranker(columns);
    for (const int64_t rows : {1, 9, 290}) {
      if (ranker.candidate_columns().empty()) continue;
      const Request r = request(ranker, rows);
      expect_near(ranker.score(r.user_views(), r.views()), of_model("deepfm", flat(ranker, r)));
    }
  }
}

TEST_F(RankerTest, UserWhoDecidesAloneScoresAlikeForAll) {
  const auto scorer = Scorer::load(*dir_ / "deepfm");
  const Ranker ranker = scorer.ranker(scorer.columns());
  const Request r = request(ranker, 1);
  std::vector<float> p(3);
  ranker.score(r.user_views(), {}, p);
  EXPECT_THAT(p, Each(p[0]));
  expect_near({p[0]}, of_model("deepfm", flat(ranker, r)));
}

TEST_F(RankerTest, AttentionAndPairsOfFieldsScoreAsTheirRowsDo) {
  for (const std::string name : {"autoint", "ffm"}) {
    const auto scorer = Scorer::load(*dir_ / name);
    EXPECT_THAT(scorer.fallback_reason(), IsEmpty());
    const Ranker ranker = scorer.ranker(user());
    const Request r = request(ranker, 40);
    expect_near(ranker.score(r.user_views(), r.views()), of_model(name, flat(ranker, r)));
  }
}

TEST_F(RankerTest, ModelsThatRunAsTheyAreScoreAsTheirRowsDo) {
  const auto scorer = Scorer::load(*dir_ / "fwfm");
  EXPECT_THAT(scorer.fallback_reason(), HasSubstr("aten::"));
  const Ranker ranker = scorer.ranker(user());
  const Request r = request(ranker, 40);
  expect_near(ranker.score(r.user_views(), r.views()), of_model("fwfm", flat(ranker, r)));
}

/// Runs on rows that have a history of items and what these were rated, beside a vector and a weighted list of tags.
class RankerOfHistories : public ::testing::TestWithParam<const char*> {
 protected:
  RankerOfHistories() {
    Progress::enable(false);
    std::string rows = "user,item,age,past,ratings,tags,weights,image,click\n";
    for (int i = 0; i < 400; ++i) {
      std::string past, ratings;
      for (int e = 0; e < i % 7; ++e) {
        past += fmt::format("{}i{}", e > 0 ? "|" : "", (3 * i + e) % 40);
        ratings += fmt::format("{}{}", e > 0 ? "|" : "", (i + e) % 5);
      }
      rows += fmt::format("u{},i{},{},{},{},t{}|t{},0.{}|0.5,{}|0.25,{}\n", i % 30, i % 40, i % 50, past, ratings,
                          i % 9, i % 4, 1 + i % 8, (i % 10) / 10., i % 3 == 0);
    }
    write_file(dir_ / "rows.csv", rows);
    prepare(Config::parse(fmt::format(R"(
format: csv
root: {}
files: {{train: rows.csv}}
label: click
fields:
  - {{columns: [user, item]}}
  - {{column: age, kind: numeric, transform: log1p}}
  - {{column: past, kind: sequence, separator: "|", target: item, share: item}}
  - {{column: ratings, kind: sequence, separator: "|", paired: past}}
  - {{column: tags, kind: sequence, separator: "|", weights: weights}}
  - {{column: image, kind: vector, dimension: 2, separator: "|"}}
)",
                                      (dir_ / "").string())),
            dir_ / "prepared");
    train_run(Config::parse(fmt::format("{{model: {}, train: {{epochs: 2, batch_size: 32}}}}", GetParam())),
              {.data = dir_ / "prepared", .out = dir_ / "run"});
  }
  static constexpr int kRows = 60;
  const testing::TempDir dir_;
};

TEST_P(RankerOfHistories, ScoresAsEvaluationDoes) {
  const auto scorer = Scorer::load(dir_ / "run");
  ASSERT_EQ(scorer.fallback_reason(), "");
  const Bundle bundle = Bundle::open(dir_ / "run");
  const auto all = predict(*bundle.model(), Dataset::open(dir_ / "prepared", "train"), {.batch_size = 400}).logit;
  const auto p = [&](int row) { return 1 / (1 + std::exp(-double(all[size_t(row)]))); };
  std::map<std::string, std::vector<std::string>> cells;
  const std::string text = read_file(dir_ / "rows.csv");
  std::vector<std::vector<std::string>> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    auto& parts = lines.emplace_back();
    std::istringstream of_line(line);
    for (std::string part; std::getline(of_line, part, ',');) parts.push_back(part);
  }
  for (int row = 0; row < kRows; ++row)
    for (size_t c = 0; c < lines[0].size(); ++c) cells[lines[0][c]].push_back(lines[size_t(row) + 1][c]);
  for (const auto& user : std::vector<std::vector<std::string>>{{"user", "past", "ratings"},
                                                                {"tags", "weights", "image", "past", "ratings", "user"},
                                                                {"item", "image"},
                                                                {"past"},
                                                                {}}) {
    const Ranker ranker = scorer.ranker(user);
    for (int row = 0; row < kRows; ++row) {
      Views of_user, candidates;
      for (const auto& name : ranker.user_columns()) of_user.push_back(cells[name][size_t(row)]);
      for (const auto& name : ranker.candidate_columns()) candidates.push_back(cells[name][size_t(row)]);
      ASSERT_NEAR(ranker.score(of_user, candidates)[0], p(row), 1e-6) << row << " of " << user.size();
    }
    if (user == std::vector<std::string>{"past"}) continue;  // the ratings beside it are the candidate's
    Views of_user, candidates;                               // one user's history, all candidates
    for (const auto& name : ranker.user_columns()) of_user.push_back(cells[name][13]);
    for (int row = 0; row < kRows; ++row)
      for (const auto& name : ranker.candidate_columns()) candidates.push_back(cells[name][size_t(row)]);
    const auto together = ranker.score(of_user, candidates);
    const size_t width = ranker.candidate_columns().size();
    for (int row = 0; row < kRows; ++row) {
      const auto alone = ranker.score(
          of_user, Views(candidates.begin() + row * int(width), candidates.begin() + (row + 1) * int(width)));
      EXPECT_NEAR(together[size_t(row)], alone[0], 1e-6);
    }
    EXPECT_NEAR(together[13], p(13), 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RankerOfHistories,
                         ::testing::Values("{name: din, hidden: [16]}", "{name: sim, hidden: [16], top_k: 2}",
                                           "{name: sim, attention: din, short_length: 0}",
                                           "{name: deepfm, hidden: [16]}"));

TEST_F(RankerTest, RowsOfCellsScoreAsViewsDo) {
  const auto scorer = Scorer::load(*dir_ / "deepfm");
  const Ranker ranker = scorer.ranker(user());
  const Request r = request(ranker, 7);
  Scorer::Row of_user;
  for (size_t c = 0; c < r.user.size(); ++c) of_user[user()[c]] = r.user[c];
  std::vector<Scorer::Row> candidates(7);
  for (size_t i = 0; i < r.cells.size(); ++i) {
    const size_t width = ranker.candidate_columns().size();
    candidates[i / width][ranker.candidate_columns()[i % width]] = r.cells[i];
  }
  expect_near(scorer.score(of_user, candidates), ranker.score(r.user_views(), r.views()));
  for (auto& row : candidates) row.erase("C3");
  EXPECT_THAT(testing::data_error([&] { scorer.score(of_user, candidates); }), HasSubstr("'C3'"));
}

TEST_F(RankerTest, AllocatesNothingOnceItsMemoryHasGrown) {
  const auto scorer = Scorer::load(*dir_ / "deepfm");
  const Ranker ranker = scorer.ranker(user());
  const Request r = request(ranker, 200);
  const Views of_user = r.user_views(), candidates = r.views();
  std::vector<float> p(200), one(1);
  ranker.score(of_user, candidates, p);
  const auto before = allocations;
  for (int i = 0; i < 10; ++i) ranker.score(of_user, candidates, p);
  ranker.score(of_user, std::span(candidates).first(ranker.candidate_columns().size()), one);
  const auto scoring = allocations - before;
  ::operator delete(::operator new(8));
  const auto counted = allocations - before;
  EXPECT_EQ(scoring, 0);
  EXPECT_EQ(counted, 1);  // the counter counts
  EXPECT_FLOAT_EQ(one[0], p[0]);
}

TEST_F(RankerTest, ManyThreadsScoreAtOnce) {
  const auto scorer = Scorer::load(*dir_ / "deepfm");
  const Ranker ranker = scorer.ranker(user());
  const Request r = request(ranker, 120);
  const auto alone = ranker.score(r.user_views(), r.views());
  std::atomic<int> same = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) same += ranker.score(r.user_views(), r.views()) == alone ? 1 : 0;
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(same, 80);
}

TEST_F(RankerTest, CandidateScoresTheSameAloneAndAmongOthers) {
  const auto scorer = Scorer::load(*dir_ / "deepfm");
  const Ranker ranker = scorer.ranker(user());
  const Request r = request(ranker, 260);
  const Views cells = r.views();
  const auto all = ranker.score(r.user_views(), cells);
  const size_t width = ranker.candidate_columns().size();
  for (const size_t row : {0, 5, 255, 256, 259})
    EXPECT_THAT(ranker.score(r.user_views(), std::span(cells).subspan(row * width, width)), ElementsAre(all[row]));
}

TEST_F(RankerTest, MissingAndUnseenCellsAreThoseOfTheEncoder) {
  const auto scorer = Scorer::load(*dir_ / "deepfm");
  const Ranker ranker = scorer.ranker(user());
  Request r = request(ranker, 3);
  const size_t width = ranker.candidate_columns().size();
  std::fill_n(r.cells.begin(), width, "");
  for (size_t c = 0; c < width; ++c)
    if (ranker.candidate_columns()[c][0] == 'C') r.cells[width + c] = "a token nobody has seen";
  r.user[0] = "";
  expect_near(ranker.score(r.user_views(), r.views()), of_model("deepfm", flat(ranker, r)));
}

TEST_F(RankerTest, CellsThatTheEncoderRefusesAreNamed) {
  const auto scorer = Scorer::load(*dir_ / "deepfm");
  const Ranker ranker = scorer.ranker(user());
  Request r = request(ranker, 3);
  const auto& columns = ranker.candidate_columns();
  const auto place = size_t(std::find(columns.begin(), columns.end(), "I5") - columns.begin());
  r.cells[columns.size() + place] = "many";
  const auto message = testing::data_error([&] { ranker.score(r.user_views(), r.views()); });
  EXPECT_THAT(message, HasSubstr("'many'"));
  EXPECT_THAT(message, HasSubstr("I5"));
}

TEST_F(RankerTest, RequestsThatDoNotFitAreRefused) {
  const auto scorer = Scorer::load(*dir_ / "deepfm");
  EXPECT_THAT(testing::config_error([&] { scorer.ranker({"C99"}); }), HasSubstr("'C99'"));
  EXPECT_THAT(testing::config_error([&] { scorer.ranker({"C1", "C1"}); }), HasSubstr("twice"));
  const Ranker ranker = scorer.ranker(user());
  const Request r = request(ranker, 2);
  const Views of_user = r.user_views(), cells = r.views();
  std::vector<float> p(2);
  EXPECT_THROW(ranker.score(std::span(of_user).first(1), cells, p), Error);
  EXPECT_THROW(ranker.score(r.user_views(), std::span(cells).first(3), p), Error);
  ranker.score(r.user_views(), {}, {});  // no candidate, no result
}

}  // namespace
}  // namespace interplay::ranker_test
