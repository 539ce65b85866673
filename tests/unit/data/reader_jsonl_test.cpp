#include <gmock/gmock.h>

#include "reader_support.h"

namespace interplay::testing::reader_jsonl_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(JsonlReader, ValuesAreTextAsItIsAndNumbersAsTheyAreWritten) {
  const TempDir dir;
  const Read got =
      read("jsonl", dir.write("a.jsonl",
                              "{\"s\": \"a\\tb \\u00e9 \\\"q\\\"\", \"n\": 1.50, \"big\": 12345678901234567890123, "
                              "\"b\": true, \"none\": null, \"empty\": \"\"}\n"));
  EXPECT_THAT(got.columns, ElementsAre("s", "n", "big", "b", "none", "empty"));
  EXPECT_EQ(got.rows, (Table{{"a\tb é \"q\"", "1.50", "12345678901234567890123", "true", "-", "-"}}));
}

TEST(JsonlReader, ARowWithoutAKeyHasAMissingCell) {
  const TempDir dir;
  const Read got = read("jsonl", dir.write("a.jsonl", "{\"a\":1}\n\n{\"b\":2,\"a\":3}\r\n{}\n"));
  EXPECT_THAT(got.columns, ElementsAre("a", "b"));
  EXPECT_EQ(got.rows, (Table{{"1", "-"}, {"3", "2"}, {"-", "-"}}));
  EXPECT_THAT(got.lines, ElementsAre(1, 3, 4));
}

TEST(JsonlReader, ListsAreLists) {
  const TempDir dir;
  const Read got =
      read("jsonl", dir.write("a.jsonl", "{\"h\":[\"12\",7]}\n{\"h\":[]}\n{\"h\":\"5\"}\n{\"h\":null}\n{}\n"));
  EXPECT_EQ(got.rows, (Table{{"[12,7]"}, {"[]"}, {"[5]"}, {"[]"}, {"[]"}}));
}

TEST(JsonlReader, SeveralFilesHaveTheColumnsOfAll) {
  const TempDir dir;
  ReadRequest request;
  request.files = {dir.write("a.jsonl", "{\"a\":1}\n"), dir.write("b.jsonl", "{\"b\":2}")};
  request.columns = {"b", "a"};
  EXPECT_EQ(read("jsonl", request).rows, (Table{{"-", "1"}, {"2", "-"}}));
}

TEST(JsonlReader, RowsThatCannotBeUsedAreToldByLine) {
  const TempDir dir;
  const auto told = [&](const std::string& line) {
    const auto file = dir.write("a.jsonl", "{\"a\":1,\"b\":2}\n" + line + "\n");
    return error_of([&] { read("jsonl", file); });
  };
  EXPECT_THAT(told("{\"a\":1"), AllOf(HasSubstr("a.jsonl:2"), HasSubstr("not JSON at byte")));
  EXPECT_THAT(told("[1,2]"), HasSubstr("is not a JSON object"));
  EXPECT_THAT(told("{\"a\":1}{\"a\":2}"), HasSubstr("not JSON at byte 8"));
  EXPECT_THAT(told("{\"a\":{\"x\":1}}"), AllOf(HasSubstr("a = "), HasSubstr("is an object")));
  EXPECT_THAT(told("{\"a\":1,\"a\":2}"), HasSubstr("given twice"));
  EXPECT_THAT(told("{\"a\":nul}"), HasSubstr("a.jsonl:2"));
  EXPECT_THAT(told("{\"a\":\"\xff\"}"), HasSubstr("a.jsonl:2"));
  const auto lists = dir.write("b.jsonl", "{\"a\":[1]}\n{\"a\":[[1]]}\n");
  EXPECT_THAT(error_of([&] { read("jsonl", lists); }), HasSubstr("list of lists"));
}

TEST(JsonlReader, RowsThatCannotBeUsedCanBeLeftOut) {
  const TempDir dir;
  ReadRequest request;
  request.files = {dir.write("a.jsonl", "{\"a\":1}\nnot json\n{\"a\":3}\n")};
  request.bad_rows = std::make_shared<BadRows>(1);
  const Read got = read("jsonl", request);
  EXPECT_EQ(got.rows, (Table{{"1"}, {"3"}}));
  EXPECT_THAT(got.lines, ElementsAre(1, 3));
}

TEST(JsonlReader, AColumnThatNoRowHasIsAnError) {
  const TempDir dir;
  ReadRequest request;
  request.files = {dir.write("a.jsonl", "{\"user\":1}\n")};
  request.columns = {"usr"};
  EXPECT_THAT(error_of([&] { read("jsonl", request); }), AllOf(HasSubstr("'usr'"), HasSubstr("did you mean 'user'?")));
}

TEST(JsonlReader, AFileWithoutAnyObjectIsAnError) {
  const TempDir dir;
  const auto csv = dir.write("a.jsonl", "a,b\n1,2\n");
  EXPECT_THAT(error_of([&] { read("jsonl", csv); }), AllOf(HasSubstr("a.jsonl"), HasSubstr("JSON object")));
}

}  // namespace
}  // namespace interplay::testing::reader_jsonl_test
