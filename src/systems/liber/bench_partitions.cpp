#include <algorithm>

#include <interplay/base/files.h>
#include <interplay/base/random.h>
#include <interplay/bench/peaks.h>
#include <interplay/bench/workload.h>
#include <interplay/systems/partitions.h>

namespace fs = std::filesystem;

namespace interplay::bench {
namespace {

struct PartitionsBenchOptions {
  int64_t users = 1000000, events = 3000000, count = 50;
  void visit(auto&& field) {
    field("users", users, "whose events come in any order", Range{1, 1e9});
    field("events", events, "that come", Range{1, 1e10});
    field("count", count, "events of a partition", Range{1, 1e6});
  }
};

/// What one more event costs a stream: observe(), beside the same bytes written by one call each and nothing else.
class PartitionsBench final : public Workload {
 public:
  using Options = PartitionsBenchOptions;
  explicit PartitionsBench(const Options& options) : o_(options) {}

  Findings run(const Setting& setting) override {
    Findings out;
    out.notes = {{"users", std::to_string(o_.users)}, {"events", std::to_string(o_.events)}};
    const fs::path folder = setting.scratch / "partitions";
    for (int64_t repeat = 0; repeat < setting.repeats; ++repeat) {
      fs::remove_all(folder);
      const AnonymousMemory memory;
      double seconds = 0;
      {
        PartitionLog log(folder, {.rule = {.count = o_.count}, .columns = {"item", "rating"}, .author = {}});
        seconds = seconds_of([&] { observe(log); });
        out.figure("memory", "MB", double(memory.peak_bytes()) / 1e6);
      }
      const fs::path file = folder / "partitions.log";
      const auto bytes = int64_t(fs::file_size(file));
      out.figure("observe", "us/event", 1e6 * seconds / double(o_.events));
      out.figure("file", "bytes/event", double(bytes) / double(o_.events));
      const double replay = seconds_of([&] {
        PartitionLog again(folder, {.rule = {.count = o_.count}, .columns = {"item", "rating"}, .author = {}});
      });
      out.figure("replay", "M events/s", double(o_.events) / replay / 1e6);
      const double plain = seconds_of([&] { write_plain(folder / "plain", bytes / o_.events); });
      out.figure("plain write", "us/event", 1e6 * plain / double(o_.events));
      out.ratio("plain write / observe", plain / seconds);
    }
    fs::remove_all(folder);
    return out;
  }

 private:
  void observe(PartitionLog& log) const {
    std::string user, item;
    for (int64_t e = 0; e < o_.events; ++e) {
      user = std::to_string(random_bits(1, uint64_t(e), 0) % uint64_t(o_.users));
      item = std::to_string(random_bits(1, uint64_t(e), 1) % 100000);
      const std::string_view cells[] = {item, "4"};
      log.observe(user, double(e), cells);
    }
  }
  void write_plain(const fs::path& path, int64_t size) const {
    OutputFile file(path);
    const std::string record(size_t(size), 'x');
    for (int64_t e = 0; e < o_.events; ++e) file.write(record);
  }

  Options o_;
};

INTERPLAY_REGISTER(workloads(), "partitions", PartitionsBench, "events that come one by one into LIBER's partitions");

}  // namespace
}  // namespace interplay::bench
