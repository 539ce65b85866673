#include <interplay/train/run_directory.h>

#include <algorithm>

#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <interplay/base/log.h>
#include <interplay/core/bundle.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

/// Nothing, or what a write that was cut short left aside.
bool holds_nothing(const fs::path& directory) {
  if (!fs::exists(directory)) return true;
  const auto is_aside = [](const fs::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    return name.starts_with(".") && name.ends_with(".partial");
  };
  return std::all_of(fs::directory_iterator(directory), fs::directory_iterator(), is_aside);
}

}  // namespace

std::string first_difference(const Config& a, const Config& b) {
  if (a.is_map() && b.is_map()) {
    std::vector<std::string> keys = a.keys();
    for (const auto& key : b.keys()) {
      if (!a.has(key)) keys.push_back(key);
    }
    for (const auto& key : keys) {
      if (!a.has(key) || !b.has(key)) return key;
      if (!(a[key] == b[key])) {
        const std::string below = a[key].is_map() && b[key].is_map() ? first_difference(a[key], b[key]) : "";
        return below.empty() ? key : key + "." + below;
      }
    }
  }
  return "";
}

DirectoryLock lock_directory(const fs::path& out, bool resume, const std::string& kind, const std::string& holds) {
  INTERPLAY_CHECK(!fs::exists(out) || fs::is_directory(out), "{}: is a file; give another --out", out.string());
  INTERPLAY_CHECK(!resume || fs::exists(out), "{}: there is no {} to resume; leave --resume away", out.string(), kind);
  DirectoryLock lock(out);
  const bool begun = fs::exists(out / Bundle::kConfig);
  INTERPLAY_CHECK(!resume || begun, "{}: there is no {} to resume; leave --resume away", out.string(), kind);
  INTERPLAY_CHECK(resume || !begun, "{}: already holds {}", out.string(), holds);
  INTERPLAY_CHECK(resume || holds_nothing(out), "{}: already holds other files; give another --out", out.string());
  return lock;
}

void finish_directory(const fs::path& out, const std::string& runs) {
  constexpr const char* kManifest = "/manifest.json";
  Manifest::describe(out, {}, [&](const std::string& file) {
    const bool of_run = file.starts_with(runs + "/") && !file.ends_with(kManifest);
    return !of_run && !file.ends_with(".log") && !file.starts_with(".") && file.find("/.") == std::string::npos;
  }).save(out);
}

Computing Computing::now(const std::string& precision) {
  return {at::get_num_threads(), at::get_cpu_capability(), precision};
}

void warn_of_other(const Computing& begun, const Computing& now) {
  if (begun == now) return;
  log::warning(
      "the run was begun with {} thread(s), {} kernels and {}, now it is {}, {} and {}: it goes on, but the last "
      "digits may differ",
      begun.threads, begun.kernels, begun.precision, now.threads, now.kernels, now.precision);
}

Schema read_schema(const fs::path& data, const Config& fields) {
  INTERPLAY_CHECK_DATA(fs::is_directory(data), "{}: no such directory; make it with `interplay prepare`",
                       data.string());
  INTERPLAY_CHECK_DATA(fs::exists(data / Bundle::kSchema), "{}: not prepared data, for it has no {}", data.string(),
                       Bundle::kSchema);
  return select_fields(Schema::load(data / Bundle::kSchema), fields);
}

}  // namespace interplay
