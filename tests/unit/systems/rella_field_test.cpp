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

namespace interplay::rella_field_test {
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

/// With places for vectors behind each event and the item.
std::string with_vectors(std::string text) {
  const auto put = [&](const char* after) { text.insert(text.find(after) + std::string(after).size(), "{vector}"); };
  put("Next: {title}"), put("{title}, {r}");
  return text;
}

TEST_F(RellaField, PlacesOfVectorsNumberTheEventsOfItsSequences) {
  const std::string vectors =
      ", length: 2, vectors: true, item: i, history_length: 3, side: [{column: r, name: asked_r}]";
  prepare(data(with_vectors(entry(vectors))), dir_ / "prepared");
  const Dataset test = Dataset::open(dir_ / "prepared", "test");
  const Schema& schema = test.schema();
  EXPECT_EQ(schema.field("asked_items").target, "i");
  EXPECT_EQ(schema.field("asked_items").table, "i");
  EXPECT_EQ(schema.field("asked_r").paired_with, "asked_items");
  const int64_t words = lm::Tokenizer::load(kModel)->size();
  EXPECT_EQ(schema.field("asked").rows, words + 4);
  const Features x = test.slice(0, 2).features;
  // Of d, the last row: a, b, c, a lie before it; the sequence holds b, c, a, the prompt tells c and a.
  const Encoder encoder = Encoder::load(dir_ / "prepared");
  const auto tokens_of = [&](const char* name, int64_t row) {
    const Field& f = schema.field(name);
    const Sequence& s = x.sequences.at(size_t(f.column));
    std::vector<std::string> out;
    for (int64_t e = s.offsets[row].item<int64_t>(); e < s.offsets[row + 1].item<int64_t>(); ++e)
      out.push_back(encoder.token(f.table, s.ids[e].item<int64_t>()));
    return out;
  };
  EXPECT_THAT(tokens_of("asked_items", 1), ElementsAre("b", "", "a"));  // c comes up in no training row
  EXPECT_EQ(tokens_of("asked_r", 1).size(), 3u);
  const Tokens& text = x.tokens.at(0);
  std::vector<int64_t> marks, told;
  for (int64_t t = text.offsets[1].item<int64_t>(); t < text.offsets[2].item<int64_t>(); ++t) {
    const int64_t id = text.ids[t].item<int64_t>();
    (id >= words ? marks : told).push_back(id);
  }
  EXPECT_THAT(marks, ElementsAre(words + 2, words + 3, words));
  const auto plain = lm::Tokenizer::load(kModel)->decode(told, /*control=*/true);
  EXPECT_EQ(plain, framed("A female viewer:\n1) Cherry, 2\n2) Apple, 1\nNext: Date (Fruit)?"));

  RawBatch rows;  // the same of raw rows
  rows.rows = 1;
  for (const auto& [name, cell] : std::map<std::string, std::string>{
           {"u", "1"}, {"i", "d"}, {"t", "5"}, {"sex", "F"}, {"title", "Date"}, {"genres", "Fruit"}})
    rows.columns.push_back(make_raw_column(name, {cell}));
  const Schema asked = schema.keep({"i", "asked", "asked_items", "asked_r"});
  EventHistory history(asked);
  history.add_events({dir_ / "events.csv"});
  history.add_rows(rows);
  history.finish();
  history.append(rows);
  const Features served = to_features(encoder.keep(asked).encode(rows, {.labels = false}), asked);
  EXPECT_TRUE(at::equal(served.tokens.at(0).ids, text.ids.slice(0, text.offsets[1].item<int64_t>())));
  for (const char* name : {"asked_items", "asked_r"}) {
    const Sequence& stored = x.sequences.at(size_t(schema.field(name).column));
    EXPECT_TRUE(at::equal(served.sequences.at(size_t(asked.field(name).column)).ids,
                          stored.ids.slice(0, stored.offsets[1].item<int64_t>())))
        << name;
  }
}

TEST_F(RellaField, LongPromptsLoseWholeEvents) {
  const int64_t words = lm::Tokenizer::load(kModel)->size();
  const auto prompt = [&](const std::string& more) {
    const auto folder = dir_ / "cut";
    std::filesystem::remove_all(folder);
    prepare(data(with_vectors(entry(", length: 3, vectors: true, item: i" + more))), folder);
    const Tokens text = Dataset::open(folder, "test").slice(1, 1).features.tokens.at(0);
    return std::vector<int32_t>(text.ids.const_data_ptr<int32_t>(),
                                text.ids.const_data_ptr<int32_t>() + text.ids.numel());
  };
  const auto marks = [&](const std::vector<int32_t>& ids) {
    std::vector<int64_t> out;
    for (const int32_t id : ids) {
      if (id >= words) out.push_back(id - words);
    }
    return out;
  };
  const auto whole = prompt("");
  EXPECT_THAT(marks(whole), ElementsAre(1, 2, 3, 0));
  const auto cut = prompt(fmt::format(", max_tokens: {}", whole.size() - 1));
  EXPECT_THAT(marks(cut), ElementsAre(2, 3, 0));  // the first event is gone with its vector
  EXPECT_LT(cut.size(), whole.size() - 5);
  EXPECT_THAT(marks(prompt(fmt::format(", max_tokens: {}", cut.size()))), ElementsAre(2, 3, 0));
  EXPECT_THAT(data_error([&] { prompt(", max_tokens: 12"); }), HasSubstr("a prompt without a past event has"));
}

TEST_F(RellaField, PlacesOfVectorsAreLeftOutWhereNoneAreAskedFor) {
  prepare(data(entry(", length: 2")), dir_ / "plain");
  prepare(data(with_vectors(entry(", length: 2"))), dir_ / "left_out");
  const auto ids = [&](const char* folder) {
    return Dataset::open(dir_ / folder, "test").slice(0, 2).features.tokens.at(0).ids;
  };
  EXPECT_TRUE(at::equal(ids("plain"), ids("left_out")));
  std::string once = entry(", vectors: true, item: i");
  EXPECT_THAT(refusal(once), HasSubstr("fields.3.prompt: says nowhere where vectors go"));
  once.insert(once.find("Next: "), "{vector}");
  EXPECT_THAT(refusal(once), HasSubstr("fields.3.prompt.event: says {vector} 0 times; expected once"));
  EXPECT_THAT(refusal(with_vectors(entry(", vectors: true"))), HasSubstr("fields.3.item: missing"));
  EXPECT_THAT(refusal(with_vectors(entry(", vectors: true, item: u"))),
              HasSubstr("fields.3.item: 'u' is not what the history 'h' remembers; expected i"));
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
}  // namespace interplay::rella_field_test
