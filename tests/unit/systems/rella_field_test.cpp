// Prompts as fields of a data.yaml: what their entry declares, and that they say what Rella says.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/dataset.h>
#include <interplay/data/encoder.h>
#include <interplay/data/event_history.h>
#include <interplay/data/field_kind.h>
#include <interplay/data/prepare.h>
#include <interplay/lm/chat.h>
#include <interplay/lm/tokenizer.h>
#include <interplay/systems/rella.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay {
namespace {

namespace fs = std::filesystem;
using interplay::testing::config_error;
using interplay::testing::data_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kModel = (fs::path(INTERPLAY_TESTS_DIR) / "reference/data/tiny_chat.gguf").string();

constexpr const char* kPrompt =
    "{system: Judge., user: \"A {sex} viewer:\\n{history}\\nNext: {title} ({genre})?\", event: \"{index}) {title}, "
    "{r}\", words: {sex: {F: female}}}";

/// One user's five events of the items a, b, c, a, d.
class RellaField : public ::testing::Test {
 protected:
  RellaField() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    dir_.write("items.csv", "i,title,genres\na,Apple,Fruit|Food\nb,Bread,Food\nc,Cherry,Fruit\nd,Date,Fruit\n");
    dir_.write("events.csv", "u,sex,i,r,t\n1,F,a,4,1\n1,F,b,3,2\n1,F,c,2,3\n1,F,a,1,4\n1,F,d,5,5\n");
  }
  Config data(const std::string& more) {
    return Config::load(dir_.write(
        "data.yaml",
        "file: events.csv\nsplit: {by: time, time: t, ratios: [0.4, 0.2, 0.4]}\nlabel: {column: r, at_least: 4}\njoin: "
        "[{file: items.csv, key: i}]\nfields:\n  - {columns: [u, sex, i]}\n  - {column: genres, name: genre, first_of: "
        "\"|\"}\n  - {name: h, kind: history, user: u, item: i, time: t}\n" +
            more));
  }
  std::string entry(const std::string& more = "") {
    return "  - {name: asked, kind: rella, lm: " + kModel + ", history: h, prompt: " + kPrompt + more + "}\n";
  }
  std::string refusal(const std::string& entry) {
    return config_error([&] { prepare(data(entry), dir_ / "refused"); });
  }
  /// What the prompt of a row says.
  static std::string said(const Tokens& text, int64_t row) {
    const auto tokenizer = lm::Tokenizer::load(kModel);
    const auto begin = text.offsets[row].item<int64_t>(), end = text.offsets[row + 1].item<int64_t>();
    const auto ids = text.ids.slice(0, begin, end).to(at::kLong).contiguous();
    return tokenizer->decode({ids.const_data_ptr<int64_t>(), size_t(ids.numel())}, /*control=*/true);
  }
  static std::string framed(const std::string& user) {
    return lm::ChatFrame::load(kModel).text(std::vector<lm::ChatMessage>{{"system", "Judge."}, {"user", user}});
  }
  interplay::testing::TempDir dir_;
};

TEST_F(RellaField, TellsTheLastEvents) {
  prepare(data(entry(", length: 2")), dir_ / "prepared");
  const Dataset test = Dataset::open(dir_ / "prepared", "test");
  const Tokens text = test.slice(0, 2).features.tokens.at(0);
  EXPECT_EQ(said(text, 0), framed("A female viewer:\n1) Bread, 3\n2) Cherry, 2\nNext: Apple (Fruit)?"));
  EXPECT_EQ(said(text, 1), framed("A female viewer:\n1) Cherry, 2\n2) Apple, 1\nNext: Date (Fruit)?"));
  EXPECT_EQ(text.columns.max().item<int>(), -1);
  const Tokens first = Dataset::open(dir_ / "prepared", "train").slice(0, 1).features.tokens.at(0);
  EXPECT_EQ(said(first, 0), framed("A female viewer:\n\nNext: Apple (Fruit)?"));
}

TEST_F(RellaField, TellsThoseNearestToTheItem) {
  data("");
  const Rella rella(
      Config::load(dir_.write("rella.yaml", std::string("data: data.yaml\nhistory: h\ntopic: genre\nitem_text: "
                                                        "\"{title}\"\nretrieval: {dimension: 2}\nprompt: ") +
                                                kPrompt + "\n")),
      1);
  // Of what lies before the last event, d: c and the second a. Items in the order of their first events.
  const auto vectors = at::tensor({0.f, 1.f, -3.f, -3.f, 2.f, 1.f, 2.f, 0.f}).view({4, 2});
  rella.retrieve(vectors, {"train", "valid", "test"}, 2).save(dir_ / "found.safetensors");
  const auto found = RetrievedHistories::load(dir_ / "found.safetensors", rella);
  prepare(data(entry(", length: 2, retrieved: " + (dir_ / "found.safetensors").string())), dir_ / "prepared");
  const Dataset test = Dataset::open(dir_ / "prepared", "test");
  const Tokens text = test.slice(0, 2).features.tokens.at(0);
  const auto frame = lm::ChatFrame::load(kModel);
  for (int64_t row = 0; row < 2; ++row) {
    const uint32_t sample = rella.samples("test")[size_t(row)];
    const auto messages = rella.prompt(sample, rella.ordered(sample, found.nearest("test", row, 2)));
    EXPECT_EQ(said(text, row), frame.text(messages)) << row;
  }
  EXPECT_THAT(said(text, 1), HasSubstr("1) Cherry, 2\n2) Apple, 1\nNext: Date"));
}

TEST_F(RellaField, RowsAreScoredWithTheirPast) {
  prepare(data(entry()), dir_ / "prepared");
  const Encoder encoder = Encoder::load(dir_ / "prepared");
  const Schema asked = encoder.schema().keep({"asked"});
  const Encoder of_prompt = encoder.keep(asked);
  EXPECT_THAT(of_prompt.columns({.labels = false}),
              ElementsAre("genres", "sex", "title", "asked:i", "asked:title", "asked:r"));
  EXPECT_THAT(EventHistory::lists(asked), ElementsAre("asked:i", "asked:title", "asked:r"));
  RawBatch rows;
  rows.rows = 1;
  for (const auto& [name, cell] : std::map<std::string, std::string>{
           {"u", "1"}, {"i", "d"}, {"t", "5"}, {"sex", "F"}, {"title", "Date"}, {"genres", "Fruit"}})
    rows.columns.push_back(make_raw_column(name, {cell}));
  EXPECT_THAT(data_error([&] { of_prompt.encode(rows, {.labels = false}); }),
              HasSubstr("there is no list 'asked:i'; raw rows carry the events that the prompt 'asked' tells"));
  EventHistory history(asked);
  history.add_events({dir_ / "events.csv"});
  history.add_rows(rows);
  history.finish();
  history.append(rows);
  const Features served = to_features(of_prompt.encode(rows, {.labels = false}), asked);
  const Tokens stored = Dataset::open(dir_ / "prepared", "test").slice(1, 1).features.tokens.at(0);
  EXPECT_TRUE(at::equal(served.tokens.at(0).ids, stored.ids));
}

TEST_F(RellaField, WhatItsEntrySaysWronglyIsNamed) {
  EXPECT_THAT(refusal("  - {name: asked, kind: rella, history: h}\n"), HasSubstr("fields.3.lm: missing"));
  std::string other = entry();
  other.replace(other.find("history: h"), 10, "history: g");
  EXPECT_THAT(refusal(other), HasSubstr("fields.3.history: there is no history 'g' (histories: h)"));
  EXPECT_THAT(refusal(entry(", retrieved: nowhere.safetensors")), HasSubstr("fields.3.retrieved: "));
  other = entry();
  other.replace(other.find("{history}"), 9, "history");
  EXPECT_THAT(refusal(other), HasSubstr("fields.3.prompt.user: has no {history}"));
  other = entry();
  other.replace(other.find(kModel), kModel.size(), "nowhere");
  EXPECT_THAT(refusal(other), HasSubstr("fields.3.lm: there is no model 'nowhere'"));
}

}  // namespace
}  // namespace interplay
