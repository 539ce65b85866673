// Which task has how many rows of a step: against values computed from the definitions (tests/reference/recfound.py).
#include "systems/recfound/s2sched.h"

#include <cmath>
#include <limits>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/stored.h"
#include "systems/recfound/row_sampler.h"

namespace interplay::recfound::recfound_s2sched_test {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Json& stored(const char* part) {
  static const Json all = interplay::testing::reference_json("systems/recfound.json");
  return all.at(part);
}

void expect_near(const std::vector<double>& found, const Json& expected, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[i].get<double>(), 1e-9) << fmt::format("{}, number {}", what, i);
}

S2SchedOptions options_of(const Json& j) {
  S2SchedOptions out;
  out.warmup = j["warmup"], out.window = j["window"], out.tau = j["tau"];
  return out;
}

/// Ratios of one step.
std::vector<double> at_step(const Json& rho, size_t step) {
  std::vector<double> out;
  for (const auto& task : rho) out.push_back(task[step - 1]);
  return out;
}

/// Goes through all steps and holds every stored decision against what is found; how many these were.
int expect_decisions(const Json& j, const std::vector<int64_t>& families) {
  S2Scheduler scheduler(families, j["sizes"], options_of(j));
  const size_t steps = j["rho"][0].size();
  int held = 0;
  for (size_t t = 1; t <= steps; ++t) {
    const auto key = std::to_string(t);
    if (j["decisions"].contains(key)) {
      const auto& expected = j["decisions"][key];
      const auto& found = scheduler.decision();
      const std::string step = fmt::format("step {} ", t);
      expect_near(found.slopes, expected["slope"], step + "slopes");
      expect_near(found.weights, expected["weights"], step + "weights");
      for (const size_t f : {0, 1}) {
        const auto& want = expected[f == 0 ? "emb" : "gen"];
        const auto& got = found.families.at(f);
        EXPECT_NEAR(got.group_slope, want["group_slope"].get<double>(), 1e-12) << step;
        EXPECT_NEAR(got.forgetting, want["DF"].get<double>(), 1e-9) << step;
        expect_near(got.relative, want["RCS"], step + "RCS");
        expect_near(got.absolute, want["ACS"], step + "ACS");
        expect_near(got.before_size, want["weights_before_size"], step + "before sizes");
        expect_near(got.after_size, want["weights_after_size"], step + "after sizes");
      }
      ++held;
    }
    scheduler.add(at_step(j["rho"], t));
  }
  return held;
}

TEST(S2Sched, EveryDecisionOfFiveTasks) { EXPECT_EQ(expect_decisions(stored("s2sched_small"), {0, 0, 1, 1, 1}), 11); }

TEST(S2Sched, DecisionsOfThirteenTasks) {
  EXPECT_EQ(expect_decisions(stored("s2sched_published"), {0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}), 7);
}

TEST(S2Sched, BeforeTheWarmUpsEndTasksCountAlike) {
  S2Scheduler scheduler({0, 0, 1, 1, 1}, {300, 100, 300, 20, 150}, S2SchedOptions());
  for (int step = 1; step < 32; ++step) {
    EXPECT_THAT(scheduler.decision().weights, ElementsAre(0.5, 0.5, 1 / 3.0, 1 / 3.0, 1 / 3.0)) << step;
    EXPECT_TRUE(scheduler.decision().families.empty());
    scheduler.add(std::vector<double>{1, 0.9, 0.8, 0.7, 0.5 + 0.01 * step});
  }
  EXPECT_EQ(scheduler.decision().families.size(), 2u);  // step 32
}

S2SchedOptions quick() {
  S2SchedOptions out;
  out.warmup = 4, out.window = 8;
  return out;
}

TEST(S2Sched, WhereNothingMovesTasksCountAlike) {
  S2Scheduler scheduler({0, 0, 0}, {9, 3, 1}, quick());
  for (int step = 0; step < 6; ++step) scheduler.add(std::vector<double>{1, 1, 1});
  ASSERT_FALSE(scheduler.decision().families.empty());
  EXPECT_THAT(scheduler.decision().weights, Each(1 / 3.0));
}

TEST(S2Sched, ATaskThatWasNotMeasuredKeepsItsRatio) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  S2Scheduler some({0, 0}, {1, 1}, quick()), all({0, 0}, {1, 1}, quick());
  for (const auto& [a, b, kept] : {std::tuple{none, 0.9, 1.0}, {0.8, none, 0.8}, {none, 0.7, 0.8}, {0.6, 0.6, 0.6}}) {
    some.add(std::vector<double>{a, b});
    all.add(std::vector<double>{kept, std::isnan(b) ? 0.9 : b});
  }
  EXPECT_EQ(some.ratios(), all.ratios());
  EXPECT_EQ(some.decision().weights, all.decision().weights);
}

// Others converge, by halves in 7 and in 14 steps.
TEST(S2Sched, AStandstillGetsMore) {
  S2Scheduler scheduler({0, 0, 0}, {1, 1, 1}, quick());
  for (int step = 1; step <= 12; ++step)
    scheduler.add(std::vector<double>{1, std::exp2(-step / 7.0), std::exp2(-step / 14.0)});
  const auto& family = scheduler.decision().families.at(0);
  EXPECT_GT(family.relative[0], 1 / 3.0);
  EXPECT_GT(family.relative[0], family.relative[1]);
}

// One gets worse after it had got better.
TEST(S2Sched, WhatDivergesIsHeldBack) {
  S2Scheduler scheduler({0, 0, 0}, {1, 1, 1}, quick());
  for (int step = 1; step <= 12; ++step) {
    const double turns = step < 8 ? 1 - 0.05 * step : 0.6 + 0.05 * (step - 7);
    scheduler.add(std::vector<double>{1, std::exp2(-step / 7.0), turns});
  }
  const auto& family = scheduler.decision().families.at(0);
  EXPECT_LT(family.absolute[2], 1 / 3.0);
  EXPECT_LT(family.absolute[2], family.absolute[0]);
  EXPECT_LT(family.absolute[2], family.absolute[1]);
}

TEST(S2Sched, ZerosAreLeftOutOfSlopes) {
  EXPECT_DOUBLE_EQ(slope_of(std::vector<double>{1, 0, 2, 0, 3}), 1);
  EXPECT_EQ(slope_of(std::vector<double>{0, 5, 0}), 0);
  EXPECT_EQ(slope_of(std::vector<double>{}), 0);
}

TEST(Allocation, IsByLargestRemaindersAndSharesWhatIsOverOnce) {
  const auto& j = stored("allocation");
  const std::vector<double> weights = j["weights"];
  for (const auto& c : j["cases"]) {
    const std::vector<int64_t> available = c["available"], counts = c["counts"];
    EXPECT_EQ(allocate(weights, c["budget"], available), counts) << c;
  }
}

TEST(Allocation, UnusedRowsComeFirst) {
  const auto& j = stored("allocation")["two_passes"];
  const std::vector<double> weights = stored("allocation")["weights"];
  const std::vector<int64_t> unused = j["unused"], used = j["used"], first = j["first"], second = j["second"];
  const auto found = allocate(weights, j["budget"], unused);
  EXPECT_EQ(found, first);
  EXPECT_EQ(allocate(weights, j["budget"].get<int64_t>() - found[0] - found[1] - found[2], used), second);
}

TEST(Allocation, NeverGivesMoreThanThereIsOrWasAsked) {
  for (int64_t budget = 0; budget < 40; ++budget) {
    for (const auto& weights : {std::vector<double>{0.1, 0.1, 0.8}, {1, 0, 0}, {0.25, 0.25, 0.5}}) {
      const std::vector<int64_t> available{3, 11, budget / 2};
      const auto found = allocate(weights, budget, available);
      int64_t sum = 0;
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_GE(found[i], 0);
        EXPECT_LE(found[i], available[i]);
        sum += found[i];
      }
      EXPECT_LE(sum, budget);
    }
  }
  EXPECT_THAT(allocate(std::vector<double>{1, 1, 1}, 4, std::vector<int64_t>{9, 9, 9}), ElementsAre(2, 1, 1));
}

TEST(RowSampler, EveryRowPassesByBeforeOneComesAgain) {
  RowSampler sampler({4, 7}, {5, 8}, 3);
  std::multiset<std::pair<int64_t, int64_t>> seen;
  for (int step = 0; step < 13; ++step) {
    for (const auto& [task, row] : sampler.next(1)) seen.emplace(task, row);
  }
  EXPECT_EQ(seen.size(), 13u);
  EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), 13u);
  EXPECT_EQ(seen.count({7, 7}), 1u);
}

TEST(RowSampler, WeightsDecideAndUnusedRowsComeFirst) {
  RowSampler sampler({0, 1}, {40, 40}, 5);
  std::set<std::pair<int64_t, int64_t>> seen;
  int64_t of_first = 0;
  for (int step = 0; step < 4; ++step) {
    for (const auto& [task, row] : sampler.next(5, 0.125, std::vector<double>{0.8, 0.2})) {
      EXPECT_TRUE(seen.emplace(task, row).second) << "a row came twice while others were unused";
      of_first += task == 0;
    }
  }
  EXPECT_EQ(seen.size(), 20u);
  EXPECT_EQ(of_first, 16);
}

TEST(RowSampler, GoesOnWhereItWas) {
  RowSampler one({0, 1}, {9, 4}, 8), other({0, 1}, {9, 4}, 8);
  const std::vector<double> weights{0.5, 0.5};
  for (int step = 0; step < 5; ++step) one.next(3, 0.5, weights);
  other.restore(one.drawn(), one.used());
  for (int step = 0; step < 5; ++step) EXPECT_EQ(one.next(3, 0.5, weights), other.next(3, 0.5, weights)) << step;
  EXPECT_THAT(testing::data_error([&] { other.restore(3, "abc"); }), HasSubstr("3 digits for 13 rows; expected 4"));
  EXPECT_THAT(testing::data_error([&] { other.restore(3, "abcx"); }), HasSubstr("'x' is no digit"));
}

}  // namespace
}  // namespace interplay::recfound::recfound_s2sched_test
