#include <interplay/base/in_order.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <stdexcept>

#include <gtest/gtest.h>

#include <interplay/base/random.h>

namespace interplay::in_order_test {
namespace {

struct Item {
  int64_t number = 0, squared = 0;
};

struct Stages {
  std::function<bool(Item&)> read;
  std::function<void(Item&)> work, commit, finish;
};

/// Takes different time for each item, so that threads overtake one another.
void dawdle(int64_t number) {
  std::this_thread::sleep_for(std::chrono::microseconds(random_bits(1, 0, uint64_t(number)) % 200));
}

TEST(InOrder, CommitsFollowTheOrderOfReadingWhateverTheThreads) {
  for (const int threads : {1, 2, 7}) {
    int64_t next = 0;
    std::vector<int64_t> committed;
    std::atomic<int64_t> finished = 0;
    run_in_order<Item>(
        threads,
        Stages{[&](Item& item) { return item.number = next++, item.number < 300; },
               [](Item& item) { dawdle(item.number), item.squared = item.number * item.number; },
               [&](Item& item) { committed.push_back(item.squared); }, [&](Item& item) { finished += item.squared; }});
    ASSERT_EQ(committed.size(), 300u);
    for (int64_t i = 0; i < 300; ++i) ASSERT_EQ(committed[size_t(i)], i * i);
    EXPECT_EQ(finished, 299 * 300 * 599 / 6);  // sum of squares
  }
}

TEST(InOrder, TheFirstProblemInOrderComesOutAndNothingAfterItIsCommitted) {
  for (const int threads : {1, 2, 7}) {
    for (int stage = 0; stage < 3; ++stage) {
      int64_t next = 0, committed = 0;
      const auto fail = [&](int where, int64_t number) {
        if (where == stage && number >= 40) throw std::runtime_error(std::to_string(number));
      };
      const Stages stages{[&](Item& item) { return item.number = next++, fail(0, item.number), item.number < 100; },
                          [&](Item& item) { dawdle(item.number), fail(1, item.number); },
                          [&](Item& item) { fail(2, item.number), ++committed; }, [](Item&) {}};
      try {
        run_in_order<Item>(threads, stages);
        FAIL();
      } catch (const std::runtime_error& problem) {
        EXPECT_STREQ(problem.what(), "40");
      }
      EXPECT_EQ(committed, 40);
    }
  }
}

TEST(InOrder, WhatFinishThrowsComesOut) {
  int64_t next = 0;
  const Stages stages{[&](Item& item) { return item.number = next++, item.number < 100; }, [](Item&) {}, [](Item&) {},
                      [](Item& item) {
                        if (item.number == 5) throw std::runtime_error("five");
                      }};
  EXPECT_THROW(run_in_order<Item>(3, stages), std::runtime_error);
}

TEST(InOrder, EachIsCalledOnce) {
  std::vector<std::atomic<int>> calls(100);
  run_each(4, 100, [&](int64_t i) { ++calls[size_t(i)]; });
  for (const auto& n : calls) EXPECT_EQ(n, 1);
}

}  // namespace
}  // namespace interplay::in_order_test
