#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <interplay/base/files.h>
#include <interplay/train/tracker.h>

namespace interplay {

/// A file of events as TensorBoard reads them: records in the framing of TFRecord (a length and the bytes, each with
/// its masked CRC-32C; tensorflow/core/lib/io/record_writer.h), each of which is a protobuf message `Event`
/// (tensorboard/compat/proto/event.proto); the first says `brain.Event:2`. A record is written at once, so that who
/// reads while it grows misses at most the last. Throws Error(data) where it cannot be written. Not thread-safe.
class INTERPLAY_API EventFile {
 public:
  /// `wall_time`, here and below: seconds since 1970. The file's name has to contain `tfevents`.
  EventFile(const std::filesystem::path& file, double wall_time);

  /// Has readers forget what other files of the directory say of `step` and of later ones.
  void restart(double wall_time, int64_t step);
  void scalars(double wall_time, int64_t step, const NamedValues& values);  ///< stored as float

 private:
  void write(const std::string& event);
  OutputFile out_;
};

}  // namespace interplay
