#include <interplay/data/prepare.h>

#include <interplay/bench/criteo.h>
#include <interplay/bench/peaks.h>

namespace fs = std::filesystem;

namespace interplay::bench {
namespace {

struct PrepareBenchOptions {
  int64_t rows = 500000;
  void visit(auto&& field) { field("rows", rows, "made-up rows of Criteo's shape", Range{100, 1e12}); }
};

/// Text to ids: files that are in the page cache, all splits, vocabularies included.
class PrepareText final : public Workload {
 public:
  using Options = PrepareBenchOptions;
  explicit PrepareText(const Options& options) : options_(options) {}

  Findings run(const Setting& setting) override {
    const fs::path raw = criteo_raw(setting, options_.rows), out_path = raw.parent_path() / "prepared-again";
    const Config data = Config::load(raw / "data.yaml");
    double bytes = 0;
    for (const auto& entry : fs::directory_iterator(raw)) bytes += double(entry.file_size());
    Findings out;
    for (int64_t i = 0; i <= setting.repeats; ++i) {
      fs::remove_all(out_path);
      const AnonymousMemory memory;
      const auto r = interplay::prepare(data, out_path);
      if (i == 0) continue;  // reads the files into the page cache
      out.figure("prepare", "rows/s", double(options_.rows) / r.seconds);
      out.figure("text read", "MB/s", bytes / 1e6 / r.seconds);
      out.figure("peak RssAnon", "MB", double(memory.peak_bytes()) / 1e6);
    }
    fs::remove_all(out_path);
    return out;
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(workloads(), "prepare", PrepareText, "Criteo-like text to prepared data");

}  // namespace
}  // namespace interplay::bench
