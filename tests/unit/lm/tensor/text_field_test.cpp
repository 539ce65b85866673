// Fields of kind text from a data.yaml to a scored row.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/model.h>
#include <interplay/data/dataset.h>
#include <interplay/data/encoder.h>
#include <interplay/data/open_raw.h>
#include <interplay/data/prepare.h>
#include <interplay/nn/embedding.h>
#include <interplay/serve/scorer.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/run.h>

#include "support/error_of.h"
#include "support/temp_dir.h"
#include "support/word_piece.h"

namespace interplay::text_field_test {
namespace {

namespace fs = std::filesystem;
using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::write_word_piece;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
std::vector<T> values_of(const at::Tensor& t) {
  return {t.const_data_ptr<T>(), t.const_data_ptr<T>() + t.numel()};
}

/// Token embeddings of a text, summed: a model that reads nothing else. For tests.
class TextSum final : public Model {
 public:
  struct Options {
    std::string field = "sentence";
    void visit(auto&& visited) { visited("field", field, "text field that is read"); }
  };
  TextSum(const Schema& schema, const Options& o)
      : field_(schema.field(o.field)), table_(register_parameter("table", at::randn({field_.rows, 1 + places()}))) {}
  Output forward(const Features& x) override {
    const Tokens& text = x.tokens[size_t(field_.column)];
    const auto column = text.columns.to(at::kLong).add(1).unsqueeze(1);  // [total, 1]
    const auto worth = table_.index_select(0, text.ids).gather(1, column).squeeze(1);
    const auto row = at::repeat_interleave(text.offsets.diff());  // [total]
    return at::zeros({x.rows}).index_add(0, row, worth);
  }

 private:
  int64_t places() const { return int64_t(field_.text_columns.size()); }
  Field field_;
  at::Tensor table_;
};
INTERPLAY_REGISTER_MODEL("test_text_sum", TextSum, "for tests: sums what tokens are worth");

const std::vector<std::string> kTokens = {"sex", "is",   "male",  "female", ";", "likes",
                                          "sci", "##fi", "drama", "none",   "-"};

class TextField : public ::testing::Test {
 protected:
  TextField() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    write_word_piece(dir_ / "tokenizer", kTokens);
    std::string rows = "click,user,sex,genres\n";
    for (int r = 0; r < 40; ++r) {
      rows += fmt::format("{},u{},{},{}\n", r % 3 == 0, r % 5,
                          r % 4 == 3 ? ""
                          : r % 2    ? "F"
                                     : "M",
                          r % 2 ? "Sci-Fi|Drama" : "Drama");
    }
    for (const char* split : {"train", "valid", "test"}) dir_.write(split + std::string(".csv"), rows);
  }
  std::string text(const std::string& more = "") const {
    return fmt::format(
        "{{name: sentence, kind: text, tokenizer: {}, template: \"Sex is {{sex}}; likes {{genre}}\", "
        "words: {{sex: {{M: male, F: female}}}}, missing: none{}}}",
        (dir_ / "tokenizer").string(), more);
  }
  Config data(const std::string& text) {
    return Config::load(
        dir_.write("data.yaml",
                   "files: {train: train.csv, valid: valid.csv, test: test.csv}\nlabel: click\nfields:\n  - {column: "
                   "user}\n  - {column: genres, name: genre, first_of: \"|\"}\n  - " +
                       text + "\n"));
  }
  fs::path prepared(const std::string& more = "") {
    const fs::path out = dir_ / ("prepared" + std::to_string(++made_));
    prepare(data(text(more)), out);
    return out;
  }
  std::string refusal(const std::string& entry) {
    return config_error([&] { prepare(data(entry), dir_ / "refused"); });
  }
  RawBatch raw(const Schema& schema, const std::string& file = "test.csv") {
    ReadRequest request;
    request.files = {dir_ / file};
    request.bad_rows = std::make_shared<BadRows>();
    RawBatch batch;
    open_raw(schema, request)->next(batch);
    return batch;
  }
  interplay::testing::TempDir dir_;
  int made_ = 0;
};

TEST_F(TextField, IsIdsOffsetsAndColumns) {
  const Dataset data = Dataset::open(prepared(), "train");
  const Field& field = data.schema().field("sentence");
  EXPECT_EQ(field.kind, FieldKind::text);
  EXPECT_EQ(field.rows, 15);
  EXPECT_EQ(field.max_length, 64);
  EXPECT_THAT(field.text_columns, ElementsAre("sex", "genre"));
  const Tokens text = data.slice(0, 4).features.tokens.at(0);
  // [CLS] sex is male ; likes drama [SEP] | ... female ; likes sci - [UNK] ... (fi alone is no token)
  EXPECT_THAT(values_of<int32_t>(text.ids), ElementsAre(1, 4, 5, 6, 8, 9, 12, 2,         //
                                                        1, 4, 5, 7, 8, 9, 10, 14, 0, 2,  //
                                                        1, 4, 5, 6, 8, 9, 12, 2,         //
                                                        1, 4, 5, 13, 8, 9, 10, 14, 0, 2));
  EXPECT_THAT(values_of<int64_t>(text.offsets), ElementsAre(0, 8, 18, 26, 36));
  EXPECT_THAT(values_of<int8_t>(text.columns), ElementsAre(-1, -1, -1, 0, -1, -1, 1, -1,        //
                                                           -1, -1, -1, 0, -1, -1, 1, 1, 1, -1,  //
                                                           -1, -1, -1, 0, -1, -1, 1, -1,        //
                                                           -1, -1, -1, 0, -1, -1, 1, 1, 1, -1));
  // Any rows in any order are the same rows.
  const std::vector<int64_t> rows = {3, 0};
  const Tokens some = data.gather(rows).features.tokens.at(0);
  EXPECT_THAT(values_of<int64_t>(some.offsets), ElementsAre(0, 10, 18));
  EXPECT_TRUE(at::equal(some.ids, at::cat({text.ids.slice(0, 26), text.ids.slice(0, 0, 8)})));
  EXPECT_TRUE(at::equal(some.columns, at::cat({text.columns.slice(0, 26), text.columns.slice(0, 0, 8)})));
}

TEST_F(TextField, LongOnesAreCutAndTheFrameStays) {
  const Dataset data = Dataset::open(prepared(", max_tokens: 5"), "train");
  const Tokens text = data.slice(0, 1).features.tokens.at(0);
  EXPECT_THAT(values_of<int32_t>(text.ids), ElementsAre(1, 4, 5, 6, 2));
  const Tokens bare =
      Dataset::open(prepared(", max_tokens: 5, frame: false"), "train").slice(0, 1).features.tokens.at(0);
  EXPECT_THAT(values_of<int32_t>(bare.ids), ElementsAre(4, 5, 6, 8, 9));
}

TEST_F(TextField, RawRowsBecomeThePreparedOnes) {
  const fs::path folder = prepared();
  const Encoder encoder = Encoder::load(folder);
  EXPECT_THAT(encoder.columns({.labels = false}), ElementsAre("user", "genres", "sex"));
  const Features served = to_features(encoder.encode(raw(encoder.schema()), {.labels = false}), encoder.schema());
  const Features stored = Dataset::open(folder, "test").slice(0, 40).features;
  EXPECT_TRUE(at::equal(served.tokens.at(0).ids, stored.tokens.at(0).ids));
  EXPECT_TRUE(at::equal(served.tokens.at(0).offsets, stored.tokens.at(0).offsets));
  EXPECT_TRUE(at::equal(served.tokens.at(0).columns, stored.tokens.at(0).columns));
}

TEST_F(TextField, ARunThatReadsItScoresRawRowsAsEvaluationDoes) {
  const fs::path folder = prepared();
  train_run(Config::parse("{model: {name: test_text_sum}, fields: {keep: [sentence]}, train: {epochs: 2, batch_size: "
                          "8}, optimizer: {dense: {name: adam, lr: 0.1}}}"),
            {.data = folder, .out = dir_ / "run"});
  const auto scorer = Scorer::load(dir_ / "run");
  EXPECT_THAT(scorer.columns(), ::testing::UnorderedElementsAre("genres", "sex"));
  EXPECT_THAT(scorer.fallback_reason(), HasSubstr("it reads a text"));
  const auto expected = scorer.score(Dataset::open(folder, "test"));
  const auto found = scorer.score(raw(scorer.schema()));
  ASSERT_EQ(found.size(), 40u);
  EXPECT_EQ(found, expected);
  // One row at a time, and as a server asks: the user's cells once.
  const auto ranked = scorer.score(Scorer::Row{{"sex", "F"}},
                                   std::vector<Scorer::Row>{{{"genres", "Drama"}}, {{"genres", "Sci-Fi|Drama"}}});
  const auto alone = scorer.score(std::vector<Scorer::Row>{{{"sex", "F"}, {"genres", "Sci-Fi|Drama"}}});
  EXPECT_FLOAT_EQ(ranked[1], alone[0]);
  EXPECT_FLOAT_EQ(alone[0], found[1]);
}

TEST_F(TextField, ItsTokenizerIsPartOfWhatTheDataAre) {
  const fs::path folder = prepared();
  const auto fingerprint = Schema::load(folder / "schema.yaml").fingerprint();
  EXPECT_EQ(Schema::load(prepared() / "schema.yaml").fingerprint(), fingerprint);
  EXPECT_NE(Schema::load(prepared(", frame: false") / "schema.yaml").fingerprint(), fingerprint);
  auto others = kTokens;
  others[5] = "loves";
  write_word_piece(dir_ / "tokenizer", others);
  EXPECT_THAT(data_error([&] { Encoder::load(folder).check(); }),
              HasSubstr("field 'sentence': its tokenizer is not the one that the data were prepared with (15 tokens"));
  EXPECT_NE(Schema::load(prepared() / "schema.yaml").fingerprint(), fingerprint);
  fs::remove_all(dir_ / "tokenizer");
  EXPECT_THAT(data_error([&] { Encoder::load(folder).check(); }), HasSubstr("fields.2.tokenizer: there is no model"));
}

TEST_F(TextField, WhoDoesNotReadItNeedsNoTokenizer) {
  const fs::path folder = prepared();
  train_run(Config::parse("{model: {name: lr}, fields: {drop: [sentence]}, train: {epochs: 1, batch_size: 8}}"),
            {.data = folder, .out = dir_ / "run"});
  fs::remove_all(dir_ / "tokenizer");
  const auto scorer = Scorer::load(dir_ / "run");
  EXPECT_EQ(scorer.score(raw(scorer.schema())).size(), 40u);
}

TEST_F(TextField, WhatItsEntrySaysWronglyIsNamed) {
  EXPECT_THAT(refusal("{name: s, kind: text, template: \"{sex}\"}"), HasSubstr("fields.2.tokenizer: missing"));
  EXPECT_THAT(refusal("{name: s, kind: text, tokenizer: x, template: \"{sex\"}"),
              HasSubstr("fields.2.template: the brace at '{sex' belongs to no {name}"));
  EXPECT_THAT(refusal("{name: s, kind: text, tokenizer: nowhere/at-all, template: \"{sex}\"}"),
              HasSubstr("fields.2.tokenizer: there is no model 'nowhere/at-all'"));
  EXPECT_THAT(refusal(text(", max_tokens: 2")), HasSubstr("fields.2.max_tokens: 2 leaves no token for the text"));
  EXPECT_THAT(refusal("{name: s, kind: text, tokenizer: x, template: \"{sex}\", words: {sxe: {M: male}}}"),
              HasSubstr("fields.2.words.sxe: the template has no {sxe} (places: sex)"));
  EXPECT_THAT(
      data_error([&] {
        prepare(data("{name: s, kind: text, tokenizer: " + (dir_ / "tokenizer").string() + ", template: \"{sexx}\"}"),
                dir_ / "refused");
      }),
      HasSubstr("did you mean 'sex'?"));
}

TEST_F(TextField, RowsThatAreNoTextAreBadRows) {
  dir_.write("train.csv", "click,user,sex,genres\n1,u1,M,Dr\xffma\n0,u2,F,Drama\n1,u3,F,Drama\n");
  EXPECT_THAT(data_error([&] { prepare(data(text()), dir_ / "refused"); }),
              HasSubstr("train.csv:2: genres = 'Dr\\xffma' is not UTF-8"));
  PrepareOptions options;
  options.bad_rows = 1;
  EXPECT_EQ(prepare(data(text()), dir_ / "rest", options).train_rows, 2);
  // Rows that a program makes are looked at too.
  RawBatch rows;
  rows.rows = 1;
  for (const auto& [name, cell] :
       std::map<std::string, std::string>{{"user", "u1"}, {"sex", "M"}, {"genres", "Dr\xffma"}})
    rows.columns.push_back(make_raw_column(name, {cell}));
  EXPECT_THAT(data_error([&] { Encoder::load(dir_ / "rest").encode(rows, {.labels = false}); }),
              HasSubstr("genres = 'Dr' is not UTF-8 from its byte 2 on; convert it first"));
}

}  // namespace
}  // namespace interplay::text_field_test
