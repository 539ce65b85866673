#include <interplay/train/event_file.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::event_file_test {
namespace {

std::string hex(const std::string& bytes) {
  std::string out;
  for (const char byte : bytes) out += fmt::format("{:02x}", uint8_t(byte));
  return out;
}

// The bytes are those of TensorBoard's own package (2.20):
//   from tensorboard.compat.proto.event_pb2 import Event, SessionLog
//   from tensorboard.compat.proto.summary_pb2 import Summary
//   from tensorboard.summary.writer.record_writer import RecordWriter
//   writer.write(Event(wall_time=1700000000.25, file_version='brain.Event:2').SerializeToString())
//   writer.write(Event(wall_time=1700000001.5, step=301,
//                      session_log=SessionLog(status=SessionLog.START)).SerializeToString())
//   writer.write(Event(wall_time=1700000002, step=400, summary=Summary(value=[
//       Summary.Value(tag='train/loss', simple_value=0.625),
//       Summary.Value(tag='valid/auc', simple_value=0.8)])).SerializeToString())
TEST(EventFile, HasTheBytesOfTensorBoardsOwnWriter) {
  const testing::TempDir dir;
  {
    EventFile file(dir / "events.out.tfevents.0", 1700000000.25);
    file.restart(1700000001.5, 301);
    file.scalars(1700000002, 400, {{"train/loss", .625}, {"valid/auc", .8}});
  }
  EXPECT_EQ(hex(read_file(dir / "events.out.tfevents.0")),
            "1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe9"
            "100000000000000095fbfe180900006040fc54d94110ad023a020801118727df"
            "33000000000000000ca720560900008040fc54d9411090032a250a110a0a747261696e2f6c6f7373150000203f"
            "0a100a0976616c69642f61756315cdcc4c3f47b77048");
}

TEST(EventFile, IsReadableAfterEachRecord) {
  const testing::TempDir dir;
  EventFile file(dir / "events.out.tfevents.0", 1);
  const auto begun = std::filesystem::file_size(dir / "events.out.tfevents.0");
  EXPECT_EQ(begun, 8u + 4 + 24 + 4);
  file.scalars(2, 1, {{"a", 1}});
  // wall time 9, step 2, head of the summary 2, head of the value 2, tag 3, number 5
  EXPECT_EQ(std::filesystem::file_size(dir / "events.out.tfevents.0"), begun + 8 + 4 + 23 + 4);
}

TEST(EventFile, ThatCannotBeWrittenIsNamed) {
  const testing::TempDir dir;
  EXPECT_THAT(testing::data_error([&] { EventFile(dir / "none" / "tfevents", 1); }), ::testing::HasSubstr("none"));
}

}  // namespace
}  // namespace interplay::event_file_test
