#include "data/encode/coded_rows.h"

#include <filesystem>

#include <gtest/gtest.h>

#include <interplay/base/error.h>

#include "support/temp_dir.h"

namespace interplay::testing::coded_rows_test {
namespace {

CodedRows some_rows(int64_t epoch, uint32_t largest) {
  CodedRows rows;
  rows.split = {0, 2};
  rows.categorical = {{epoch, {largest, 0}}, {CodedRows::kIds, {7, 255}}};
  rows.numbers = {{0.1, -3e300}};
  rows.entries = {{epoch + 1, {1, largest, 3}}};
  rows.rest.sequences.resize(1);
  rows.rest.sequences[0].offsets = {0, 1, 3};
  rows.rest.sequences[0].weights = {0.5f, 1.5f, 2.5f};
  rows.rest.vectors = {{1, 2, 3, 4}};
  rows.rest.texts.resize(1);
  rows.rest.texts[0] = {{5, 30000, 2}, {-1, 0, 3}, {0, 2, 3}};
  rows.rest.labels = {1, 0};
  rows.rest.weight = {2, 3};
  rows.rest.group = {-1, int64_t(1) << 60};
  rows.rest.time = {1e9, 2e9};
  return rows;
}

TEST(CodedRowsFile, RowsComeBackByNumberWhateverTheOrder) {
  const TempDir dir;
  CodedRowsFile file(dir.path());
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));                    // it has no name
  const uint32_t largest[] = {200, 255, 256, 65535, 65536, UINT32_MAX};  // one, two and four bytes a code
  for (const size_t i : {3, 0, 5, 1, 4, 2}) file.add(int64_t(i), some_rows(int64_t(i), largest[i]));
  ASSERT_EQ(file.size(), 6);
  for (int64_t i = 0; i < 6; ++i) {
    const CodedRows expected = some_rows(i, largest[i]), found = file.get(i);
    EXPECT_EQ(found.rest.rows, 2);
    EXPECT_EQ(found.split, expected.split);
    ASSERT_EQ(found.categorical.size(), 2u);
    for (size_t c = 0; c < 2; ++c) {
      EXPECT_EQ(found.categorical[c].epoch, expected.categorical[c].epoch);
      EXPECT_EQ(found.categorical[c].values, expected.categorical[c].values);
    }
    EXPECT_EQ(found.numbers, expected.numbers);
    EXPECT_EQ(found.entries.at(0).epoch, i + 1);
    EXPECT_EQ(found.entries.at(0).values, expected.entries[0].values);
    EXPECT_EQ(found.rest.sequences.at(0).offsets, expected.rest.sequences[0].offsets);
    EXPECT_EQ(found.rest.sequences.at(0).weights, expected.rest.sequences[0].weights);
    EXPECT_EQ(found.rest.vectors, expected.rest.vectors);
    EXPECT_EQ(found.rest.texts.at(0).ids, expected.rest.texts[0].ids);
    EXPECT_EQ(found.rest.texts.at(0).columns, expected.rest.texts[0].columns);
    EXPECT_EQ(found.rest.texts.at(0).offsets, expected.rest.texts[0].offsets);
    EXPECT_EQ(found.rest.labels, expected.rest.labels);
    EXPECT_EQ(found.rest.weight, expected.rest.weight);
    EXPECT_EQ(found.rest.group, expected.rest.group);
    EXPECT_EQ(found.rest.time, expected.rest.time);
  }
}

TEST(CodedRowsFile, AFolderThatIsNotThereIsNamed) {
  const TempDir dir;
  try {
    CodedRowsFile file(dir / "absent");
    FAIL();
  } catch (const Error& problem) {
    EXPECT_NE(std::string(problem.what()).find((dir / "absent").string()), std::string::npos);
    EXPECT_EQ(problem.kind(), ErrorKind::data);
  }
}

}  // namespace
}  // namespace interplay::testing::coded_rows_test
