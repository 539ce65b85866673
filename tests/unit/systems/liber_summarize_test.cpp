// Partitions as a field of prepared rows, and what is said of them.
#include <map>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/dataset.h>
#include <interplay/data/encoder.h>
#include <interplay/data/event_history.h>
#include <interplay/data/event_log.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/data/prepare.h>
#include <interplay/data/reader.h>
#include <interplay/systems/liber.h>

#include "support/error_of.h"
#include "support/stored.h"
#include "support/temp_dir.h"
#include "systems/liber/tastes.h"
#include "unit/systems/liber_rows.h"

namespace interplay::liber_summarize_test {
namespace {

namespace fs = std::filesystem;
using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::LateTastes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Says how many events it was told of, and counts as a language model would: 60 tokens of instruction, 15 an event, 80
/// an earlier summary.
class Counting final : public Summarizer {
 public:
  struct Options {
    int64_t fail_at = 0;
    void visit(auto&& field) { field("fail_at", fail_at, "call that fails, once", Range{0, 1e9}); }
  };
  Counting(const SummarizerContext&, const Options& options) : o_(options) {}
  std::vector<std::string> columns() const override { return {"film"}; }
  std::vector<std::string> summaries(std::span<const SummaryTask> tasks) override {
    std::vector<std::string> out;
    for (const SummaryTask& task : tasks) {
      call(60 + 15 * int64_t(task.events.size()) + (task.earlier.empty() ? 0 : 80));
      out.push_back(fmt::format("{}{} to {}", task.earlier.empty() ? "" : task.earlier + ", then ",
                                task.events.front().cells[0], task.events.back().cells[0]));
    }
    return out;
  }
  std::vector<std::string> shifts(std::span<const ShiftTask> tasks) override {
    std::vector<std::string> out;
    for (const ShiftTask& task : tasks) out.push_back(fmt::format("from [{}] to [{}]", task.before, task.now));
    return out;
  }
  std::string identity() const override { return "counting"; }
  Cost cost() const override { return cost_; }

 private:
  void call(int64_t tokens) {
    if (o_.fail_at > 0 && cost_.calls + 1 == o_.fail_at) throw Error("the lights went out");
    ++cost_.calls, cost_.tokens_read += tokens;
  }
  Options o_;
  Cost cost_;
};
INTERPLAY_REGISTER(summarizers(), "counting", Counting, "of a test");

/// What a row's partitions are called.
std::vector<std::string> seen(const Encoder& encoder, const Batch& batch, const Field& field, int64_t row) {
  const Sequence& s = batch.features.sequences[size_t(field.column)];
  std::vector<std::string> out;
  for (int64_t i = s.offsets[row].item<int64_t>(); i < s.offsets[row + 1].item<int64_t>(); ++i)
    out.push_back(encoder.token(field.table, s.ids[i].item<int32_t>()));
  return out;
}

/// Summary and shift of each partition, by its key.
std::map<std::string, std::string> read_texts(const fs::path& out) {
  ReadRequest request;
  request.files = {out / "partitions.parquet"};
  request.columns = {"key", "summary", "shift"};
  const auto reader = readers().make(request, Config::scalar("parquet"));
  std::map<std::string, std::string> texts;
  for (RawBatch batch; reader->next(batch);) {
    for (int64_t r = 0; r < batch.rows; ++r)
      texts.emplace(batch.column("key").cell(r),
                    fmt::format("{}|{}", batch.column("summary").cell(r), batch.column("shift").cell(r)));
  }
  return texts;
}

class LiberData : public ::testing::Test {
 protected:
  LiberData() {
    log::set_level(log::Level::off);
    Progress::enable(false);
  }
  ~LiberData() override { log::set_level(log::Level::info); }

  /// `events` of each of two users, in turn, ten seconds apart.
  void write(int64_t events, const std::string& partitions, const std::string& extra = "") {
    std::string text = "u,film,stars,t\n";
    for (int64_t e = 0; e < events; ++e)
      for (const char* u : {"ann", "bob"}) text += fmt::format("{},{}{},{},{}\n", u, u[0], e, 1 + e % 5, 10 * e);
    dir_.write("events.csv", text + extra);
    dir_.write("data.yaml",
               "file: events.csv\nsplit: {by: time, time: t, tie: [u], ratios: [0.6, 0.2, 0.2]}\nlabel: "
               "{column: stars, at_least: 4}\ntime: t\nfields:\n  - columns: [film]\n  - {name: past, "
               "kind: history, user: u, item: film, time: t, max_length: 3}\n" +
                   partitions);
    fs::remove_all(dir_ / "data");
    prepare(Config::load(dir_ / "data.yaml"), dir_ / "data");
  }
  Config experiment(const std::string& more) const {
    return Config::parse("data: data.yaml\nencoder: ''\n" + more, (dir_ / "liber.yaml").string());
  }
  LiberReport summarize(const std::string& out, const std::string& more) const {
    return summarize_partitions(experiment(more), dir_ / "data", dir_ / out);
  }

  static constexpr const char* kFour = "  - {name: parts, kind: partitions, history: past, count: 4, max_length: 2}\n";
  const testing::TempDir dir_;
};

TEST_F(LiberData, ARowSeesWhatWasClosedBeforeIt) {
  write(20, kFour);
  const Encoder encoder = Encoder::load(dir_ / "data");
  const Field& field = encoder.schema().field("parts");
  EXPECT_TRUE(field.given);
  int64_t event = 0;
  for (const char* split : {"train", "valid", "test"}) {
    const Dataset rows = Dataset::open(dir_ / "data", split);
    const Batch batch = rows.slice(0, rows.rows());
    for (int64_t r = 0; r < rows.rows(); ++r, ++event) {
      const std::string user = event % 2 == 0 ? "ann" : "bob";
      std::vector<std::string> expected;  // of the event/2-th event of its user: floor((event / 2) / 4) are closed
      for (int64_t n = std::max<int64_t>(1, event / 2 / 4 - 1); n <= event / 2 / 4; ++n)
        expected.push_back(fmt::format("{}:{}", user, n));
      EXPECT_EQ(seen(encoder, batch, field, r), expected) << event;
    }
  }
  EXPECT_EQ(event, 40);
}

TEST_F(LiberData, PausesCutToo) {
  write(6, "  - {name: parts, kind: partitions, history: past, count: 0, pause: 15}\n", "ann,x,4,200\nann,y,4,201\n");
  const Encoder encoder = Encoder::load(dir_ / "data");
  const Dataset rows = Dataset::open(dir_ / "data", "test");
  const Batch batch = rows.slice(0, rows.rows());
  const Field& field = encoder.schema().field("parts");
  // The pause is seen when the event behind it has come.
  EXPECT_THAT(seen(encoder, batch, field, rows.rows() - 2), IsEmpty());
  EXPECT_THAT(seen(encoder, batch, field, rows.rows() - 1), ElementsAre("ann:1"));
}

TEST_F(LiberData, RawRowsSeeTheSame) {
  write(20, kFour);
  const Encoder encoder = Encoder::load(dir_ / "data");
  EventHistory history(encoder.schema());
  history.add_events({dir_ / "events.csv"});
  RawBatch raw;
  raw.rows = 2;
  raw.columns = {make_raw_column("u", {"ann", "zoe"}), make_raw_column("film", {"a1", "a2"}),
                 make_raw_column("t", {"95", "95"}), make_raw_column("stars", {"1", "1"})};
  history.add_rows(raw);
  history.finish();
  history.append(raw);
  const EncodedBatch rows = encoder.encode(raw, {.labels = false});
  const Field& field = encoder.schema().field("parts");
  const auto& s = rows.sequences[size_t(field.column)];
  ASSERT_THAT(s.offsets, ElementsAre(0, 2, 2));
  EXPECT_EQ(encoder.token(field.table, s.ids[0]), "ann:1");  // ten events by then
  EXPECT_EQ(encoder.token(field.table, s.ids[1]), "ann:2");
}

/// Other events from a row's own on change nothing of it: neither its partitions nor what is said of them.
TEST_F(LiberData, NothingLooksAhead) {
  const auto numbers_before = [&](const std::string& out) {
    summarize(out, "tastes: {like: {column: stars, at_least: 4}, columns: [{column: film}], values: 1000}\n");
    const auto texts = read_texts(dir_ / out);
    const Encoder encoder = Encoder::load(dir_ / "data");
    const Dataset rows = Dataset::open(dir_ / "data", "train");
    const Batch batch = rows.slice(0, 20);
    std::vector<std::string> said;
    for (int64_t r = 0; r < 20; ++r)
      for (const auto& key : seen(encoder, batch, encoder.schema().field("parts"), r)) said.push_back(texts.at(key));
    return said;
  };
  write(20, kFour);
  const auto before = numbers_before("one");
  ASSERT_FALSE(before.empty());
  std::string text = read_file(dir_ / "events.csv");
  std::string other;
  size_t line = 0;
  for (size_t at = 0; at < text.size(); ++line) {  // of each user the tenth event is the 20th and 21st line
    const size_t end = text.find('\n', at) + 1;
    std::string row = text.substr(at, end - at);
    if (line > 20) row = fmt::format("{},other{},{},{}", row.substr(0, 3), line, 5, row.substr(row.rfind(',') + 1));
    other += row, at = end;
  }
  dir_.write("events.csv", other);
  fs::remove_all(dir_ / "data");
  prepare(Config::load(dir_ / "data.yaml"), dir_ / "data");
  EXPECT_EQ(numbers_before("two"), before);
}

TEST_F(LiberData, OneCallAClosedPartitionAndNoneTwice) {
  const auto cost = testing::reference_json("systems/liber.json")["cost"];
  std::string text = "u,film,stars,t\n";
  for (int e = 0; e < cost["events"]; ++e) text += fmt::format("ann,f{},4,{}\n", e, e);
  write(5, fmt::format("  - {{name: parts, kind: partitions, history: past, count: {}}}\n", cost["K"].get<int>()));
  dir_.write("events.csv", text);
  fs::remove_all(dir_ / "data");
  prepare(Config::load(dir_ / "data.yaml"), dir_ / "data");
  const LiberReport first = summarize("out", "summarizer: counting\nshift: false\n");
  EXPECT_EQ(first.cost.calls, 4);
  EXPECT_EQ(first.cost.tokens_read, cost["partitioned"]);
  EXPECT_EQ(first.partitions, 4);
  const std::string texts = read_file(dir_ / "out" / "partitions.parquet");
  const LiberReport again = summarize("out", "summarizer: counting\nshift: false\n");
  EXPECT_EQ(again.cost.calls, 0);
  EXPECT_EQ(again.said_now, 0);
  EXPECT_EQ(read_file(dir_ / "out" / "partitions.parquet"), texts);
  for (int e = cost["events"]; e < cost["events"].get<int>() + 60; ++e) text += fmt::format("ann,f{},4,{}\n", e, e);
  dir_.write("events.csv", text);
  fs::remove_all(dir_ / "data");
  prepare(Config::load(dir_ / "data.yaml"), dir_ / "data");
  EXPECT_EQ(summarize("out", "summarizer: counting\nshift: false\n").cost.calls, 1);  // what has been closed since
}

TEST_F(LiberData, ACascadeTellsOfWhatCameBefore) {
  write(8, kFour);
  summarize("cascade", "summarizer: counting\n");
  const auto texts = read_texts(dir_ / "cascade");
  EXPECT_EQ(texts.at("ann:1"), "a0 to a3|");
  EXPECT_EQ(texts.at("ann:2"), "a0 to a3, then a4 to a7|from [a0 to a3] to [a0 to a3, then a4 to a7]");
  summarize("alone", "summarizer: counting\ncascade: false\n");
  EXPECT_EQ(read_texts(dir_ / "alone").at("ann:2"), "a4 to a7|from [a0 to a3] to [a4 to a7]");
  summarize("summaries", "summarizer: counting\nshift: false\n");
  EXPECT_EQ(read_texts(dir_ / "summaries").at("bob:2"), "b0 to b3, then b4 to b7|");
}

TEST_F(LiberData, GoesOnWhereItWasStopped) {
  write(12, kFour);
  summarize("whole", "summarizer: counting\nat_once: 1\n");
  for (int call = 1; call <= 6; ++call) {
    const std::string out = fmt::format("cut{}", call);
    EXPECT_THAT(config_error([&] {
                  summarize(out, fmt::format("summarizer: {{name: counting, fail_at: {}}}\nat_once: 1\n", call));
                }),
                HasSubstr("lights"));
    const LiberReport rest = summarize(out, "summarizer: counting\nat_once: 1\n");
    EXPECT_EQ(rest.cost.calls, 7 - call);
    EXPECT_EQ(read_file(dir_ / out / "partitions.parquet"), read_file(dir_ / "whole" / "partitions.parquet"));
  }
}

TEST_F(LiberData, WhatDoesNotFitIsRefused) {
  write(12, kFour);
  summarize("out", "summarizer: counting\n");
  EXPECT_THAT(config_error([&] { summarize("out", "tastes: {columns: [{column: film}], like: {column: stars}}\n"); }),
              HasSubstr("at_least"));
  EXPECT_THAT(config_error([&] {
                summarize("out",
                          "tastes: {columns: [{column: film, without: '('}], like: {column: stars, at_least: 4}}\n");
              }),
              ::testing::AllOf(HasSubstr("tastes.columns"), HasSubstr("is no regular expression")));
  EXPECT_THAT(config_error([&] {
                summarize("out", "tastes: {columns: [{column: film}], like: {column: stars, at_least: 4}}\n");
              }),
              HasSubstr("choose another directory"));
  EXPECT_THAT(config_error([&] { summarize("new", "partitions: none\nsummarizer: counting\n"); }),
              HasSubstr("(there are: parts)"));
  std::string text = read_file(dir_ / "events.csv");
  text.replace(text.find("ann,a2"), 6, "ann,zz");
  dir_.write("events.csv", text);
  EXPECT_THAT(config_error([&] { summarize("out", "summarizer: counting\n"); }),
              HasSubstr("knows other events of u 'ann'"));
  dir_.write("data.yaml", read_file(dir_ / "data.yaml") + "  - {name: more, kind: partitions, history: past}\n");
  EXPECT_THAT(config_error([&] { summarize("new", "summarizer: counting\n"); }), HasSubstr("parts, more"));
}

TEST_F(LiberData, EntriesThatCannotBeAreRefused) {
  const auto refusal = [&](const std::string& entry) { return config_error([&] { write(6, entry); }); };
  EXPECT_THAT(refusal("  - {name: parts, kind: partitions}\n"), HasSubstr("history: missing"));
  EXPECT_THAT(refusal("  - {name: parts, kind: partitions, history: film}\n"), HasSubstr("(histories: past)"));
  EXPECT_THAT(refusal("  - {name: parts, kind: partitions, history: past, count: 0}\n"),
              HasSubstr("ever end a partition"));
}

TEST(Tastes, AreCountedAndReadBack) {
  TasteOptions options;
  options.like.column = "stars";
  options.columns = {{"genre", "", "", ""}, {"title", "decade", "^.*\\(|\\d\\)$", "0s"}};
  const TasteCounter counter(options, Config());
  EXPECT_THAT(counter.columns(), ElementsAre("stars", "genre", "title"));
  Tastes tastes;
  const std::vector<PartitionLog::Event> events = {{0, {"5", "Sci-Fi", "A (1995)"}},
                                                   {1, {"+4", "Sci-Fi", "B (1991)"}},
                                                   {2, {"1", "Drama; or not", "C (1988)"}},
                                                   {3, {"", "", "D (1985)"}}};
  counter.count(events, tastes);
  EXPECT_EQ(tastes[0].at("Sci-Fi"), (Taste{2, 2}));
  EXPECT_EQ(tastes[0].at("Drama, or not"), (Taste{0, 1}));
  EXPECT_EQ(tastes[1].at("1990s"), (Taste{2, 2}));
  EXPECT_EQ(tastes[1].at("1980s"), (Taste{0, 2}));
  const std::string said = tell_tastes(counter.counted(), tastes, 0);
  EXPECT_EQ(
      said,
      "genre: loves Sci-Fi 2 of 2; dislikes Drama, or not 0 of 1\ndecade: dislikes 1980s 0 of 2; loves 1990s 2 of 2");
  EXPECT_EQ(read_tastes(counter.counted(), said), tastes);
  EXPECT_EQ(tell_tastes(counter.counted(), tastes, 1), "genre: loves Sci-Fi 2 of 2\ndecade: dislikes 1980s 0 of 2");
  EXPECT_EQ(read_tastes(counter.counted(),
                        "genre: loves x 3 of 2; of 1; hates y 1 of 1; loves  1 of 1\nother: loves z 1 of 1"),
            (Tastes{{}, {}}));
}

}  // namespace
}  // namespace interplay::liber_summarize_test
