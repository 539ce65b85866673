// What an earlier version prepared and trained is opened, evaluated and scored as it was then.
#include <cmath>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/serve/scorer.h>
#include <interplay/train/evaluator.h>

namespace fs = std::filesystem;

namespace interplay::testing::stored_run_test {
namespace {

const fs::path kFolder = fs::path(INTERPLAY_TESTS_DIR) / "fixtures" / "format-1";

std::vector<std::string> lines_of(const std::string& name) {
  std::vector<std::string> out;
  std::istringstream in(read_file(kFolder / name));
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

std::vector<double> stored_logits() {
  std::vector<double> out;
  for (const auto& line : lines_of("logits.txt")) out.push_back(std::stod(line));
  return out;
}

/// The rows of test.csv, with the histories that a request would bring.
std::vector<Scorer::Row> raw_rows() {
  const auto cells = [](const std::string& line) {
    std::vector<std::string> out{""};
    for (const char c : line) {
      if (c == ',') {
        out.emplace_back();
      } else {
        out.back() += c;
      }
    }
    return out;
  };
  const auto lines = lines_of("test.csv"), histories = lines_of("histories.txt");
  const auto names = cells(lines[0]);
  std::vector<Scorer::Row> rows;
  for (size_t i = 1; i < lines.size(); ++i) {
    const auto row = cells(lines[i]);
    rows.emplace_back();
    for (size_t c = 0; c < names.size(); ++c) rows.back()[names[c]] = row[c];
    rows.back()["past"] = histories[i - 1];
  }
  return rows;
}

TEST(StoredRun, IsWholeAndHoldsEveryKindOfField) {
  const Bundle bundle = Bundle::open(kFolder / "run");
  EXPECT_TRUE(bundle.finished());
  bundle.check_data(kFolder / "prepared");
  for (const FieldKind kind : {FieldKind::categorical, FieldKind::numeric, FieldKind::sequence, FieldKind::vector})
    EXPECT_GT(bundle.schema().count(kind), 0);
  const Dataset train = Dataset::open(kFolder / "prepared", "train");
  train.verify();
  EXPECT_TRUE(train.has_weight());
  EXPECT_TRUE(train.has_group());
  EXPECT_EQ(train.rows(), 120);
  EXPECT_EQ(Schema::load(kFolder / "prepared/schema.yaml").fingerprint(), bundle.schema().fingerprint());
}

TEST(StoredRun, PreparedRowsAreEvaluatedAsTheyWere) {
  Progress::enable(false);
  const auto expected = stored_logits();
  const Dataset test = Dataset::open(kFolder / "prepared", "test");
  ASSERT_EQ(size_t(test.rows()), expected.size());
  const auto model = Bundle::open(kFolder / "run").model();
  const Predictions found = predict(*model, test, {});
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found.logit[i], expected[i], 1e-5) << i;
}

TEST(StoredRun, RawAndPreparedRowsAreScoredAsTheyWere) {
  const auto expected = stored_logits();
  const Scorer scorer = Scorer::load(kFolder / "run");
  const auto rows = raw_rows();
  ASSERT_EQ(rows.size(), expected.size());
  const auto raw = scorer.score(rows), prepared = scorer.score(Dataset::open(kFolder / "prepared", "test"));
  ASSERT_EQ(raw.size(), expected.size());
  ASSERT_EQ(prepared.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const double p = 1 / (1 + std::exp(-expected[i]));
    EXPECT_NEAR(raw[i], p, 1e-5) << i;
    EXPECT_NEAR(prepared[i], p, 1e-5) << i;
  }
}

}  // namespace
}  // namespace interplay::testing::stored_run_test
