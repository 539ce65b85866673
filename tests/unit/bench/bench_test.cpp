#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/bench/peaks.h>
#include <interplay/bench/workload.h>
#include <interplay/core/model.h>

#include "bench/ids.h"

namespace interplay::bench::bench_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

TEST(Measure, MedianOfOddAndEvenCounts) {
  const Measure odd{"m", "s", {3, 1, 2}}, even{"m", "s", {4, 1, 3, 2}};
  EXPECT_EQ(odd.median(), 2);
  EXPECT_EQ(even.median(), 2.5);
  EXPECT_EQ(even.min(), 1);
  EXPECT_EQ(even.max(), 4);
}

TEST(Findings, AFigureOfTheSameNameIsOneMoreRepeat) {
  Findings found;
  found.figure("train", "rows/s", 1);
  found.figure("load", "%", 5);
  found.figure("train", "rows/s", 2);
  ASSERT_EQ(found.figures.size(), 2u);
  EXPECT_EQ(found.figures[0].name, "train");
  EXPECT_EQ(found.figures[0].unit, "rows/s");
  EXPECT_THAT(found.figures[0].values, ElementsAre(1, 2));
}

// Of 1 .. 99: uniformly, half of u below 1/2 gives 50; log-uniformly, u = 1/2 gives the root of 100.
TEST(DrawId, CoversEveryRowButPadding) {
  EXPECT_EQ(draw_id(0, 100, true), 1);
  EXPECT_EQ(draw_id(0.5, 100, true), 50);
  EXPECT_EQ(draw_id(0.999999, 100, true), 99);
  EXPECT_EQ(draw_id(0, 100, false), 1);
  EXPECT_EQ(draw_id(0.5001, 100, false), 10);
  EXPECT_EQ(draw_id(0.999999, 100, false), 99);
}

Schema fields(int64_t count, int64_t rows) {
  std::vector<Field> all;
  for (int64_t f = 0; f < count; ++f) {
    Field field;
    field.name = field.table = fmt::format("f{}", f);
    field.rows = rows;
    all.push_back(std::move(field));
  }
  return Schema(std::move(all), {"label"});
}

std::vector<std::pair<int64_t, int64_t>> matrices(const char* model) {
  std::vector<std::pair<int64_t, int64_t>> out;
  for (const auto& s : MatrixProducts::shapes(*make_model(Config::parse(model), fields(3, 10))))
    out.emplace_back(s.in, s.out);
  return out;
}

TEST(MatrixProducts, AreThoseOfTheDenseLayers) {
  EXPECT_THAT(matrices("{name: lr}"), ElementsAre());
  EXPECT_THAT(matrices("{name: fm}"), ElementsAre());
  EXPECT_THAT(matrices("{name: deepfm, embedding_dim: 4, hidden: [8, 6]}"),
              ElementsAre(std::pair(12, 8), std::pair(8, 6), std::pair(6, 1)));
  EXPECT_THAT(matrices("{name: dcnv2, embedding_dim: 4, cross_layers: 2, hidden: [8]}"),
              ElementsAre(std::pair(12, 12), std::pair(12, 12), std::pair(12, 8), std::pair(20, 1)));
}

TEST(MatrixProducts, CountTwoOperationsAMultiplication) {
  const std::vector<MatrixProducts::Shape> shapes = {{3, 5}, {5, 1}};
  // rows x in x out, once forward and twice backward
  EXPECT_EQ(MatrixProducts(shapes, 7, at::kFloat, MatrixProducts::Passes::forward).flops(), 2 * 7 * (15 + 5));
  EXPECT_EQ(MatrixProducts(shapes, 7, at::kFloat, MatrixProducts::Passes::training).flops(), 3 * 2 * 7 * (15 + 5));
}

TEST(RowTraffic, LeavesTheTablesAsTheyWere) {
  const Schema schema = fields(3, 50);
  const auto model = make_model(Config::parse("{name: fm, embedding_dim: 20}"), schema);
  std::map<std::string, at::Tensor> before;
  for (const auto& [name, w] : weights_of(*model)) before[name] = w.clone();
  Features x;
  x.rows = 16;
  x.ids = at::randint(0, 50, {16, 3}, at::kInt);
  const RowTraffic traffic(*model, schema, x);
  EXPECT_FALSE(traffic.empty());
  traffic.run();
  for (const auto& [name, w] : weights_of(*model)) EXPECT_TRUE(at::equal(w, before.at(name))) << name;
}

TEST(AnonymousMemory, SeesWhatIsAllocatedAndFreedWithinItsLife) {
  const AnonymousMemory memory;
  const int64_t before = memory.peak_bytes();
  at::ones({64 << 20}, at::kByte);
  EXPECT_GT(memory.peak_bytes() + (64 << 20), before);
  const auto kept = at::ones({256 << 20}, at::kByte);
  EXPECT_GE(memory.peak_bytes(), before + (128 << 20));
}

double median_of(const Findings& found, const std::string& name) {
  for (const auto* all : {&found.ratios, &found.figures}) {
    for (const auto& m : *all) {
      if (m.name == name) return m.median();
    }
  }
  ADD_FAILURE() << "nothing is called " << name;
  return 0;
}

// Small enough to take no time; what is checked is that something was measured, a value for each repeat.
TEST(Workloads, MeasureEachRepeat) {
  Setting setting;
  setting.repeats = 2;
  const auto embedding =
      workloads().make(Config::parse("{name: embedding, tables: 2, size: 20, batch: 8, steps: 2}"))->run(setting);
  EXPECT_GT(median_of(embedding, "gather, backward, row update"), 0);
  EXPECT_EQ(embedding.figures[0].values.size(), 2u);
  const auto tables = workloads()
                          .make(Config::parse("{name: tables, sizes: [200, 2000], fields: 4, batch: 8, steps: 2}"))
                          ->run(setting);
  EXPECT_GT(median_of(tables, "step: 2000 rows / 200 rows, in time"), 0);
  const auto kernels = workloads().make(Config::parse("{name: kernels, batch: 2, megabytes: 1}"))->run(setting);
  EXPECT_GT(median_of(kernels, "memory, read in order"), 0);
}

TEST(Machine, TellsCpuThreadsAndVersions) {
  std::vector<std::string> names;
  for (const auto& [name, value] : machine()) {
    names.push_back(name);
    EXPECT_TRUE(name == "instructions" || !value.empty()) << name;
  }
  for (const char* name : {"cpu", "instructions", "threads", "interplay", "libtorch"})
    EXPECT_THAT(names, Contains(std::string(name)));
}

}  // namespace
}  // namespace interplay::bench::bench_test
