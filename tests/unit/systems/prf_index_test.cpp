#include <interplay/systems/text_index.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "corrupt/alter.h"
#include "prf_files.h"
#include "support/error_of.h"

namespace interplay::prf_index_test {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PrfIndex : public testing::IndexedTexts {
 protected:
  std::string refusal(const std::string& name, const std::string& text) const {
    dir_.write(name, text);
    return testing::data_error([&] { build_text_index(dir_ / name, dir_ / "refused"); });
  }
};

/// Each alteration takes the time of a few synced files.
constexpr testing::Places kSome{.every_below = 0, .cuts = 6, .flips = 16};

std::vector<std::string> words(const TextIndex& index, uint32_t document) {
  std::vector<std::string> out;
  for (const uint32_t term : index.tokens(document)) out.emplace_back(index.term(term));
  return out;
}

TEST(PrfAnalyzer, LowersSplitsAndLeavesStopWordsOut) {
  EXPECT_THAT(Analyzer().terms("The Mach-2 wing, in\tan UPPER_case\xc3\xa9text."),
              ElementsAre("mach", "2", "wing", "upper", "case", "text"));
  EXPECT_THAT(Analyzer({.stemmer = "", .stop_words = {"wing"}}).terms("the wing"), ElementsAre("the"));
  EXPECT_THAT(Analyzer().terms(" .,"), IsEmpty());
}

TEST(PrfAnalyzer, StemsAsSnowballDoesOrSaysThatItCannot) {
  try {
    // Snowball's own vocabulary of English: consist, consist, knock, happi.
    EXPECT_THAT(Analyzer({.stemmer = "english"}).terms("consisting consistently knocks happy"),
                ElementsAre("consist", "consist", "knock", "happi"));
    EXPECT_THAT(testing::config_error([] { Analyzer({.stemmer = "englsh"}); }), HasSubstr("did you mean english?"));
  } catch (const Error& problem) {
    EXPECT_THAT(problem.what(), HasSubstr("without libstemmer"));
  }
}

TEST_F(PrfIndex, KnowsItsTermsAndDocuments) {
  const TextIndex index = index_of(testing::kThreeTexts);
  EXPECT_EQ(index.documents(), 3);
  EXPECT_EQ(index.info().tokens, 14);
  EXPECT_DOUBLE_EQ(index.info().average_length(), 4.666666666666667);
  std::vector<std::string> terms;
  for (uint32_t t = 0; t < index.info().terms; ++t) terms.emplace_back(index.term(t));
  EXPECT_THAT(terms, ElementsAre("boundary", "drag", "flow", "heat", "layer", "lift", "wing"));
  const uint32_t flow = index.find("flow").value();
  EXPECT_EQ(index.document_frequency(flow), 2);
  EXPECT_EQ(index.occurrences(flow), 3);
  std::vector<Posting> postings;
  index.postings(flow, postings);
  ASSERT_EQ(postings.size(), 2u);
  EXPECT_EQ(postings[0].document, 1u);
  EXPECT_EQ(postings[0].count, 1u);
  EXPECT_EQ(postings[1].document, 2u);
  EXPECT_EQ(postings[1].count, 2u);
  EXPECT_FALSE(index.find("flows"));
  EXPECT_FALSE(index.find(""));
  EXPECT_FALSE(index.find("zzz"));
  EXPECT_THAT(words(index, 1), ElementsAre("wing", "heat", "flow", "heat", "heat"));
  EXPECT_EQ(index.tokens(1, 2).size(), 2u);
  EXPECT_EQ(index.document_id(2), "2");
  EXPECT_EQ(index.find_document("2"), 2u);
  EXPECT_FALSE(index.find_document("3"));
}

TEST_F(PrfIndex, IsTheSameHoweverLittleMemoryThereIs) {
  std::vector<std::string> texts;
  for (int d = 0; d < 300; ++d) {
    std::string text;
    for (int i = 0; i < d % 40; ++i) text += fmt::format("w{} ", (d * 7 + i * i) % (1 + i * 13));
    texts.push_back(text);  // every 40th is empty
  }
  index_of(texts);
  fs::rename(dir_ / "index", dir_ / "whole");
  index_of(texts, {.memory_bytes = 64});
  for (const auto& file : testing::files_below(dir_ / "whole"))
    EXPECT_TRUE(testing::bytes_of(dir_ / "whole" / file) == testing::bytes_of(dir_ / "index" / file)) << file;
  // Postings say of each document what its tokens say.
  const TextIndex index(dir_ / "index");
  std::vector<std::map<uint32_t, uint32_t>> counted(300), posted(300);
  for (uint32_t d = 0; d < 300; ++d) {
    for (const uint32_t t : index.tokens(d)) ++counted[d][t];
  }
  std::vector<Posting> postings;
  for (uint32_t t = 0; t < index.info().terms; ++t) {
    index.postings(t, postings);
    for (const auto& p : postings) posted[p.document][t] = p.count;
  }
  EXPECT_EQ(counted, posted);
  EXPECT_GT(index.info().terms, 100);
}

TEST_F(PrfIndex, ReadsFieldsOfJsonLines) {
  dir_.write("docs.jsonl", R"({"id": "a", "title": "Wing", "text": "heat", "author": "Lift"}
{"id": 7, "text": "flow", "title": null}
)");
  build_text_index(dir_.path(), dir_ / "index");
  const TextIndex index(dir_ / "index");
  EXPECT_THAT(words(index, 0), ElementsAre("wing", "heat"));
  EXPECT_THAT(words(index, index.find_document("7").value()), ElementsAre("flow"));
}

TEST_F(PrfIndex, RefusesDocumentsThatItCouldNotName) {
  EXPECT_THAT(refusal("a.tsv", "1\tone\n2 two\n"), HasSubstr("a.tsv:2: has no tab"));
  EXPECT_THAT(refusal("b.tsv", "1\tone\n\ttwo\n"), HasSubstr("b.tsv:2: a document has no id"));
  EXPECT_THAT(refusal("c.tsv", "a b\tone\n"), HasSubstr("'a b', has white space"));
  EXPECT_THAT(refusal("d.tsv", "x\tone\ny\ttwo\nx\tthree\n"),
              HasSubstr("two documents have the id 'x': the 1th and the 3th"));
  EXPECT_THAT(refusal("e.jsonl", "{\"id\": 1, \"text\": \"a\"}\n{\"text\": \"b\"}\n"),
              HasSubstr("e.jsonl:2: a document has no `id`"));
  EXPECT_THAT(refusal("f.jsonl", "{\"id\": 1, \"text\": 5}\n"), HasSubstr("f.jsonl:1: "));
  EXPECT_THAT(refusal("g.jsonl", "{\"id\": 1"), HasSubstr("g.jsonl:1: "));
  EXPECT_THAT(refusal("h.tsv", "\n\n"), HasSubstr("h.tsv: is empty"));
  EXPECT_FALSE(fs::exists(dir_ / "refused"));
}

TEST_F(PrfIndex, RefusesAnyAlteredFile) {
  index_of(testing::kThreeTexts);
  const fs::path copy = dir_ / "copy";
  fs::copy(dir_ / "index", copy);
  for (const auto& name : testing::files_below(copy)) {
    const std::string bytes = testing::bytes_of(copy / name);
    testing::each_alteration(bytes, kSome, [&](const std::string& what, const std::string& altered) {
      if (altered == bytes) return;
      testing::put_bytes(copy / name, altered);
      try {
        const TextIndex index(copy);
        // Some bytes of the manifest are of no consequence, as a space is.
        EXPECT_EQ(name, "manifest.json") << what;
      } catch (const Error& problem) {
        EXPECT_EQ(problem.kind(), ErrorKind::data) << name << ", " << what << ": " << problem.what();
      }
    });
    testing::put_bytes(copy / name, bytes);
  }
  EXPECT_EQ(TextIndex(copy).documents(), 3);
}

// A manifest that fits is no reason to believe what it describes: whoever made the file made that, too.
TEST_F(PrfIndex, TrustsNoNumberInAFileWhoseChecksumFits) {
  index_of(testing::kThreeTexts);
  const fs::path copy = dir_ / "copy";
  fs::copy(dir_ / "index", copy);
  int64_t refused = 0, read = 0;
  for (const char* name : {"terms.bin", "terms.txt", "documents.bin", "documents.txt", "id_order.bin", "postings.bin",
                           "tokens.bin", "index.json"}) {
    const std::string bytes = testing::bytes_of(copy / name);
    testing::each_alteration(bytes, kSome, [&](const std::string& what, const std::string& altered) {
      testing::put_bytes(copy / name, altered);
      Manifest::describe(copy).save(copy);
      try {
        const TextIndex index(copy);
        std::vector<Posting> postings;
        for (uint32_t t = 0; t < index.info().terms; ++t) index.postings(t, postings), index.find(index.term(t));
        for (uint32_t d = 0; d < index.documents(); ++d) index.tokens(d), index.find_document(index.document_id(d));
        ++read;  // another index, but a whole one
      } catch (const Error& problem) {
        EXPECT_TRUE(problem.kind() == ErrorKind::data || name == std::string("index.json"))
            << name << ", " << what << ": " << problem.what();
        ++refused;
      }
    });
    testing::put_bytes(copy / name, bytes);
  }
  EXPECT_GT(refused, read);
}

TEST_F(PrfIndex, NamesWhatIsNoIndex) {
  EXPECT_THAT(testing::data_error([&] { TextIndex index(dir_ / "none"); }),
              HasSubstr("`interplay prf index` makes one"));
  EXPECT_THAT(testing::data_error([&] { TextIndex index(dir_.path()); }), HasSubstr("has no index.json"));
}

}  // namespace
}  // namespace interplay::prf_index_test
