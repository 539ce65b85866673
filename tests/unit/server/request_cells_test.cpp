#include "server/request_cells.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace interplay::server::request_cells_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const RequestColumns kColumns({"user", "item", "history"}, {"", "", "^"});

std::vector<std::string> column(const RequestCells& cells, size_t c) {
  const auto of = cells.column(c);
  return {of.begin(), of.end()};
}

struct Refusal {
  int status = 0;
  std::string text;
};
template <class Read>
Refusal refusal_of(const Read& read) {
  try {
    read();
  } catch (const RequestError& error) {
    return {error.status, error.what()};
  }
  return {};
}
Refusal rows_refused(std::string body, CellLimits limits = {}) {
  return refusal_of([&] {
    RequestCells cells;
    cells.read_rows(body, kColumns, limits);
    places_of(kColumns, cells, kColumns);
  });
}
Refusal v2_refused(std::string body, int64_t head = -1, CellLimits limits = {}) {
  return refusal_of([&] {
    RequestCells cells;
    cells.read_v2(body, head, kColumns, limits);
    places_of(kColumns, cells, kColumns);
  });
}

std::string bytes_element(std::string_view text) {
  const auto length = uint32_t(text.size());
  std::string out(sizeof length, '\0');
  std::memcpy(out.data(), &length, sizeof length);
  return out + std::string(text);
}

TEST(RequestRows, CellsAreStringsNumbersNullsAndLists) {
  std::string body = R"({"rows": [{"user": "a\"\u00e9", "item": 12, "history": ["x", 3]},
                                  {"item": -1.50, "user": null, "other": [1, {"deep": 2}], "history": []},
                                  {"user": "c", "history": "p^q"}]})";
  RequestCells cells;
  cells.read_rows(body, kColumns, {});
  EXPECT_EQ(cells.rows(), 3);
  EXPECT_THAT(column(cells, 0), ElementsAre("a\"\u00e9", "", "c"));
  EXPECT_THAT(column(cells, 1), ElementsAre("12", "-1.50", ""));
  EXPECT_THAT(column(cells, 2), ElementsAre("x^3", "", "p^q"));
  for (size_t c = 0; c < 3; ++c) EXPECT_FALSE(cells.of_user(c));
}

TEST(RequestRows, TheUserStandsOnceInAnyOrder) {
  for (const char* text :
       {R"({"user": {"user": "u", "history": ["a", "b"]}, "candidates": [{"item": "1"}, {"item": "2"}]})",
        R"({"candidates": [{"item": "1"}, {"item": "2"}], "user": {"history": ["a", "b"], "user": "u"}})"}) {
    std::string body = text;
    RequestCells cells;
    cells.read_rows(body, kColumns, {});
    EXPECT_EQ(cells.rows(), 2);
    EXPECT_TRUE(cells.of_user(0));
    EXPECT_FALSE(cells.of_user(1));
    EXPECT_THAT(column(cells, 0), ElementsAre("u"));
    EXPECT_THAT(column(cells, 1), ElementsAre("1", "2"));
    EXPECT_THAT(column(cells, 2), ElementsAre("a^b"));
  }
}

TEST(RequestRows, WhatDoesNotFitIsNamed) {
  const auto told = [](std::string body) { return rows_refused(std::move(body)).text; };
  EXPECT_THAT(told(R"({"rows": [{"user": "a", "item": "1"}]})"), HasSubstr("column history"));
  EXPECT_THAT(told(R"({"rows": [{"user": "a", "item": ["1"], "history": ""}]})"), HasSubstr("'item': a list"));
  EXPECT_THAT(told(R"({"rows": [{"user": "a", "item": "1", "history": ["p^q"]}]})"), HasSubstr("'^'"));
  EXPECT_THAT(told(R"({"rows": [{"user": {"a": 1}, "item": "1", "history": ""}]})"), HasSubstr("a cell is a string"));
  EXPECT_THAT(told(R"({"rows": [{"user": "a", "user": "b", "item": "1", "history": ""}]})"),
              HasSubstr("twice in a row"));
  EXPECT_THAT(told(R"({"user": {"item": "1"}, "candidates": [{"item": "2", "user": "a", "history": ""}]})"),
              HasSubstr("for the user and for a candidate"));
  EXPECT_THAT(told(R"({"instances": []})"), HasSubstr("\"rows\""));
  EXPECT_THAT(told(R"({"user": {}})"), HasSubstr("expected {\"rows\""));
  EXPECT_THAT(told(R"({"rows": [], "candidates": []})"), HasSubstr("expected {\"rows\""));
  EXPECT_THAT(told(R"({"rows": 3})"), HasSubstr("expected {\"rows\""));
  EXPECT_THAT(told(R"({"rows": [)"), HasSubstr("not JSON at byte"));
  EXPECT_THAT(told(R"({"rows": []} {})"), HasSubstr("not JSON at byte 14"));
  EXPECT_THAT(told(""), HasSubstr("not JSON at byte"));
  EXPECT_THAT(told("\xff\xfe{}"), HasSubstr("not JSON at byte"));
  EXPECT_EQ(rows_refused(R"({"rows": [)").status, 400);
  EXPECT_EQ(rows_refused(R"({"rows": []})").status, 0);
}

TEST(RequestRows, LimitsAreKept) {
  const std::string three = R"({"rows": [{"user": 1, "item": 1, "history": ""}, {"user": 1, "item": 1, "history": ""},
                                         {"user": 1, "item": 1, "history": ""}]})";
  EXPECT_EQ(rows_refused(three, {.rows = 3, .cells = 9}).status, 0);
  EXPECT_EQ(rows_refused(three, {.rows = 2, .cells = 9}).status, 413);
  EXPECT_EQ(rows_refused(three, {.rows = 3, .cells = 8}).status, 413);
}

TEST(RequestV2, ColumnsComeByNameInAnyOrderOfKeys) {
  std::string body = R"({"id": "7", "inputs": [
      {"data": ["1", "2"], "datatype": "BYTES", "shape": [2], "name": "item"},
      {"name": "user", "shape": [1, 1], "datatype": "INT64", "data": [[42]]},
      {"name": "history", "shape": [2, 2], "datatype": "BYTES", "data": [["a", "b"], ["c", ""]]}],
      "outputs": [{"name": "p", "parameters": {"binary_data": true}}]})";
  RequestCells cells;
  cells.read_v2(body, -1, kColumns, {});
  EXPECT_EQ(cells.rows(), 2);
  EXPECT_EQ(cells.id(), "7");
  EXPECT_TRUE(cells.of_user(0));
  EXPECT_THAT(column(cells, 0), ElementsAre("42"));
  EXPECT_THAT(column(cells, 1), ElementsAre("1", "2"));
  EXPECT_THAT(column(cells, 2), ElementsAre("a^b", "c"));
  ASSERT_EQ(cells.outputs().size(), 1u);
  EXPECT_EQ(cells.outputs()[0].name, "p");
  EXPECT_TRUE(cells.outputs()[0].binary);
}

TEST(RequestV2, BinaryTensorsAreTheTextThatTheyPrintAs) {
  const std::string items = bytes_element("1") + bytes_element("") + bytes_element("\x01z");
  const float numbers[] = {.1f, -2.f, 3e9f};
  std::string body =
      R"({"inputs": [{"name": "item", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": 15}},
      {"name": "user", "shape": [3], "datatype": "FP32", "parameters": {"binary_data_size": 12}},
      {"name": "history", "shape": [3], "datatype": "BYTES", "data": ["", "", ""]}],
      "parameters": {"binary_data_output": true}})";
  const auto head = int64_t(body.size());
  body += items;
  body.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
  RequestCells cells;
  cells.read_v2(body, head, kColumns, {});
  EXPECT_THAT(column(cells, 0), ElementsAre("0.1", "-2", "3e+09"));
  EXPECT_THAT(column(cells, 1), ElementsAre("1", "", "\x01z"));
  EXPECT_TRUE(cells.all_binary());
}

TEST(RequestV2, WhatDoesNotFitIsNamed) {
  const auto input = [](const std::string& rest) { return "{\"inputs\": [{\"name\": \"item\", " + rest + "}]}"; };
  EXPECT_THAT(v2_refused(input(R"("shape": [2], "datatype": "BYTES", "data": ["1"])")).text,
              HasSubstr("shape [2], but 1"));
  EXPECT_THAT(v2_refused(input(R"("shape": [1], "datatype": "FP16", "data": ["1"])")).text,
              HasSubstr("datatype 'FP16'"));
  EXPECT_THAT(v2_refused(input(R"("shape": [-1], "datatype": "BYTES", "data": [])")).text, HasSubstr("shape [-1]"));
  EXPECT_THAT(v2_refused(input(R"("shape": [4611686018427387904, 4], "datatype": "BYTES", "data": [])")).text,
              HasSubstr("shape"));
  EXPECT_THAT(v2_refused(input(R"("shape": [], "datatype": "BYTES", "data": [])")).text,
              HasSubstr("a shape of one size"));
  EXPECT_THAT(v2_refused(input(R"("datatype": "BYTES", "data": ["1"])")).text, HasSubstr("a shape of one size"));
  EXPECT_THAT(v2_refused(input(R"("shape": [1], "datatype": "BYTES")")).text, HasSubstr("neither data"));
  EXPECT_THAT(v2_refused(R"({"inputs": [{"shape": [1], "datatype": "BYTES", "data": ["1"]}]})").text,
              HasSubstr("no name"));
  EXPECT_THAT(v2_refused(R"({"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["1"]}]})").text,
              HasSubstr("input 'x': the model reads no such column"));
  EXPECT_THAT(v2_refused(R"({"inputs": []})").text, HasSubstr("`inputs` is empty"));
  EXPECT_THAT(v2_refused("{}", 3).text, HasSubstr("the body has 2 bytes"));
  EXPECT_THAT(v2_refused(input(R"("shape": [1], "datatype": "BYTES", "data": [[[["1"]]]])")).text,
              HasSubstr("lists of lists"));
  const std::string head = input(R"("shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5})");
  EXPECT_THAT(v2_refused(head + "abc", int64_t(head.size())).text, HasSubstr("3 bytes are left"));
  EXPECT_THAT(v2_refused(head + "\xff\xff\xff\xff" + "a", int64_t(head.size())).text,
              HasSubstr("end within an element"));
  EXPECT_THAT(v2_refused(head + bytes_element("a") + "more", int64_t(head.size())).text,
              HasSubstr("4 bytes stand behind"));
}

TEST(RequestV2, RowsOfOtherNumbersAreRefused) {
  EXPECT_THAT(v2_refused(R"({"inputs": [{"name": "item", "shape": [3], "datatype": "BYTES", "data": ["1", "2", "3"]},
      {"name": "user", "shape": [2], "datatype": "BYTES", "data": ["1", "2"]},
      {"name": "history", "shape": [1], "datatype": "BYTES", "data": [""]}]})")
                  .text,
              HasSubstr("'user': 2 rows, where others have 3"));
}

// The same object reads request after request: nothing of one is left in the next.
TEST(RequestCells, ForgetsTheRequestBefore) {
  RequestCells cells;
  std::string first = R"({"user": {"user": "u", "history": ""}, "candidates": [{"item": "1"}, {"item": "2"}]})";
  cells.read_rows(first, kColumns, {});
  std::string second = R"({"rows": [{"user": "v", "item": "3", "history": ["a"]}]})";
  cells.read_rows(second, kColumns, {});
  EXPECT_EQ(cells.rows(), 1);
  EXPECT_FALSE(cells.of_user(0));
  EXPECT_THAT(column(cells, 0), ElementsAre("v"));
  std::string third = R"({"rows": [{"user": "v", "item": "3"}]})";
  cells.read_rows(third, kColumns, {});
  EXPECT_THROW(places_of(kColumns, cells, kColumns), RequestError);
}

}  // namespace
}  // namespace interplay::server::request_cells_test
