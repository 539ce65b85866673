#include <interplay/data/loader.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/data/no_group.h>

#include "support/error_of.h"
#include "support/temp_dir.h"
#include "support/toy_rows.h"

namespace interplay::loader_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_field;

using Rows = std::vector<int64_t>;

/// Row r holds the number r, and every third row is a click.
Dataset numbered(int64_t rows) {
  EncodedBatch batch;
  batch.rows = rows;
  for (int64_t r = 0; r < rows; ++r) {
    batch.dense.push_back(float(r));
    batch.labels.push_back(float(r % 3 == 0));
  }
  return Dataset::from(Schema({make_field("r", FieldKind::numeric)}, {"click"}), {batch});
}

/// The row numbers of every batch that is left.
std::vector<Rows> rest(Loader& loader) {
  std::vector<Rows> out;
  for (Batch batch; loader.next(batch);) {
    const auto r = batch.features.dense.flatten().to(at::kLong);
    out.emplace_back(r.const_data_ptr<int64_t>(), r.const_data_ptr<int64_t>() + r.numel());
    EXPECT_EQ(batch.rows(), r.numel());
  }
  return out;
}

std::vector<Rows> epoch_of(const Dataset& data, const LoaderOptions& options, int64_t epoch = 0, int64_t first = 0) {
  Loader loader(data, options);
  loader.start(epoch, first);
  return rest(loader);
}

Rows joined(const std::vector<Rows>& batches) {
  Rows out;
  for (const auto& b : batches) out.insert(out.end(), b.begin(), b.end());
  return out;
}

Rows all_rows(int64_t n) {
  Rows out(static_cast<size_t>(n));
  std::iota(out.begin(), out.end(), 0);
  return out;
}

Rows sorted(Rows rows) {
  std::sort(rows.begin(), rows.end());
  return rows;
}

TEST(Loader, GivesEachRowOnceAnEpoch) {
  for (const int64_t n : {1, 2, 3, 16, 17, 1000}) {
    for (const int64_t size : {1, 7, 1000, 5000}) {
      for (const bool shuffle : {true, false}) {
        const auto batches = epoch_of(numbered(n), {.batch_size = size, .shuffle = shuffle}, 3);
        EXPECT_EQ(sorted(joined(batches)), all_rows(n)) << n << " rows by " << size;
        EXPECT_EQ(int64_t(batches.size()), (n + size - 1) / size);
        for (size_t i = 0; i + 1 < batches.size(); ++i) EXPECT_EQ(int64_t(batches[i].size()), size);
      }
    }
  }
}

TEST(Loader, KeepsTheStoredOrderWithoutShuffling) {
  EXPECT_EQ(epoch_of(numbered(5), {.batch_size = 2, .shuffle = false}, 9), (std::vector<Rows>{{0, 1}, {2, 3}, {4}}));
}

TEST(Loader, OrderDependsOnSeedAndEpochAlone) {
  const Dataset data = numbered(500);
  const Rows order = joined(epoch_of(data, {.batch_size = 64, .seed = 5}, 2));
  EXPECT_NE(order, all_rows(500));
  EXPECT_EQ(joined(epoch_of(data, {.batch_size = 64, .seed = 5}, 2)), order);
  EXPECT_EQ(joined(epoch_of(data, {.batch_size = 7, .seed = 5, .prefetch = 1}, 2)), order);
  EXPECT_NE(joined(epoch_of(data, {.batch_size = 64, .seed = 6}, 2)), order);
  EXPECT_NE(joined(epoch_of(data, {.batch_size = 64, .seed = 5}, 3)), order);
  Loader loader(data, {.batch_size = 64, .seed = 5});  // what ran before does not matter
  loader.start(0, 0);
  rest(loader);
  loader.start(7, 3);
  Batch batch;
  EXPECT_TRUE(loader.next(batch));
  loader.start(2, 0);
  EXPECT_EQ(joined(rest(loader)), order);
}

// Of n rows a random order leaves about one in its place and about half of the neighbours rising.
TEST(Loader, ShufflesLikeAFairDraw) {
  const int64_t n = 10000;
  const Rows order = joined(epoch_of(numbered(n), {.batch_size = 1000, .seed = 1}, 0));
  int64_t fixed = 0, rising = 0;
  for (int64_t i = 0; i < n; ++i) fixed += order[size_t(i)] == i;
  for (int64_t i = 1; i < n; ++i) rising += order[size_t(i)] > order[size_t(i - 1)];
  EXPECT_LE(fixed, 8);                                          // Poisson(1)
  EXPECT_NEAR(double(rising), n / 2., 5 * std::sqrt(n / 12.));  // variance (n + 1) / 12
}

TEST(Loader, StartsInsideAnEpochAsIfItHadNeverStopped) {
  const Dataset data = numbered(100);
  for (const double rate : {1.0, 0.5}) {
    const LoaderOptions options{.batch_size = 9, .seed = 3, .negative_rate = rate};
    const auto whole = epoch_of(data, options, 4);
    for (size_t first = 0; first <= whole.size(); ++first) {
      const std::vector<Rows> tail(whole.begin() + std::ptrdiff_t(first), whole.end());
      EXPECT_EQ(epoch_of(data, options, 4, int64_t(first)), tail) << "from batch " << first;
    }
  }
}

TEST(Loader, RefusesToStartBehindTheEnd) {
  Loader loader(numbered(10), {.batch_size = 4});
  EXPECT_NO_THROW(loader.start(0, 3));
  EXPECT_THROW(loader.start(0, 4), Error);
  EXPECT_THROW(loader.start(0, -1), Error);
}

TEST(Loader, LeavesAShortLastBatchOutWhereAsked) {
  EXPECT_EQ(epoch_of(numbered(5), {.batch_size = 2, .shuffle = false, .drop_last = true}),
            (std::vector<Rows>{{0, 1}, {2, 3}}));
  EXPECT_EQ(epoch_of(numbered(4), {.batch_size = 2, .shuffle = false, .drop_last = true}),
            (std::vector<Rows>{{0, 1}, {2, 3}}));
  EXPECT_TRUE(epoch_of(numbered(3), {.batch_size = 4, .drop_last = true}).empty());
}

TEST(Loader, CountsTheBatchesAndRowsOfItsEpoch) {
  Loader loader(numbered(10), {.batch_size = 4});
  EXPECT_EQ(loader.rows(), 0);
  loader.start(0, 1);
  EXPECT_EQ(loader.batches(), 3);
  EXPECT_EQ(loader.rows(), 10);
}

TEST(Loader, IsEmptyBeforeItIsStartedAndAfterItsEnd) {
  Loader loader(numbered(3), {.batch_size = 3});
  Batch batch;
  EXPECT_FALSE(loader.next(batch));
  loader.start(0, 0);
  EXPECT_TRUE(loader.next(batch));
  EXPECT_FALSE(loader.next(batch));
  EXPECT_FALSE(loader.next(batch));
}

TEST(Loader, HasNoBatchOfADatasetWithoutRows) {
  EXPECT_TRUE(epoch_of(Dataset::from(testing::toy_schema(), {}), {}).empty());
}

TEST(Loader, MayBeDroppedInTheMiddleOfAnEpoch) {
  Loader loader(numbered(10000), {.batch_size = 1, .prefetch = 2});
  loader.start(0, 0);
  Batch batch;
  EXPECT_TRUE(loader.next(batch));  // the prefetch thread now waits for room
}

/// Rows 0 .. sum of sizes, in record batches of these sizes.
Dataset in_blocks(const std::vector<int64_t>& sizes) {
  std::vector<EncodedBatch> batches;
  int64_t first = 0;
  for (const int64_t size : sizes) {
    auto& batch = batches.emplace_back();
    batch.rows = size;
    for (int64_t r = first; r < first + size; ++r) {
      batch.dense.push_back(float(r));
      batch.labels.push_back(float(r % 3 == 0));
    }
    first += size;
  }
  return Dataset::from(Schema({make_field("r", FieldKind::numeric)}, {"click"}), batches);
}

TEST(ShuffleWindow, GivesEachRowOnceAnEpoch) {
  for (const auto& sizes : std::vector<Rows>{{10, 10, 10, 4}, {3, 50, 1, 1, 30}, {100}, {1, 1, 1}}) {
    const Dataset data = in_blocks(sizes);
    for (const int64_t window : {1, 2, 15, 20, 60}) {
      const LoaderOptions options{.batch_size = 7, .seed = 3, .shuffle_window = window};
      EXPECT_EQ(sorted(joined(epoch_of(data, options, 2))), all_rows(data.rows())) << "window " << window;
    }
  }
}

TEST(ShuffleWindow, MixesTheRowsOfAWindowAndNoOthers) {
  const int64_t block = 100, blocks = 20, window = 400;
  const Dataset data = in_blocks(Rows(size_t(blocks), block));
  const Rows order = joined(epoch_of(data, {.batch_size = 64, .seed = 1, .shuffle_window = window}));
  std::set<int64_t> first_blocks;
  for (int64_t w = 0; w < blocks * block / window; ++w) {
    std::set<int64_t> in_window;
    int64_t rising = 0;
    for (int64_t i = w * window; i < (w + 1) * window; ++i) {
      in_window.insert(order[size_t(i)] / block);
      if (i > w * window) rising += order[size_t(i)] > order[size_t(i - 1)];
    }
    EXPECT_EQ(in_window.size(), 4) << "window " << w;  // whole blocks, four of them
    EXPECT_NEAR(double(rising), window / 2., 5 * std::sqrt(window / 12.));
    first_blocks.insert(*in_window.begin());
  }
  EXPECT_NE(first_blocks, (std::set<int64_t>{0, 4, 8, 12, 16}));  // which blocks meet is random too
}

TEST(ShuffleWindow, DrawsBySeedAndEpoch) {
  const Dataset data = in_blocks(Rows(10, 50));
  const auto order = [&](uint64_t seed, int64_t epoch, int64_t window) {
    return joined(epoch_of(data, {.batch_size = 32, .seed = seed, .shuffle_window = window}, epoch));
  };
  const Rows one = order(1, 0, 100);
  EXPECT_EQ(order(1, 0, 100), one);
  EXPECT_NE(order(2, 0, 100), one);
  EXPECT_NE(order(1, 1, 100), one);
  EXPECT_NE(order(1, 0, 200), one);
  EXPECT_EQ(order(1, 0, 500), order(1, 0, 1000));  // all of it: shuffled as a whole
}

TEST(ShuffleWindow, LeavesWhatFitsAsItWas) {
  const Rows whole = joined(epoch_of(numbered(500), {.batch_size = 64, .seed = 5}, 2));
  EXPECT_EQ(joined(epoch_of(in_blocks({200, 200, 100}), {.batch_size = 64, .seed = 5}, 2)), whole);
}

TEST(ShuffleWindow, StartsInsideAnEpochAndSamplesNegatives) {
  const Dataset data = in_blocks({30, 30, 30, 10});
  const LoaderOptions options{.batch_size = 9, .seed = 3, .negative_rate = 0.5, .shuffle_window = 40};
  const auto whole = epoch_of(data, options, 4);
  auto unshuffled = options;
  unshuffled.shuffle = false;
  EXPECT_EQ(sorted(joined(whole)), joined(epoch_of(data, unshuffled, 4)));
  for (size_t first = 0; first <= whole.size(); ++first) {
    const std::vector<Rows> tail(whole.begin() + std::ptrdiff_t(first), whole.end());
    EXPECT_EQ(epoch_of(data, options, 4, int64_t(first)), tail) << "from batch " << first;
  }
}

TEST(ShuffleWindow, ReadsPreparedFilesAhead) {
  const testing::TempDir dir;
  const int64_t block = DatasetWriter::kBlockRows;
  testing::write_toy_data(dir.path(), 3 * block + 10);
  const Dataset data = Dataset::open(dir.path(), "train");
  EXPECT_THAT(data.blocks(), ElementsAre(0, block, 2 * block, 3 * block, 3 * block + 10));
  Loader loader(data, {.batch_size = 10000, .shuffle_window = block});
  loader.start(0, 0);
  int64_t rows = 0;
  for (Batch batch; loader.next(batch);) rows += batch.rows();
  EXPECT_EQ(rows, data.rows());
}

TEST(NegativeSampling, KeepsEveryPositiveAndAboutItsShareOfTheNegatives) {
  const int64_t n = 30000, positives = n / 3;
  const Rows rows = joined(epoch_of(numbered(n), {.batch_size = 512, .seed = 2, .negative_rate = 0.3}));
  const int64_t kept = std::count_if(rows.begin(), rows.end(), [](int64_t r) { return r % 3 == 0; });
  EXPECT_EQ(kept, positives);
  const double negatives = double(rows.size()) - double(kept);
  EXPECT_NEAR(negatives, 0.3 * 20000, 5 * std::sqrt(20000 * 0.3 * 0.7));  // five standard deviations
  EXPECT_EQ(std::set<int64_t>(rows.begin(), rows.end()).size(), rows.size());
}

TEST(NegativeSampling, DrawsBySeedEpochAndRow) {
  const auto drawn = [](int64_t rows, LoaderOptions options, int64_t epoch) {
    options.negative_rate = 0.5;
    return sorted(joined(epoch_of(numbered(rows), options, epoch)));
  };
  const Rows rows = drawn(600, {.batch_size = 50, .seed = 4}, 1);
  EXPECT_EQ(drawn(600, {.batch_size = 7, .shuffle = false, .seed = 4}, 1), rows);
  EXPECT_NE(drawn(600, {.batch_size = 50, .seed = 5}, 1), rows);
  EXPECT_NE(drawn(600, {.batch_size = 50, .seed = 4}, 2), rows);
  Rows beginning = rows;  // what lies behind a row does not change its draw
  beginning.erase(std::lower_bound(beginning.begin(), beginning.end(), 200), beginning.end());
  EXPECT_EQ(drawn(200, {.batch_size = 50, .seed = 4}, 1), beginning);
}

TEST(NegativeSampling, CountsTheRowsThatAreLeft) {
  Loader loader(numbered(300), {.batch_size = 10, .negative_rate = 0.5});
  loader.start(0, 0);
  const int64_t rows = loader.rows(), batches = loader.batches();
  const auto given = rest(loader);
  EXPECT_EQ(int64_t(joined(given).size()), rows);
  EXPECT_EQ(int64_t(given.size()), batches);
  EXPECT_LT(rows, 300);
}

TEST(NegativeSampling, GoesByTheLabelThatIsNamed) {
  const Dataset data = Dataset::from(testing::toy_schema(), {testing::toy_rows(0, 60)});  // click r % 3, like r % 5
  Loader loader(data, {.batch_size = 60, .negative_rate = 1e-9, .negative_label = "click"});
  loader.start(0, 0);
  Batch batch;
  ASSERT_TRUE(loader.next(batch));
  EXPECT_EQ(batch.rows(), 20);
  EXPECT_EQ(batch.labels.select(1, 0).sum().item<float>(), 20);
  EXPECT_EQ(batch.labels.select(1, 1).sum().item<float>(), 4);  // of 0, 15, 30, 45
}

TEST(NegativeSampling, NeedsARateAboveZeroAndLabels) {
  EXPECT_THROW(Loader(numbered(3), {.negative_rate = 0}), Error);
  EXPECT_THROW(Loader(numbered(3), {.negative_rate = 1.1}), Error);
  EncodedBatch unlabelled = testing::toy_rows(0, 3, false);
  unlabelled.labels.clear();
  EXPECT_THROW(Loader(Dataset::from(testing::toy_schema(), {unlabelled}), {.negative_rate = 0.5}), Error);
  EXPECT_THROW(Loader(numbered(3), {.batch_size = 0}), Error);
}

TEST(Loader, PassesOnWhatItsThreadFailedAt) {
  const testing::TempDir dir;
  const int64_t block = DatasetWriter::kBlockRows;
  testing::write_toy_data(dir.path(), 2 * block);
  const auto file = dir / "train-00000.arrow";
  testing::damage(file, std::filesystem::file_size(file) / 4 * 3);  // inside the second of two batches
  Loader loader(Dataset::open(dir.path(), "train"), {.batch_size = block / 2, .shuffle = false});
  for (int attempt = 0; attempt < 2; ++attempt) {
    loader.start(0, 0);
    Batch batch;
    EXPECT_TRUE(loader.next(batch));
    EXPECT_TRUE(loader.next(batch));  // the rows before the damage come first
    for (int again = 0; again < 2; ++again) {
      try {
        loader.next(batch);
        FAIL() << "a damaged batch was handed out";
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::data);
        EXPECT_THAT(error.what(), HasSubstr("train-00000.arrow"));
      }
    }
  }
  loader.start(0, 4);  // at the end of an epoch there is nothing to read, and so nothing to fail at
  Batch batch;
  EXPECT_FALSE(loader.next(batch));
}

/// As numbered(), in groups of as many rows as their number says, mixed: group g has rows r with r % 7 == g.
Dataset grouped(int64_t rows) {
  EncodedBatch batch;
  batch.rows = rows;
  for (int64_t r = 0; r < rows; ++r) {
    batch.dense.push_back(float(r));
    batch.labels.push_back(float(r % 3 == 0));
    batch.group.push_back(1000 + r % 7);
  }
  return Dataset::from(Schema({make_field("r", FieldKind::numeric)}, {"click"}), {batch});
}

TEST(Loader, RowsThatAreNobodysAreKeptWithNone) {
  EncodedBatch batch;
  batch.rows = 8;
  for (int64_t r = 0; r < 8; ++r) {
    batch.dense.push_back(float(r));
    batch.labels.push_back(0);
    batch.group.push_back(r % 2 == 0 ? kNoGroup : r % 4);
  }
  const auto data = Dataset::from(Schema({make_field("r", FieldKind::numeric)}, {"click"}), {batch});
  const Rows stored = joined(epoch_of(data, {.batch_size = 4, .shuffle = false, .keep_groups = true}));
  EXPECT_THAT(stored, ElementsAre(0, 1, 5, 2, 3, 7, 4, 6));
}

TEST(Loader, KeepsGroupsTogether) {
  std::set<Rows> orders;
  for (int64_t epoch = 0; epoch < 5; ++epoch) {
    const Rows rows = joined(epoch_of(grouped(50), {.batch_size = 8, .seed = 4, .keep_groups = true}, epoch));
    Rows sorted = rows;
    std::sort(sorted.begin(), sorted.end());
    Rows all(50);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(sorted, all);
    int64_t stretches = 1;
    for (size_t i = 1; i < rows.size(); ++i) stretches += rows[i] % 7 != rows[i - 1] % 7;
    EXPECT_EQ(stretches, 7);
    orders.insert(rows);
  }
  EXPECT_EQ(orders.size(), 5u);
  const Rows stored = joined(epoch_of(grouped(10), {.batch_size = 4, .shuffle = false, .keep_groups = true}));
  EXPECT_THAT(stored, ElementsAre(0, 7, 1, 8, 2, 9, 3, 4, 5, 6));
  const LoaderOptions sampled{.batch_size = 8, .seed = 4, .keep_groups = true, .negative_rate = 0.5};
  const Rows some = joined(epoch_of(grouped(50), sampled));
  Rows plain = joined(epoch_of(grouped(50), {.batch_size = 8, .seed = 4, .negative_rate = 0.5})), same = some;
  std::sort(plain.begin(), plain.end());
  std::sort(same.begin(), same.end());
  EXPECT_EQ(same, plain);  // the same rows, in another order
  EXPECT_THAT(testing::error_of(ErrorKind::config, [] { Loader(numbered(3), {.keep_groups = true}); }),
              HasSubstr("group: user_id"));
}

TEST(Loader, SamplesNegativesOfTheLabelThatIsNamed) {
  EncodedBatch batch;
  batch.rows = 300;
  for (int64_t r = 0; r < 300; ++r) {
    batch.dense.push_back(float(r));
    const float like = r % 5 == 0 ? 1 : r % 5 == 1 ? std::nanf("") : 0;  // every fifth is missing
    batch.labels.insert(batch.labels.end(), {float(r % 3 == 0), like});
  }
  const Dataset data = Dataset::from(Schema({make_field("r", FieldKind::numeric)}, {"click", "like"}), {batch});
  const Rows rows =
      joined(epoch_of(data, {.batch_size = 50, .seed = 4, .negative_rate = 1e-9, .negative_label = "like"}));
  EXPECT_EQ(rows.size(), 120u);  // positives and rows without the label
  for (const int64_t r : rows) EXPECT_LT(r % 5, 2);
  const auto refused = [&](const std::string& label) {
    return testing::error_of(ErrorKind::config, [&] { Loader(data, {.negative_rate = 0.5, .negative_label = label}); });
  };
  EXPECT_THAT(refused(""), HasSubstr("which of the labels click, like"));
  EXPECT_THAT(refused("lik"), HasSubstr("no label 'lik'"));
}

TEST(Loader, OffsetsAreOfTheSampledLabelAlone) {
  using ::testing::DoubleEq;
  EXPECT_THAT(negative_offsets(1, "", {"click", "like"}), ::testing::IsEmpty());
  EXPECT_THAT(negative_offsets(0.1, "", {"click"}), ElementsAre(DoubleEq(std::log(0.1))));
  EXPECT_THAT(negative_offsets(0.1, "like", {"click", "like"}), ElementsAre(0, DoubleEq(std::log(0.1))));
}

}  // namespace
}  // namespace interplay::loader_test
