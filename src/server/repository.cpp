#include "server/repository.h"

#include <algorithm>
#include <chrono>

#include <interplay/base/error.h>
#include <interplay/base/log.h>

namespace interplay::server {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = "manifest.json";

bool is_number(const std::string& name) {
  return !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
}

/// Numbers by size, and before names, which go by their letters.
bool older(const std::string& a, const std::string& b) {
  if (is_number(a) != is_number(b)) return is_number(a);
  if (!is_number(a)) return a < b;
  const auto digits = [](const std::string& name) {
    return name.substr(std::min(name.find_first_not_of('0'), name.size() - 1));
  };
  const std::string x = digits(a), y = digits(b);
  if (x.size() != y.size()) return x.size() < y.size();
  return x != y ? x < y : a < b;
}

std::vector<fs::path> folders_of(const fs::path& directory) {
  std::vector<fs::path> out;
  std::error_code ignored;
  for (fs::directory_iterator entry(directory, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    std::error_code gone;
    if (entry->is_directory(gone) && entry->path().filename().string().front() != '.') out.push_back(entry->path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

Repository::Repository(fs::path root) : root_(std::move(root)), catalogue_(std::make_shared<const Catalogue>()) {
  INTERPLAY_CHECK_DATA(fs::is_directory(root_),
                       "{}: no such directory; expected a run, or a folder of MODEL/VERSION/ runs", root_.string());
  refresh();
  const auto all = catalogue();
  INTERPLAY_CHECK_DATA(
      !all->empty(),
      "{}: holds no finished run; expected a run (with manifest.json, which training writes last), or runs "
      "as MODEL/VERSION/",
      root_.string());
  for (const auto& [name, model] : *all) {
    INTERPLAY_CHECK_DATA(model.standing || model.problem.empty() || all->size() > 1, "{}", model.problem);
  }
}

Repository::~Repository() {
  {
    const std::lock_guard lock(poll_mutex_);
    ending_ = true;
  }
  woken_.notify_all();
  if (poller_.joinable()) poller_.join();
}

std::map<std::string, Repository::Versions> Repository::find() const {
  std::map<std::string, Versions> out;
  const auto add = [&](const std::string& model, const std::string& version, const fs::path& run) {
    std::error_code absent;
    const auto written = fs::last_write_time(run / kManifest, absent);
    if (absent) return false;
    out[model].emplace_back(version, Found{run, written});
    return true;
  };
  const fs::path whole = fs::absolute(root_).lexically_normal();
  const fs::path named = whole.has_filename() ? whole : whole.parent_path();
  if (add(named.filename().string(), "1", root_)) return out;
  for (const auto& folder : folders_of(root_)) {
    const std::string model = folder.filename().string();
    if (add(model, "1", folder)) continue;
    for (const auto& run : folders_of(folder)) add(model, run.filename().string(), run);
  }
  for (auto& [model, versions] : out) {
    std::sort(versions.begin(), versions.end(), [](const auto& a, const auto& b) { return older(a.first, b.first); });
  }
  return out;
}

/// The newest that can be loaded, or what was served before where that one cannot.
ServedModel Repository::newest(const std::string& name, const ServedModel& before, const Versions& versions) {
  ServedModel out = before;
  for (size_t i = versions.size(); i-- > 0;) {
    const auto& [version, at] = versions[i];
    const bool same = before.standing && before.standing->version() == version && before.standing->run() == at.run;
    if (same && loaded_[at.run] == at.written) return out;
    const auto failed = failed_.find(at.run);
    if (failed == failed_.end() || failed->second != at.written) {
      try {
        const auto begun = std::chrono::steady_clock::now();
        auto loaded = ServedVersion::load(name, version, at.run);
        log::info("{} version {}: ready after {:.1f} s{}", name, version,
                  std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(),
                  before.standing ? fmt::format(", in place of version {}", before.standing->version()) : "");
        out.standing = loaded;
        out.versions = {{version, loaded}};
        out.problem.clear();
        loaded_[at.run] = at.written;
        if (before.standing) swaps_.fetch_add(1);
        return out;
      } catch (const std::exception& error) {
        failed_[at.run] = at.written;
        failures_.fetch_add(1);
        out.problem = fmt::format("version {}: {}", version, error.what());
        log::warning(
            "{} version {} cannot be loaded, {}: {}", name, version,
            before.standing ? fmt::format("version {} goes on", before.standing->version()) : "the one before is tried",
            error.what());
      }
    }
    if (same) return out;
    if (before.standing && older(version, before.standing->version())) return out;
  }
  return out;
}

void Repository::refresh() {
  const std::lock_guard lock(mutex_);
  const auto now = catalogue();
  auto next = std::make_shared<Catalogue>();
  bool changed = false;
  for (const auto& [name, versions] : find()) {
    const auto known = now->find(name);
    const ServedModel before = known == now->end() ? ServedModel() : known->second;
    ServedModel after = before.wanted ? newest(name, before, versions) : before;
    changed = changed || known == now->end() || after.standing != before.standing || after.problem != before.problem;
    next->emplace(name, std::move(after));
  }
  for (const auto& [name, model] : *now) {
    if (next->contains(name)) continue;
    log::warning("{}: its directory has gone; it is served no more", name);
    changed = true;
  }
  if (changed) catalogue_.store(next);
}

void Repository::poll(double seconds) {
  poller_ = std::thread([this, seconds] {
    std::unique_lock lock(poll_mutex_);
    while (!woken_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return ending_; })) {
      lock.unlock();
      try {
        refresh();
      } catch (const std::exception& error) {
        log::warning("looking for new versions: {}", error.what());
      }
      lock.lock();
    }
  });
}

void Repository::load(const std::string& model) {
  {
    const std::lock_guard lock(mutex_);
    auto next = std::make_shared<Catalogue>(*catalogue());
    const auto known = next->find(model);
    if (known != next->end()) known->second.wanted = true;
    failed_.clear();  // what was mended in place is tried again
    catalogue_.store(next);
  }
  refresh();
  const auto all = catalogue();
  const auto found = all->find(model);
  INTERPLAY_CHECK_DATA(found != all->end(), "model '{}': {} has no finished run of that name", model, root_.string());
  INTERPLAY_CHECK_DATA(found->second.problem.empty(), "model '{}', {}", model, found->second.problem);
}

void Repository::unload(const std::string& model) {
  const std::lock_guard lock(mutex_);
  auto next = std::make_shared<Catalogue>(*catalogue());
  const auto found = next->find(model);
  INTERPLAY_CHECK(found != next->end(), "model '{}' is not here", model);
  found->second = ServedModel{.versions = {}, .standing = nullptr, .problem = {}, .wanted = false};
  catalogue_.store(next);
  log::info("{}: unloaded", model);
}

}  // namespace interplay::server
