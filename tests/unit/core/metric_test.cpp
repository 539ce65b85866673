#include <interplay/core/metric.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include <interplay/base/random.h>
#include <interplay/core/reliability.h>
#include <interplay/data/no_group.h>

namespace interplay::metric_test {
namespace {

// The rows of tests/reference/metrics_and_losses.py; three rows tie at 0.5, two at -1, and group 5 is untied.
struct Table {
  std::vector<float> logit = {-2.0f, -1.0f, 0.5f, 0.5f, 1.5f, -1.0f, 3.0f, 0.0f, -0.5f, 2.0f, 0.5f, -3.0f};
  std::vector<float> label = {0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 1, 0};
  std::vector<float> weight = {1, 2, 0.5f, 1, 3, 1, 1, 2, 0.5f, 1, 4, 1.5f};
  std::vector<int64_t> group = {7, 7, 7, 7, -3, -3, -3, 900, 900, 900, 5, 5};
  Predictions plain() const { return {.logit = logit, .label = label, .group = group}; }
  Predictions weighted() const { return {.logit = logit, .label = label, .weight = weight, .group = group}; }
};

double value(const Predictions& p, const std::string& metric) {
  return metrics().make(Config::parse(metric))->compute(p);
}

class MetricTable : public ::testing::TestWithParam<std::string> {};
std::string metric_name(const ::testing::TestParamInfo<std::string>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(Every, MetricTable, ::testing::ValuesIn(metrics().names()), metric_name);

// Double arithmetic on both sides over twelve rows: 1e-12 leaves room for the order of additions.
TEST(Metric, EqualsScikitLearnOnUnweightedRows) {
  const Table table;
  const std::map<std::string, double> expected = {
      {"auc", 0.875},
      {"pr_auc", 0.877777777777778},
      {"gauc", 0.925925925925926},
      {"logloss", 0.439035207961083},
      {"ne", 0.633393917301110},
      {"calibration", 1.016729330222891},
      {"rmse", 0.380573995671177},
      {"accuracy", 0.75},
      {"{name: ece, bins: 3}", 0.115788445289173},
  };
  for (const auto& [name, number] : expected) EXPECT_NEAR(value(table.plain(), name), number, 1e-12) << name;
}

TEST(Metric, EqualsScikitLearnOnWeightedRows) {
  const Table table;
  const std::map<std::string, double> expected = {
      {"auc", 0.919642857142857},     {"pr_auc", 0.926445578231292},   {"gauc", 0.958333333333333},
      {"logloss", 0.413519219660744}, {"ne", 0.604570486472279},       {"calibration", 0.942434027170378},
      {"rmse", 0.361163655776076},    {"accuracy", 0.783783783783784},
  };
  for (const auto& [name, number] : expected) EXPECT_NEAR(value(table.weighted(), name), number, 1e-12) << name;
}

TEST_P(MetricTable, WeightTwoEqualsTheRowWrittenTwice) {
  Table once, twice;
  once.weight.assign(12, 1);
  for (const size_t row : {2u, 4u, 7u}) {
    once.weight[row] = 2;
    twice.logit.push_back(once.logit[row]);
    twice.label.push_back(once.label[row]);
    twice.group.push_back(once.group[row]);
  }
  // ECE cuts its bins by rows, so one bin is where weight and repetition mean the same.
  const std::string metric = GetParam() == "ece" ? "{name: ece, bins: 1}" : GetParam();
  EXPECT_NEAR(value(once.weighted(), metric), value(twice.plain(), metric), 1e-12);
}

TEST_P(MetricTable, DoesNotDependOnTheOrderOfRows) {
  const Table table;
  Table shuffled;
  const Permutation order(12, 3);
  for (uint64_t i = 0; i < 12; ++i) {
    const auto from = size_t(order.at(i));
    shuffled.logit[i] = table.logit[from];
    shuffled.label[i] = table.label[from];
    shuffled.weight[i] = table.weight[from];
    shuffled.group[i] = table.group[from];
  }
  EXPECT_NEAR(value(table.weighted(), GetParam()), value(shuffled.weighted(), GetParam()), 1e-12);
}

TEST_P(MetricTable, IsUndefinedWithoutRowsAndSaysSo) {
  const auto values = evaluate(Predictions{}, Config::parse(GetParam()));
  ASSERT_EQ(values.size(), 1u);
  EXPECT_TRUE(std::isnan(values[0].value));
  EXPECT_EQ(values[0].reason, "there are no rows");
}

TEST_P(MetricTable, PrefersPredictionsThatAreRight) {
  const Table table;
  std::vector<float> right, wrong;
  for (const float y : table.label) {
    right.push_back(y > 0 ? 9.0f : -9.0f);
    wrong.push_back(y > 0 ? -9.0f : -8.5f);
  }
  const Predictions good{.logit = right, .label = table.label, .group = table.group};
  const Predictions bad{.logit = wrong, .label = table.label, .group = table.group};
  const auto wanted = Config::parse(GetParam());
  EXPECT_GT(evaluate(good, wanted)[0].merit, evaluate(bad, wanted)[0].merit);
}

TEST(Auc, TiesCountHalf) {
  const std::vector<float> logit = {1, 1, 1, 1}, label = {0, 1, 0, 1};
  EXPECT_EQ(value({.logit = logit, .label = label}, "auc"), 0.5);
}

TEST(Auc, ZeroTiesWithMinusZero) {
  const std::vector<float> logit = {-0.0f, 0.0f}, label = {0, 1};
  EXPECT_EQ(value({.logit = logit, .label = label}, "auc"), 0.5);
}

TEST(Auc, TellsApartLogitsWhoseProbabilitiesRoundToTheSameFloat) {
  const std::vector<float> logit = {30.0f, 40.0f}, label = {0, 1};
  EXPECT_EQ(value({.logit = logit, .label = label}, "auc"), 1.0);
}

TEST(Auc, EqualsTheClosedFormOnManyRowsOfBothSigns) {
  // Logits are ranks, shuffled; odd ranks are positive. Positive 2j + 1 beats j + 1 of m negatives: (m + 1) / 2m.
  constexpr int64_t m = 50'000;
  const Permutation order(2 * m, 11);
  std::vector<float> logit, label;
  for (int64_t i = 0; i < 2 * m; ++i) {
    const auto rank = int64_t(order.at(uint64_t(i)));
    logit.push_back(0.001f * float(rank - m));
    label.push_back(float(rank % 2));
  }
  EXPECT_DOUBLE_EQ(value({.logit = logit, .label = label}, "auc"), double(m + 1) / double(2 * m));
}

TEST(GroupAuc, LeavesOutGroupsOfOneClass) {
  const std::vector<float> logit = {1, 2, 5, 6, 9}, label = {0, 1, 0, 0, 1};
  const std::vector<int64_t> group = {1, 1, 2, 2, 3};
  EXPECT_EQ(value({.logit = logit, .label = label, .group = group}, "gauc"), 1.0);
}

TEST(GroupAuc, RowsThatAreNobodysAreNoGroup) {
  // By themselves they would be a group of AUC 1, in the middle of the ranking and first to appear.
  const std::vector<float> logit = {1, 2, 1.2f, 1.9f, 5, 6}, label = {0, 1, 0, 1, 1, 0};
  const std::vector<int64_t> group = {kNoGroup, 7, kNoGroup, kNoGroup, 2, 2};
  const std::vector<int64_t> mixed = {kNoGroup, kNoGroup, 7, 7, 2, 2};
  EXPECT_EQ(value({.logit = logit, .label = label, .group = group}, "gauc"), 0.0);
  EXPECT_EQ(value({.logit = logit, .label = label, .group = mixed}, "gauc"), 0.5);
  const std::vector<int64_t> nobody(6, kNoGroup);
  const auto all = evaluate({.logit = logit, .label = label, .group = nobody}, Config::parse("[gauc]"));
  EXPECT_TRUE(std::isnan(all[0].value));
  EXPECT_EQ(all[0].reason, "every row's group is empty");
}

TEST(LogLoss, IsExactWhereTheProbabilityIsOneToTheLastBit) {
  const std::vector<float> logit = {100.0f, -100.0f}, wrong = {0, 1}, right = {1, 0};
  EXPECT_DOUBLE_EQ(value({.logit = logit, .label = wrong}, "logloss"), 100.0);
  EXPECT_DOUBLE_EQ(value({.logit = logit, .label = right}, "logloss"), std::exp(-100.0));
}

TEST(NormalizedEntropy, IsOneForTheBaseRateItself) {
  const std::vector<float> logit(4, std::log(1.0f / 3.0f)), label = {0, 0, 0, 1};
  EXPECT_NEAR(value({.logit = logit, .label = label}, "ne"), 1.0, 1e-7);  // the logit is a float
}

TEST(Metric, SaysWhyItIsUndefined) {
  const std::vector<float> logit = {1, 2}, label = {0, 0};
  const auto values =
      evaluate({.logit = logit, .label = label}, Config::parse("[auc, gauc, ne, calibration, pr_auc, logloss]"));
  EXPECT_EQ(values[0].reason, "all labels are of one class");
  EXPECT_EQ(values[1].reason, "the data has no group column");
  EXPECT_EQ(values[2].reason, "all labels are of one class");
  EXPECT_EQ(values[3].reason, "there are no positives");
  EXPECT_EQ(values[4].reason, "there are no positives");
  EXPECT_EQ(values[5].reason, "");
  EXPECT_EQ(metrics_line(values),
            "[Metrics] AUC: n/a - gAUC: n/a - NE: n/a - calibration: n/a - PR-AUC: n/a - logloss: 1.720095");
}

TEST(Metric, PrintsTheLineOfFuxiCTR) {
  EXPECT_EQ(metrics_line({{.name = "auc", .display = "AUC", .value = 0.8056641},
                          {.name = "logloss", .display = "logloss", .value = 0.4457669}}),
            "[Metrics] AUC: 0.805664 - logloss: 0.445767");
}

std::string error_of(const std::function<void()>& action, ErrorKind kind) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "no error";
}

TEST(Evaluate, RefusesALogitThatIsNotFinite) {
  const std::vector<float> logit = {1, std::numeric_limits<float>::quiet_NaN()}, label = {0, 1};
  const auto run = [&] { evaluate({.logit = logit, .label = label}, Config::parse("auc")); };
  EXPECT_NE(error_of(run, ErrorKind::numeric).find("the logit of row 1 is nan"), std::string::npos);
}

TEST(Evaluate, RefusesALabelThatIsNoProbability) {
  const std::vector<float> logit = {1, 2}, label = {0, 4};
  const auto run = [&] { evaluate({.logit = logit, .label = label}, Config::parse("auc")); };
  EXPECT_NE(error_of(run, ErrorKind::data).find("the label of row 1 is 4"), std::string::npos);
}

TEST(Evaluate, RefusesArraysOfDifferentLength) {
  const std::vector<float> logit = {1, 2}, label = {0};
  const auto run = [&] { evaluate({.logit = logit, .label = label}, Config::parse("auc")); };
  EXPECT_NE(error_of(run, ErrorKind::config).find("1 labels beside 2 logits"), std::string::npos);
}

TEST(Evaluate, NamesTheNearestMetric) {
  const Table table;
  const auto run = [&] { evaluate(table.plain(), Config::parse("[loglos]")); };
  EXPECT_NE(error_of(run, ErrorKind::config).find("did you mean 'logloss'"), std::string::npos);
}

TEST(Monitor, TakesTheMeritOfOneMetric) {
  const Table table;
  const auto values = evaluate(table.plain(), Config::parse("[auc, logloss, calibration]"));
  EXPECT_EQ(monitor_value(values, Config::parse("auc")), values[0].value);
  EXPECT_EQ(monitor_value(values, Config::parse("logloss")), -values[1].value);
  EXPECT_EQ(monitor_value(values, Config::parse("calibration")), -std::abs(std::log(values[2].value)));
}

TEST(Monitor, WeighsRawValuesInAMap) {
  const std::vector<MetricValue> values = {{.name = "auc", .value = 0.75}, {.name = "logloss", .value = 0.5}};
  EXPECT_EQ(monitor_value(values, Config::parse("{auc: 2, logloss: -1}")), 1.0);
  EXPECT_EQ(monitored_names(Config::parse("{auc: 2, logloss: -1}")), (std::vector<std::string>{"auc", "logloss"}));
}

TEST(Monitor, RefusesAMetricThatIsMissingOrUndefined) {
  const std::vector<MetricValue> values = {
      {.name = "auc", .value = 0.75},
      {.name = "gauc", .display = "gAUC", .reason = "the data has no group column"},
  };
  const auto config = Config::parse("train: {monitor: logloss, other: gauc}");
  EXPECT_NE(error_of([&] { monitor_value(values, config["train"]["monitor"]); }, ErrorKind::config)
                .find("train.monitor: 'logloss' is not among the metrics evaluated (auc, gauc)"),
            std::string::npos);
  EXPECT_NE(error_of([&] { monitor_value(values, config["train"]["other"]); }, ErrorKind::config)
                .find("gAUC is undefined here: the data has no group column"),
            std::string::npos);
}

TEST(CalibrationBins, NeverPartRowsThatTie) {
  const Table table;
  const auto bins = calibration_bins(table.plain(), 3);
  ASSERT_EQ(bins.size(), 3u);  // -3 -2 -1 -1 | -.5 0 .5 .5 .5 | 1.5 2 3
  EXPECT_EQ(bins[0].rows, 4);
  EXPECT_EQ(bins[1].rows, 5);
  EXPECT_EQ(bins[2].rows, 3);
  EXPECT_EQ(bins[0].observed, 0.25);
  EXPECT_EQ(bins[1].observed, 0.4);
  EXPECT_EQ(bins[2].observed, 1.0);
}

TEST(CalibrationBins, AreOneWhereAllLogitsAreEqual) {
  const std::vector<float> logit(5, 0.0f), label = {1, 0, 0, 0, 0};
  const auto bins = calibration_bins({.logit = logit, .label = label}, 4);
  ASSERT_EQ(bins.size(), 1u);
  EXPECT_EQ(bins[0].mean_p, 0.5);
  EXPECT_EQ(bins[0].observed, 0.2);
}

TEST(PredictionHistogram, CountsEveryRowOnce) {
  const Table table;
  const auto histogram = prediction_histogram(table.weighted(), 4);
  double positives = 0, negatives = 0;
  for (const double w : histogram.positive) positives += w;
  for (const double w : histogram.negative) negatives += w;
  EXPECT_DOUBLE_EQ(positives, 10.5);  // by hand from the table
  EXPECT_DOUBLE_EQ(negatives, 8.0);
  EXPECT_DOUBLE_EQ(histogram.low, 1 / (1 + std::exp(3.0)));
  EXPECT_DOUBLE_EQ(histogram.high, 1 / (1 + std::exp(-3.0)));
}

}  // namespace
}  // namespace interplay::metric_test
