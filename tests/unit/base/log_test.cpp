#include <cerrno>
#include <memory>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>

#include "support/error_of.h"
#include "support/failing_calls.h"
#include "support/temp_dir.h"

namespace interplay::testing::log_test {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class Log : public ::testing::Test {
 protected:
  void SetUp() override {
    log::set_level(log::Level::info);
    ::testing::internal::CaptureStderr();
  }
  void TearDown() override {
    if (!taken_) shown();
    log::set_level(log::Level::info);
  }
  std::string shown() {
    taken_ = true;
    return ::testing::internal::GetCapturedStderr();
  }
  TempDir dir_;
  bool taken_ = false;
};

TEST_F(Log, LinesGoToStandardErrorWithTheClock) {
  log::info("{} rows", 3);
  log::warning("careful");
  log::debug("unseen");
  EXPECT_THAT(shown(), MatchesRegex("[0-9:]{8} 3 rows\n[0-9:]{8} warning: careful\n"));
}

TEST_F(Log, TheLevelOfStandardErrorDoesNotTouchTheFile) {
  {
    const log::File file(dir_ / "train.log");
    log::set_level(log::Level::warning);
    log::info("quiet");
    log::record("a result");
    log::debug("unseen");
  }
  log::info("after");
  EXPECT_EQ(shown(), "");
  EXPECT_THAT(read_file(dir_ / "train.log"),
              MatchesRegex("[-0-9]{10} [0-9:]{8} quiet\n[-0-9]{10} [0-9:]{8} a result\n"));
}

TEST_F(Log, AFileIsAppendedTo) {
  for (const char* line : {"one", "two"}) {
    const log::File file(dir_ / "f");
    log::info("{}", line);
  }
  EXPECT_THAT(read_file(dir_ / "f"), MatchesRegex(".* one\n.* two\n"));
}

TEST_F(Log, SeveralFilesGetTheLine) {
  const log::File outer(dir_ / "outer");
  {
    const log::File inner(dir_ / "inner");
    log::info("both");
  }
  log::info("outer alone");
  EXPECT_THAT(read_file(dir_ / "outer"), HasSubstr("outer alone"));
  EXPECT_THAT(read_file(dir_ / "inner"), Not(HasSubstr("outer alone")));
}

TEST_F(Log, AFileThatCannotBeOpenedIsNamed) {
  EXPECT_THAT(data_error([&] { log::File file(dir_ / "none/train.log"); }),
              HasSubstr("none/train.log: cannot be written: No such file"));
}

TEST_F(Log, AFileThatCannotBeWrittenIsToldOnceAndEndsNothing) {
  {
    const log::File file(dir_ / "train.log");
    log::info("before");
    const FailingCalls failing(1, ENOSPC);
    log::info("lost");
    log::info("and");
  }
  const std::string text = shown();
  EXPECT_THAT(text, HasSubstr("lost"));
  EXPECT_THAT(text, HasSubstr("train.log: cannot be written: No space left on device"));
  EXPECT_EQ(text.find("warning"), text.rfind("warning"));
  EXPECT_THAT(read_file(dir_ / "train.log"), Not(HasSubstr("and")));
}

TEST_F(Log, LinesOfManyThreadsStayWhole) {
  {
    const log::File file(dir_ / "f");
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < 100; ++i) log::record(std::string(50, char('a' + t)));
      });
    }
    for (auto& thread : threads) thread.join();
  }
  std::istringstream lines(read_file(dir_ / "f"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_EQ(line.substr(20), std::string(50, line[20]));
  EXPECT_EQ(count, 400);
}

}  // namespace
}  // namespace interplay::testing::log_test
