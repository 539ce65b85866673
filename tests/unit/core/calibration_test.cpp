#include <interplay/core/calibration.h>

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/random.h>
#include <interplay/core/reliability.h>

#include "core/metric/probability.h"
#include "corrupt/alter.h"
#include "support/error_of.h"
#include "support/temp_dir.h"
#include "support/toy_rows.h"

namespace fs = std::filesystem;

namespace interplay::calibration_test {
namespace {

using testing::data_error;
using ::testing::HasSubstr;
using testing::TempDir;

Schema one_label() { return testing::toy_schema().with_labels({"click"}); }

/// Rows whose log odds t are drawn from N(-1, 1), labels drawn by them; the model said scale * t + shift.
struct Planted {
  std::vector<double> t;
  Predictions rows;

  Planted(double scale, double shift, uint64_t seed, int64_t count = 20000) {
    for (int64_t i = 0; i < count; ++i) {
      t.push_back(random_normal(seed, 0, uint64_t(i)) - 1);
      rows.logit.push_back(float(scale * t.back() + shift));
      rows.label.push_back(random_unit(seed, 1, uint64_t(i)) < sigmoid(t.back()));
    }
  }
};

double log_loss(const Predictions& p) {
  double sum = 0;
  for (size_t i = 0; i < p.logit.size(); ++i) sum += cross_entropy(p.logit[i], p.label[i]);
  return sum / double(p.logit.size());
}

Calibration fit(const Predictions& rows, const CalibrateOptions& options, std::span<const int32_t> ids = {}) {
  return Calibration::fit(rows, ids, one_label(), options);
}

double parameter(const Calibration& calibration, const char* name) {
  return calibration.labels()[0].shared->parameters()[name].as<double>();
}

TEST(Calibration, UndoesAPlantedScaleAndShift) {
  const Planted planted(2, 1, 5);  // standard errors by the Fisher information of 20,000 such rows
  const auto platt = fit(planted.rows, {.method = "platt"});
  EXPECT_NEAR(parameter(platt, "slope"), 0.5, 4 * 0.0099);
  EXPECT_NEAR(parameter(platt, "shift"), -0.5, 4 * 0.0172);
  const auto temperature = fit(Planted(2, 0, 5).rows, {.method = "temperature"});
  EXPECT_NEAR(1 / parameter(temperature, "temperature"), 0.5, 4 * 0.0076);
  const auto beta = fit(planted.rows, {.method = "beta"});
  EXPECT_NEAR(parameter(beta, "a"), 0.5, 4 * 0.0233);
  EXPECT_NEAR(parameter(beta, "b"), 0.5, 4 * 0.0302);
  EXPECT_NEAR(parameter(beta, "c"), -0.5, 4 * 0.0506);
  const auto isotonic = fit(planted.rows, {.method = "isotonic"});
  double squares = 0;
  for (size_t i = 0; i < planted.t.size(); ++i)
    squares += std::pow(sigmoid(isotonic.logit(0, 0, planted.rows.logit[i])) - sigmoid(planted.t[i]), 2);
  EXPECT_LT(std::sqrt(squares / double(planted.t.size())), 0.0158 * 1.3);  // the largest of 20 simulations, and some
}

TEST(Calibration, MakesOtherRowsRightToo) {
  const Planted fitted(2, 1, 5), other(2, 1, 6), truth(1, 0, 6);  // the same labels, by the log odds themselves
  for (const auto& method : calibrators().names()) {
    if (method == "temperature") continue;  // which knows no shift
    Predictions after = other.rows;
    fit(fitted.rows, {.method = method}).apply(after.logit, {});
    const auto e = calibration_error(after, {.replicates = 2});
    EXPECT_LT(e.ece, 3 * e.by_chance) << method;
    EXPECT_NEAR(e.ratio, 1, 0.03) << method;
    EXPECT_LT(log_loss(after), log_loss(truth.rows) + 0.003) << method;  // before: 0.06 above
  }
}

/// Two thirds of the rows are of user 1, of whom the model says 2 t + 1, the others of user 2: t / 2 - 1.
struct TwoUsers {
  Predictions rows;
  std::vector<int32_t> ids;

  explicit TwoUsers(uint64_t seed, int64_t count = 12000) : rows(Planted(2, 1, seed, count).rows) {
    const auto other = Planted(0.5, -1, seed, count).rows;
    for (size_t i = 0; i < rows.logit.size(); ++i) {
      ids.push_back(i % 3 == 0 ? 2 : 1);
      if (ids[i] == 2) rows.logit[i] = other.logit[i];
    }
  }
};

TEST(Calibration, ByAFieldWinsWhereItsValuesAreOff) {
  const TwoUsers fitted(7), other(8);
  const auto by = fit(fitted.rows, {.by = "user_id"}, fitted.ids), shared = fit(fitted.rows, {});
  Predictions a = other.rows, b = other.rows;
  by.apply(a.logit, {other.ids.data()});
  shared.apply(b.logit, {});
  EXPECT_LT(log_loss(a), log_loss(b) - 0.01);
  for (const auto& [id, scale, shift] : {std::tuple(1, 0.5, -0.5), {2, 2.0, 2.0}}) {
    const Config map = by.labels()[0].slices.at(id).map->parameters();
    EXPECT_NEAR(map["slope"].as<double>(), scale, scale * 0.15) << id;
    EXPECT_NEAR(map["shift"].as<double>(), shift, 0.15) << id;
  }
}

TEST(Calibration, ValuesWithFewRowsOrOneClassShareOneMap) {
  TwoUsers rows(7, 3000);
  for (size_t i = 0; i < 400; ++i) rows.ids[i] = 4, rows.rows.label[i] = 0;
  for (size_t i = 400; i < 499; ++i) rows.ids[i] = 5;
  const auto by = fit(rows.rows, {.by = "user_id", .min_rows = 100}, rows.ids);
  const auto& maps = by.labels()[0];
  EXPECT_EQ(maps.slices.size(), 2);
  EXPECT_EQ(maps.slices.at(1).rows + maps.slices.at(2).rows, 3000 - 499);
  EXPECT_EQ(&maps.of(4), maps.shared.get());
  EXPECT_EQ(&maps.of(5), maps.shared.get());
  EXPECT_EQ(&maps.of(0), maps.shared.get());
}

TEST(Calibration, EachLabelHasItsOwnAndRowsWithoutItCountNowhere) {
  const Planted click(2, 1, 5), like(0.5, 0, 9);
  Predictions both{.labels = 2};
  for (size_t i = 0; i < click.t.size(); ++i) {
    both.logit.insert(both.logit.end(), {click.rows.logit[i], like.rows.logit[i]});
    both.label.insert(both.label.end(), {click.rows.label[i], i % 4 == 0 ? NAN : like.rows.label[i]});
  }
  const auto calibration = Calibration::fit(both, {}, testing::toy_schema(), {});
  ASSERT_EQ(calibration.labels().size(), 2);
  EXPECT_EQ(calibration.labels()[0].rows, 20000);
  EXPECT_EQ(calibration.labels()[1].rows, 15000);
  const auto of_one = fit(click.rows, {});
  EXPECT_EQ(calibration.logit(0, 0, 0.7), of_one.logit(0, 0, 0.7));
  EXPECT_NEAR(calibration.logit(1, 0, 0.5), 1, 0.15);  // t = z / 0.5
  calibration.apply(both.logit, {});
  EXPECT_EQ(both.logit[6], float(of_one.logit(0, 0, click.rows.logit[3])));
}

TEST(Calibration, UndoesTheSamplingOfNegativesApart) {
  const Planted all(1, 0, 11, 60000);
  Predictions kept;  // one negative in ten, as the rows of which a model learns t - ln 0.1
  for (size_t i = 0; i < all.t.size(); ++i) {
    if (all.rows.label[i] == 0 && random_unit(12, 0, i) >= 0.1) continue;
    kept.logit.push_back(float(all.t[i] - std::log(0.1)));
    kept.label.push_back(all.rows.label[i]);
  }
  undo_sampling(kept, 0.1, "", one_label());
  EXPECT_EQ(kept.weight[size_t(std::find(kept.label.begin(), kept.label.end(), 0.f) - kept.label.begin())], 10.f);
  EXPECT_EQ(kept.weight[size_t(std::find(kept.label.begin(), kept.label.end(), 1.f) - kept.label.begin())], 1.f);
  const auto calibration = fit(kept, {.sampled = 0.1});
  EXPECT_DOUBLE_EQ(calibration.labels()[0].shift, std::log(0.1));
  EXPECT_NEAR(parameter(calibration, "slope"), 1, 0.08);  // nothing is left to the map
  EXPECT_NEAR(parameter(calibration, "shift"), 0, 0.08);
  const double q = 0.4, p = q / (q + (1 - q) / 0.1);  // He et al. 2014, equation 4
  EXPECT_NEAR(std::log(q / (1 - q)) + calibration.labels()[0].shift, std::log(p / (1 - p)), 1e-12);
}

TEST(Calibration, RowsOfOneClassAndLogitsThatAreNoNumbersAreRefused) {
  Predictions rows{.logit = {0, 1}, .label = {1, 1}};
  EXPECT_THAT(data_error([&] { fit(rows, {}); }), HasSubstr("the 2 labels 'click' of valid are all of one class"));
  rows.label = {0, 1}, rows.logit = {0, NAN};
  EXPECT_THAT(testing::numeric_error([&] { fit(rows, {}); }), HasSubstr("the logit of row 1 is nan"));
}

/// A directory with weights, of which its manifest tells.
class CalibrationFile : public ::testing::Test {
 protected:
  CalibrationFile() {
    dir_.write("model.safetensors", "weights");
    dir_.write("config.yaml", "model: fm\n");
    Manifest::describe(run_).save(run_);
  }
  std::string text() const { return read_file(run_ / Calibration::kFile); }
  Calibration load() const { return Calibration::load(run_, one_label()); }

  /// The file with other bytes, for which the manifest vouches.
  void replace(const std::string& bytes) const {
    write_file(run_ / Calibration::kFile, bytes);
    Manifest manifest = Manifest::load(run_);
    manifest.put(run_, Calibration::kFile);
    manifest.save(run_);
  }
  std::string with(const std::string& from, const std::string& to) const {
    std::string bytes = text();
    const size_t at = bytes.find(from);
    EXPECT_NE(at, bytes.npos) << from;
    return bytes.replace(at, from.size(), to);
  }
  std::string refused(const std::string& bytes) const {
    const std::string before = text();
    replace(bytes);
    const std::string said = data_error([&] { load(); });
    replace(before);
    EXPECT_THAT(said, HasSubstr("calibration.json"));
    return said;
  }

  const TempDir dir_;
  const fs::path run_ = dir_.path();
};

TEST_F(CalibrationFile, ComesBackAsItWas) {
  const TwoUsers rows(7, 3000);
  for (const auto& method : calibrators().names()) {
    const auto saved = fit(rows.rows, {.method = method, .split = "valid", .by = "user_id", .sampled = 0.5}, rows.ids);
    saved.save(run_, "<html>");
    const auto loaded = load();
    EXPECT_EQ(loaded.options().method, method);
    EXPECT_EQ(loaded.options().sampled, 0.5);
    EXPECT_EQ(loaded.labels()[0].rows, 3000);
    for (const int32_t id : {0, 1, 2, 5}) {
      for (double z = -6; z < 6; z += 0.37) EXPECT_EQ(loaded.logit(0, id, z), saved.logit(0, id, z)) << method;
    }
    Manifest::load(run_).check(run_, /*contents=*/true);
    EXPECT_NE(Manifest::load(run_).find(Calibration::kPage), nullptr);
  }
}

TEST_F(CalibrationFile, IsTakenAwayWithoutATrace) {
  const std::string before = read_file(run_ / "manifest.json");
  EXPECT_FALSE(Calibration::remove(run_));
  const auto calibration = fit(Planted(2, 1, 5, 500).rows, {});
  calibration.save(run_, "<html>");
  EXPECT_THAT(read_file(run_ / "manifest.json"), HasSubstr("\"format\": 2"));  // which older programs refuse
  calibration.save(run_);
  EXPECT_FALSE(fs::exists(run_ / Calibration::kPage));
  EXPECT_TRUE(Calibration::remove(run_));
  EXPECT_EQ(read_file(run_ / "manifest.json"), before);
  EXPECT_EQ(testing::files_below(run_).size(), 3);
}

TEST_F(CalibrationFile, SaysWhereItIsWrong) {
  const TwoUsers rows(7, 3000);
  fit(rows.rows, {.by = "user_id"}, rows.ids).save(run_);
  EXPECT_THAT(refused(with("\"format\": 1", "\"format\": 2")), HasSubstr("2 is not known; this version"));
  EXPECT_THAT(refused(with("\"platt\"", "\"plat\"")), HasSubstr("did you mean 'platt'?"));
  EXPECT_THAT(refused(with("\"slope\": ", "\"slope\": .nan, \"x\": ")), HasSubstr("slope: nan is out of range"));
  EXPECT_THAT(refused(with("\"shift\": ", "\"shft\": ")), HasSubstr("shift"));
  EXPECT_THAT(refused(with("\"shift\": ", "\"a\": 1, \"shift\": ")), HasSubstr("unknown"));
  EXPECT_THAT(refused(with("\"click\"", "\"clack\"")), HasSubstr("'clack'; the run's label is 'click'"));
  EXPECT_THAT(refused(with("\"user_id\"", "\"age\"")), HasSubstr("'age' is no categorical field of the run"));
  EXPECT_THAT(refused(with("\"by\": \"user_id\",", "")), HasSubstr("`by` names no field"));
  EXPECT_THAT(refused(with("\"id\": 2", "\"id\": 6")), HasSubstr("id 6; expected each id of 'user_id' once, below 6"));
  EXPECT_THAT(refused(with("\"id\": 2", "\"id\": 1")), HasSubstr("id 1; expected each id of 'user_id' once"));
  EXPECT_THAT(refused(with("\"rows\": 3000", "\"rows\": -1")), HasSubstr("rows: -1 is out of range"));
  EXPECT_THAT(refused(with("\"weights\": \"", "\"weights\": \"0")), HasSubstr("fitted to other weights"));
  EXPECT_THAT(refused("{\"format\": 1}"), HasSubstr("weights"));
  EXPECT_THAT(refused("[]"), HasSubstr("calibration.json"));
  EXPECT_THAT(data_error([&] { Calibration::load(run_, testing::toy_schema()); }),
              HasSubstr("maps of 1 labels; the run has 2"));
  load();
}

TEST_F(CalibrationFile, KnotsThatFallAreRefused) {
  const Predictions rows{.logit = {-2, -1, 1, 2}, .label = {0, 1, 1, 1}};
  fit(rows, {.method = "isotonic"}).save(run_);
  EXPECT_THAT(text(), HasSubstr("-2.0"));
  EXPECT_THAT(refused(with("-2.0", "9.0")), HasSubstr("expected finite numbers that rise"));
  EXPECT_THAT(refused(with("-2.0", ".nan")), HasSubstr("knot 1 is nan"));
}

TEST_F(CalibrationFile, WhateverItsBytesItIsReadOrRefused) {
  const TwoUsers rows(7, 3000);
  fit(rows.rows, {.by = "user_id"}, rows.ids).save(run_);
  const std::string bytes = text();
  int refusals = 0;
  testing::each_alteration(bytes, {.every_below = 0, .cuts = 30, .flips = 100},
                           [&](const std::string& what, const std::string& altered) {
                             replace(altered);
                             try {
                               const auto loaded = load();  // another digit, or an end without a line's
                               EXPECT_TRUE(std::isfinite(loaded.logit(0, 1, 3.0))) << what;
                               EXPECT_GE(altered.size() + 1, bytes.size()) << what;
                             } catch (const Error& problem) {
                               EXPECT_EQ(problem.kind(), ErrorKind::data) << what;
                               ++refusals;
                             }
                           });
  EXPECT_GT(refusals, 80);
}

}  // namespace
}  // namespace interplay::calibration_test
