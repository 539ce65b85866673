#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <interplay/base/files.h>

namespace interplay::server {

/// Lines of text in files that are whole: each is written beside its place and named NAME-TIME-N.jsonl once it is full,
/// or old, or no more comes. What a killed server left is put in place when the next one begins. Any number of threads
/// may write.
class LineLog {
 public:
  struct Limits {
    double seconds = 600;
    int64_t bytes = 256 << 20;
  };
  /// The folder is to be locked by whoever has logs in it.
  LineLog(std::filesystem::path folder, std::string name, const Limits& limits);
  ~LineLog();

  void write(std::string_view line);  ///< without its end
  void rest();                        ///< puts the file in place where it is old enough
  int64_t lines() const;

 private:
  void begin();
  void finish();

  const std::filesystem::path folder_;
  const std::string name_;
  const Limits limits_;
  mutable std::mutex mutex_;
  std::unique_ptr<OutputFile> out_;
  std::filesystem::path target_;
  double begun_ = 0;
  int64_t files_ = 0, lines_ = 0;
  bool broken_ = false;  // and said so
};

/// The requests that are logged, and the labels that came for them.
struct RequestLog {
  RequestLog(const std::filesystem::path& folder, const LineLog::Limits& limits);

  DirectoryLock lock;
  LineLog requests, labels;
};

}  // namespace interplay::server
