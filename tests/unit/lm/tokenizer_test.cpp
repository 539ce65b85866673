#include <interplay/lm/tokenizer.h>

#include <algorithm>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

#include "support/error_of.h"
#include "support/gguf_writer.h"
#include "support/temp_dir.h"
#include "support/word_piece.h"

namespace interplay::lm::tokenizer_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::GgufWriter;
using interplay::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::json;

/// A byte-level vocabulary as GGUF files have it: Ġ is the space, Ċ the line break, Ã© the two bytes of é.
struct Bpe {
  std::vector<std::string> tokens{"<|end|>", "[user]", "a", "b", "c", "1", "2", "'", "s", "Ġ", "Ċ", "Ã", "©"};
  std::vector<int32_t> types{3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  std::vector<std::string> merges;
  std::string pre = "gpt-2", model = "gpt2";
  GgufWriter more;

  Bpe& merge(const std::string& left, const std::string& right) {
    merges.push_back(left + " " + right);
    if (std::find(tokens.begin(), tokens.end(), left + right) == tokens.end()) {
      tokens.push_back(left + right);
      types.push_back(1);
    }
    return *this;
  }
  std::unique_ptr<Tokenizer> load(const TempDir& dir) {
    GgufWriter w = more;
    w.string("tokenizer.ggml.model", model).string("tokenizer.ggml.pre", pre).strings("tokenizer.ggml.tokens", tokens);
    w.integers("tokenizer.ggml.token_type", types).strings("tokenizer.ggml.merges", merges);
    return Tokenizer::load(dir.write("m.gguf", w.bytes()));
  }
};

std::vector<std::string> pieces(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options = {}) {
  std::vector<std::string> out;
  for (const int64_t id : tokenizer.encode(text, options)) out.emplace_back(tokenizer.token(id));
  return out;
}

TEST(BytePair, TheEarliestMergeGoesFirstAndOfEqualsTheLeftmost) {
  const TempDir dir;
  Bpe bpe;
  bpe.merge("b", "c").merge("a", "b").merge("a", "a").merge("aa", "aa");
  const auto t = bpe.load(dir);
  EXPECT_THAT(pieces(*t, "abc"), ElementsAre("a", "bc"));  // not ab, c
  EXPECT_THAT(pieces(*t, "aaa"), ElementsAre("aa", "a"));
  EXPECT_THAT(pieces(*t, "aaaaa"), ElementsAre("aaaa", "a"));
  EXPECT_THAT(pieces(*t, "aab"), ElementsAre("a", "ab"));  // a, b is earlier than a, a
  EXPECT_THAT(pieces(*t, ""), IsEmpty());
}

TEST(BytePair, AWordThatIsATokenNeedNotBecomeIt) {
  const TempDir dir;
  Bpe bpe;
  bpe.merge("b", "c").merge("a", "b").merge("ab", "c");  // abc is made of ab, which bc forestalls
  const auto t = bpe.load(dir);
  for (int again = 0; again < 3; ++again) EXPECT_THAT(pieces(*t, "abc"), ElementsAre("a", "bc"));
  EXPECT_THAT(pieces(*t, "ab"), ElementsAre("ab"));
}

// GPT-2's pattern: contractions, a space goes with the word after it, of more spaces the last.
TEST(BytePair, WordsAreCutAsGpt2Does) {
  const TempDir dir;
  Bpe bpe;
  bpe.merge("Ġ", "Ġ").merge("Ġ", "a").merge("'", "s").merge("1", "2").merge("a", "Ġ").merge("Ċ", "Ċ").merge("Ã", "©");
  const auto t = bpe.load(dir);
  EXPECT_THAT(pieces(*t, "a a"), ElementsAre("a", " a"));
  EXPECT_THAT(pieces(*t, "a   a"), ElementsAre("a", "  ", " a"));
  EXPECT_THAT(pieces(*t, "a  "), ElementsAre("a", "  "));
  EXPECT_THAT(pieces(*t, "a's"), ElementsAre("a", "'s"));
  EXPECT_THAT(pieces(*t, "a12"), ElementsAre("a", "12"));
  EXPECT_THAT(pieces(*t, "a\n\na"), ElementsAre("a", "\n", "\n", "a"));
  EXPECT_THAT(pieces(*t, "a\n\n"), ElementsAre("a", "\n\n"));
  EXPECT_THAT(pieces(*t, "é"), ElementsAre("é"));
}

TEST(BytePair, SmolLmSplitsNumbersIntoDigits) {
  const TempDir dir;
  Bpe bpe;
  bpe.pre = "smollm";
  bpe.merge("1", "2").merge("Ġ", "1").merge("Ġ", "Ġ");
  const auto t = bpe.load(dir);
  EXPECT_THAT(pieces(*t, "12"), ElementsAre("1", "2"));
  EXPECT_THAT(pieces(*t, "a  12"), ElementsAre("a", "  ", "1", "2"));  // the spaces end their part of the text
}

TEST(BytePair, BytesWithoutATokenArePassedOver) {
  const TempDir dir;
  Bpe bpe;
  bpe.merge("a", "b");
  const auto t = bpe.load(dir);
  EXPECT_THAT(pieces(*t, "axb"), ElementsAre("ab"));
  EXPECT_THAT(pieces(*t, "xyz"), IsEmpty());
}

TEST(BytePair, ControlTokensAreRecognisedWhereAsked) {
  const TempDir dir;
  Bpe bpe;
  bpe.tokens.insert(bpe.tokens.end(), {"<", "|", "e", "n", "d", ">", "<|end|>a"});
  bpe.types.insert(bpe.types.end(), {1, 1, 1, 1, 1, 1, 3});
  const auto t = bpe.load(dir);
  EXPECT_THAT(pieces(*t, "a<|end|>b", {.control = true}), ElementsAre("a", "<|end|>", "b"));
  EXPECT_THAT(pieces(*t, "<|end|><|end|>", {.control = true}), ElementsAre("<|end|>", "<|end|>"));
  EXPECT_THAT(pieces(*t, "<|end|>a", {.control = true}), ElementsAre("<|end|>a"));  // the longest
  EXPECT_THAT(pieces(*t, "<|end|"), ElementsAre("<", "|", "e", "n", "d", "|"));
  EXPECT_EQ(t->encode("<|end|>").size(), 7u);
  EXPECT_THAT(pieces(*t, "a[user]b"), ElementsAre("a", "[user]", "b"));  // user-defined: always
  EXPECT_EQ(t->decode(t->encode("a<|end|>b", {.control = true})), "ab");
  EXPECT_EQ(t->decode(t->encode("a<|end|>b", {.control = true}), true), "a<|end|>b");
}

TEST(BytePair, TheFrameIsWhatTheFileAsksFor) {
  const TempDir dir;
  Bpe bpe;
  bpe.more.flag("tokenizer.ggml.add_bos_token", true).integer("tokenizer.ggml.bos_token_id", 0);
  bpe.more.integer("tokenizer.ggml.eos_token_id", 1).integer("tokenizer.ggml.padding_token_id", 2);
  const auto t = bpe.load(dir);
  EXPECT_THAT(t->encode("ab"), ElementsAre(2, 3));
  EXPECT_THAT(t->encode("ab", {.frame = true}), ElementsAre(0, 2, 3));
  EXPECT_THAT(t->encode("abcabc", {.frame = true, .max_length = 3}), ElementsAre(0, 2, 3));
  EXPECT_THAT(t->encode("abcabc", {.max_length = 2}), ElementsAre(2, 3));
  EXPECT_EQ(t->end_id(), 1);
  EXPECT_EQ(t->padding_id(), 2);
  EXPECT_THAT(config_error([&] { t->encode("a", {.frame = true, .max_length = 1}); }), HasSubstr("more than the 1"));
}

TEST(BytePair, LongWordsTakeNoQuadraticTime) {
  const TempDir dir;
  Bpe bpe;
  bpe.merge("a", "a").merge("aa", "aa");
  const auto t = bpe.load(dir);
  EXPECT_EQ(t->encode(std::string(1'000'000, 'a')).size(), 250'000u);
  EXPECT_EQ(t->encode(std::string(1'000'000, ' ') + "a").size(), 1'000'001u);
}

TEST(BytePair, MayBeUsedFromSeveralThreads) {
  const TempDir dir;
  Bpe bpe;
  bpe.merge("a", "b").merge("ab", "c");
  const auto t = bpe.load(dir);
  std::vector<std::vector<int64_t>> found(4);
  std::vector<std::thread> threads;
  for (auto& out : found) threads.emplace_back([&] { out = t->encode("abc ab abc abc bca cab abcabc"); });
  for (auto& thread : threads) thread.join();
  for (const auto& out : found) EXPECT_EQ(out, found[0]);
}

TEST(BytePair, AFileThatContradictsItselfIsRefused) {
  const TempDir dir;
  const auto refused = [&](const std::function<void(Bpe&)>& spoil, const std::string& why) {
    Bpe bpe;
    spoil(bpe);
    EXPECT_THAT(data_error([&] { bpe.load(dir); }), AllOf(HasSubstr((dir / "m.gguf").string()), HasSubstr(why)));
  };
  refused([](Bpe& b) { b.model = "llama"; }, "'llama'; of GGUF files, byte-level BPE");
  refused([](Bpe& b) { b.pre = "deepseek-llm"; },
          "'deepseek-llm': how it cuts a text into words is not known (known: gpt-2, smollm)");
  refused([](Bpe& b) { b.types.pop_back(); }, "12 entries for 13 tokens");
  refused([](Bpe& b) { b.merges = {"ab"}; }, "merge 0 is 'ab'; expected two tokens");
  refused([](Bpe& b) { b.merges = {"a b"}; }, "merge 0 is of 'a' and 'b'");
  refused([](Bpe& b) { b.merges = {"a z"}; }, "merge 0 is of 'a' and 'z'");
  refused([](Bpe& b) { b.more.integer("tokenizer.ggml.eos_token_id", 13); },
          "eos_token_id is 13; the vocabulary has 0 to 12");
}

TEST(BytePair, TextsThatAreNotUtf8AreRefused) {
  const TempDir dir;
  const auto t = Bpe().load(dir);
  EXPECT_THAT(data_error([&] { t->encode("ab\xe9 c"); }), HasSubstr("not UTF-8 from its byte 2 on (0xe9)"));
  EXPECT_THAT(data_error([&] { t->encode("\xed\xa0\x80"); }), HasSubstr("byte 0"));  // half a surrogate pair
}

TEST(BytePair, NamesAndIdsOutsideTheVocabularyAreRefused) {
  const TempDir dir;
  const auto t = Bpe().load(dir);
  EXPECT_EQ(t->size(), 13);
  EXPECT_EQ(t->id("a"), 2);
  EXPECT_EQ(t->id(" "), 9);
  EXPECT_EQ(t->id("<|end|>"), 0);
  EXPECT_TRUE(t->is_control(0));
  EXPECT_FALSE(t->is_control(1));
  EXPECT_EQ(t->find("z"), std::nullopt);
  EXPECT_THAT(config_error([&] { t->id("z"); }), HasSubstr("no token 'z' among its 13"));
  for (const int64_t id : {int64_t(-1), int64_t(13)})
    EXPECT_THAT(data_error([&] { t->decode(std::vector<int64_t>{id}); }), HasSubstr("0 to 12"));
}

Json bpe_json() {
  return Json::parse(R"({
    "added_tokens": [{"id": 5, "content": "<s>", "special": true}],
    "normalizer": null, "post_processor": null,
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Digits", "individual_digits": true},
      {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}]},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "1": 3, "11": 4}, "merges": ["a b", ["1", "1"]]}})");
}

TEST(BytePair, IsReadFromATokenizerJson) {
  const TempDir dir;
  const auto t = Tokenizer::load(dir.write("tokenizer.json", bpe_json().dump()).parent_path());
  EXPECT_THAT(t->encode("abb11<s>", {.control = true}), ElementsAre(2, 1, 3, 3, 5));
  const auto refused = [&](const char* pointer, const Json& value, const std::string& why) {
    Json spoilt = bpe_json();
    spoilt[Json::json_pointer(pointer)] = value;
    EXPECT_THAT(data_error([&] { Tokenizer::load(dir.write("tokenizer.json", spoilt.dump())); }),
                AllOf(HasSubstr((dir / "tokenizer.json").string() + ": "), HasSubstr(why)));
  };
  refused("/model/type", "Unigram", "model.type is 'Unigram'");
  refused("/model/byte_fallback", true, "byte_fallback is set");
  refused("/normalizer", Json{{"type", "NFC"}}, "normalizer is set");
  refused("/pre_tokenizer", Json{{"type", "Metaspace"}}, "how pre_tokenizer cuts a text into words is not known");
  refused("/model/vocab/b", 0, "id 0 belongs to two tokens");
  refused("/model/vocab/b", -1, "has the id -1");
  refused("/model/vocab/b", "x", "is no tokenizer.json");
  refused("/model/merges/0", "a z", "merge 0 is of 'a' and 'z'");
  refused("/added_tokens/0/lstrip", true, "asks for lstrip");
  EXPECT_THAT(data_error([&] { Tokenizer::load(dir.write("tokenizer.json", "{")); }),
              HasSubstr("is no tokenizer.json"));
  EXPECT_THAT(data_error([&] { Tokenizer::load(dir.write("tokenizer.json", "[1]")); }),
              HasSubstr("is no tokenizer.json"));
}

Json word_piece_json() {
  Json json = Json::parse(testing::word_piece({"un", "##aff", "##able", "a", "##b", "$", "中", "文", "cafe", "##a"}));
  json["model"]["max_input_chars_per_word"] = 8;
  return json;
}

TEST(WordPiece, TheLongestTokenGoesFirst) {
  const TempDir dir;
  const auto t = Tokenizer::load(dir.write("tokenizer.json", word_piece_json().dump()));
  EXPECT_THAT(pieces(*t, "unaffable"), ElementsAre("[UNK]"));  // nine characters, of at most eight
  EXPECT_THAT(pieces(*t, "unaff"), ElementsAre("un", "##aff"));
  EXPECT_THAT(pieces(*t, "ab aba"), ElementsAre("a", "##b", "a", "##b", "##a"));
  EXPECT_THAT(pieces(*t, "unx a"), ElementsAre("[UNK]", "a"));  // all of a word or nothing
  EXPECT_THAT(pieces(*t, "b"), ElementsAre("[UNK]"));           // ##b is no beginning
  EXPECT_EQ(t->decode(t->encode("unaff a")), "unaff a");
}

TEST(WordPiece, TextIsCleanedAndSplitAsBertDoes) {
  const TempDir dir;
  const auto t = Tokenizer::load(dir.write("tokenizer.json", word_piece_json().dump()));
  EXPECT_THAT(pieces(*t, "Café CAFÉ cafe\u0301"), ElementsAre("cafe", "cafe", "cafe"));
  EXPECT_THAT(pieces(*t, "中文a"), ElementsAre("中", "文", "a"));
  EXPECT_THAT(pieces(*t, "a$a"), ElementsAre("a", "$", "a"));
  EXPECT_THAT(pieces(*t, "a\u200b\u0001b\u00a0a\r\na"), ElementsAre("a", "##b", "a", "a"));
  EXPECT_THAT(pieces(*t, "a\u2014a"), ElementsAre("a", "[UNK]", "a"));  // a dash is punctuation of any script
}

TEST(WordPiece, TheFrameIsThatOfThePostProcessor) {
  const TempDir dir;
  const auto t = Tokenizer::load(dir.write("tokenizer.json", word_piece_json().dump()));
  EXPECT_THAT(t->encode("a", {.frame = true}), ElementsAre(1, 7, 2));
  EXPECT_THAT(t->encode("", {.frame = true}), ElementsAre(1, 2));
  EXPECT_THAT(t->encode("a a a a", {.frame = true, .max_length = 4}), ElementsAre(1, 7, 7, 2));
  EXPECT_THAT(t->encode("a[SEP]a", {.control = true}), ElementsAre(7, 2, 7));
  EXPECT_EQ(t->padding_id(), 3);
  Json bert = word_piece_json();
  bert["post_processor"] = {{"type", "BertProcessing"}, {"sep", {"[SEP]", 2}}, {"cls", {"[CLS]", 1}}};
  EXPECT_THAT(Tokenizer::load(dir.write("tokenizer.json", bert.dump()))->encode("a", {.frame = true}),
              ElementsAre(1, 7, 2));
}

TEST(WordPiece, CasedVocabulariesKeepCaseAndAccents) {
  const TempDir dir;
  Json cased = word_piece_json();
  cased["normalizer"]["lowercase"] = false;
  cased["model"]["vocab"]["Café"] = 14;
  const auto t = Tokenizer::load(dir.write("tokenizer.json", cased.dump()));
  EXPECT_THAT(pieces(*t, "Café"), ElementsAre("Café"));
}

TEST(WordPiece, AFileThatContradictsItselfIsRefused) {
  const TempDir dir;
  const auto refused = [&](const char* pointer, const Json& value, const std::string& why) {
    Json spoilt = word_piece_json();
    spoilt[Json::json_pointer(pointer)] = value;
    EXPECT_THAT(data_error([&] { Tokenizer::load(dir.write("tokenizer.json", spoilt.dump())); }),
                AllOf(HasSubstr((dir / "tokenizer.json").string() + ": "), HasSubstr(why)));
  };
  refused("/model/unk_token", "<unk>", "'<unk>' is named, but not in model.vocab");
  refused("/normalizer/type", "NFC", "normalizer is \"NFC\"");
  refused("/pre_tokenizer/type", "Whitespace", "pre_tokenizer \"Whitespace\"");
  refused("/post_processor/type", "RobertaProcessing", "post_processor is \"RobertaProcessing\"");
  refused("/post_processor/single/0/SpecialToken/id", "[X]", "'[X]' is named");
  refused("/model/vocab/a", 1 << 25, "has the id 33554432");
}

/// Loads and uses what is at `file`, which may be anything. What is wrong with it has to come as an Error of data.
void use(const std::filesystem::path& file) {
  try {
    const auto t = Tokenizer::load(file);
    const auto ids = t->encode("abc 12 <|end|>[user] unaffable Café 中文 a's", {.control = true, .frame = true});
    t->decode(ids, true);
  } catch (const Error& problem) {
    EXPECT_EQ(problem.kind(), ErrorKind::data) << problem.what();
  }
}

// What an altered byte does is the format's affair; that nothing outside is read or written, the sanitizers see to.
TEST(Tokenizer, AnAlteredFileIsReadOrRefused) {
  const TempDir dir;
  Bpe bpe;
  bpe.merge("a", "b").merge("ab", "c").load(dir);
  for (const std::string& whole : {read_file(dir / "m.gguf"), bpe_json().dump(), word_piece_json().dump()}) {
    const std::filesystem::path file = dir / (whole.starts_with("GGUF") ? "altered.gguf" : "altered.json");
    for (size_t at = 0; at < whole.size(); at += 5) {  // each takes milliseconds
      std::string altered = whole;
      altered[at] = char(altered[at] ^ (at % 2 == 0 ? 0x01 : 0x80));
      use(dir.write(file.filename(), altered));
    }
  }
}

}  // namespace
}  // namespace interplay::lm::tokenizer_test
