#include <interplay/base/once.h>

#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace interplay::once_test {
namespace {

TEST(Once, IsDoneByOneOfManyThreadsAndSeenByAll) {
  Once once;
  int calls = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      once([&] { ++calls; });
      EXPECT_EQ(calls, 1);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(calls, 1);
}

TEST(Once, IsTriedAgainBehindAnException) {
  Once once;
  int calls = 0;
  const auto call = [&] {
    if (++calls < 3) throw std::runtime_error("not yet");
  };
  EXPECT_THROW(once(call), std::runtime_error);
  EXPECT_THROW(once(call), std::runtime_error);
  once(call);
  once(call);
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace interplay::once_test
