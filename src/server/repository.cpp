#include "server/repository.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <thread>

#include <fmt/ranges.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/core/bundle.h>

namespace interplay::server {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = "manifest.json";
constexpr const char* kPolicy = "serving.yaml";

/// Runs on a thread of its own that those which answer requests go before. An exception is thrown here.
void give_way(const std::function<void()>& work) {
  constexpr int kNice = 10;
  std::exception_ptr problem;
  std::thread([&] {
    ::setpriority(PRIO_PROCESS, id_t(::gettid()), kNice);  // of this thread alone, and a wish
    try {
      work();
    } catch (...) {
      problem = std::current_exception();
    }
  }).join();
  if (problem) std::rethrow_exception(problem);
}

bool is_number(const std::string& name) {
  return !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
}

/// Numbers by size, and behind names, which go by their letters.
bool older(const std::string& a, const std::string& b) {
  if (is_number(a) != is_number(b)) return is_number(b);
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
      "as MODEL/VERSION/, where VERSION is a number",
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
    const bool names = fs::exists(folder / kPolicy);  // which may mean what is no number
    for (const auto& run : folders_of(folder)) {
      const std::string version = run.filename().string();
      if (names || is_number(version)) add(model, version, run);
    }
  }
  for (auto& [model, versions] : out) {
    std::sort(versions.begin(), versions.end(), [](const auto& a, const auto& b) { return older(a.first, b.first); });
  }
  return out;
}

std::shared_ptr<ServedVersion> ServedModel::named(const std::string& version) const {
  const auto one = versions.find(version);
  if (one != versions.end()) return one->second;
  return version == "stable" ? standing : version == "canary" ? canary : version == "shadow" ? shadow : nullptr;
}

std::shared_ptr<ServedVersion> ServedModel::chosen(const ColumnCells& cells) const {
  if (!canary || cells.rows() == 0) return standing;
  const size_t place = columns->places.find(canary_by)->second;
  if (!cells.given(place)) return standing;
  const double percent = double(hash64(cells.cell(place, 0)) % 10000) / 100;
  return percent < canary_percent ? canary : standing;
}

/// Reads the weights of versions that were served before they were read.
void Repository::check_unread() {
  for (;;) {
    std::shared_ptr<ServedVersion> version;
    {
      const std::lock_guard lock(mutex_);
      if (unread_.empty()) {
        checking_ = false;
        return;
      }
      version = unread_.back();
      unread_.pop_back();
    }
    try {
      give_way([&] { Bundle::check_weights(version->run()); });
    } catch (const std::exception& error) {
      take_away(*version, fmt::format("version {}: {}", version->version(), error.what()));
    }
  }
}

void Repository::take_away(const ServedVersion& damaged, const std::string& problem) {
  log::warning("{} version {} is served no more: {}", damaged.model(), damaged.version(), problem);
  {
    const std::lock_guard lock(mutex_);
    const auto written = loaded_.find(damaged.run());
    if (written == loaded_.end()) return;
    failed_[damaged.run()] = {written->second, problem};
    loaded_.erase(written);
    failures_.fetch_add(1);
    auto next = std::make_shared<Catalogue>(*catalogue());
    for (auto& [name, model] : *next) {
      const auto drop = [&](std::shared_ptr<ServedVersion>& version) {
        if (version.get() == &damaged) version = nullptr;
      };
      drop(model.standing), drop(model.canary), drop(model.shadow);
      std::erase_if(model.versions, [&](const auto& one) { return one.second.get() == &damaged; });
      if (name == damaged.model()) model.problem = problem;
    }
    catalogue_.store(next);
  }
  refresh();  // an older version, perhaps
}

/// The version that is in use already, where its files are still those it was loaded from.
const ServedVersion* Repository::up_to_date(const std::shared_ptr<ServedVersion>& loaded, const std::string& version,
                                            const Found& at) const {
  if (!loaded || loaded->version() != version || loaded->run() != at.run) return nullptr;
  const auto written = loaded_.find(at.run);
  return written != loaded_.end() && written->second == at.written ? loaded.get() : nullptr;
}

/// Null, with the reason in model.problem, where it cannot be loaded, which is not tried again until its files change.
std::shared_ptr<ServedVersion> Repository::load(const std::string& name, const std::string& version, const Found& at,
                                                ServedModel& model) {
  const auto failed = failed_.find(at.run);
  if (failed != failed_.end() && failed->second.written == at.written) {
    model.problem = failed->second.problem;
    return nullptr;
  }
  try {
    const auto begun = std::chrono::steady_clock::now();
    const bool at_once = !model.standing;  // nobody answers meanwhile
    std::shared_ptr<ServedVersion> loaded;
    if (at_once) {
      loaded = ServedVersion::load(name, version, at.run, /*unread=*/true);
      unread_.push_back(loaded);
    } else {
      give_way([&] { loaded = ServedVersion::load(name, version, at.run); });
    }
    log::info("{} version {}: ready after {:.1f} s", name, version,
              std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
    loaded_[at.run] = at.written;
    return loaded;
  } catch (const std::exception& error) {
    model.problem = fmt::format("version {}: {}", version, error.what());
    failed_[at.run] = {at.written, model.problem};
    failures_.fetch_add(1);
    log::warning("{} version {} cannot be loaded: {}", name, version, error.what());
    return nullptr;
  }
}

/// The newest that can be loaded, or what was served before where that one cannot. Names that are no numbers, as a copy
/// under way or put aside has, are served only where the policy says so.
void Repository::newest(const std::string& name, const ServingPolicy& policy, const Versions& versions,
                        ServedModel& model) {
  const auto before = model.standing;
  for (size_t i = versions.size(); i-- > 0;) {
    const auto& [version, at] = versions[i];
    const bool meant = policy.stable.empty()
                           ? is_number(version) && version != policy.canary && version != policy.shadow
                           : version == policy.stable;
    if (!meant) continue;
    if (up_to_date(before, version, at)) return;
    const auto known = model.versions.find(version);  // as a canary, perhaps
    const bool ready = known != model.versions.end() && up_to_date(known->second, version, at);
    if (const auto loaded = ready ? known->second : load(name, version, at, model)) {
      model.standing = loaded;
      return;
    }
    if (before && (version == before->version() || older(version, before->version()))) return;
  }
  if (!model.standing && model.problem.empty() && !versions.empty())
    model.problem = "no version's name is a number; serving.yaml may say which is `stable`";
}

/// The canary and the shadow. Where one cannot be had, its requests stay with the standing version.
void Repository::add_others(const std::string& name, const ServingPolicy& policy, const Versions& versions,
                            const ServedModel& before, ServedModel& model) {
  const auto find = [&](const std::string& version,
                        const std::shared_ptr<ServedVersion>& known) -> std::shared_ptr<ServedVersion> {
    if (version.empty()) return nullptr;
    const auto place =  // which read_policy() made sure of
        std::find_if(versions.begin(), versions.end(), [&](const auto& v) { return v.first == version; });
    if (up_to_date(known, version, place->second)) return known;
    if (model.standing && up_to_date(model.standing, version, place->second)) return model.standing;
    auto loaded = load(name, version, place->second, model);
    return loaded || !known || known->version() != version ? loaded : known;
  };
  model.canary = find(policy.canary, before.canary);
  model.shadow = find(policy.shadow, before.shadow);
  model.canary_percent = policy.percent;
  model.canary_by = policy.by;
}

namespace {

/// Columns of all of them. One that parts the entries of a column as none before it did cannot be told apart.
std::shared_ptr<const RequestColumns> columns_of(const std::vector<const ServedVersion*>& versions) {
  std::vector<std::string> names, separators;
  std::vector<bool> whole;
  for (const ServedVersion* version : versions) {
    const RequestColumns& own = version->columns();
    for (size_t c = 0; c < own.names.size(); ++c) {
      const auto known = std::find(names.begin(), names.end(), own.names[c]);
      if (known == names.end()) {
        names.push_back(own.names[c]);
        separators.push_back(own.separators[c]);
        whole.push_back(own.whole[c]);
        continue;
      }
      const auto place = size_t(known - names.begin());
      whole[place] = whole[place] && own.whole[c];
      const std::string& separator = separators[place];
      INTERPLAY_CHECK_DATA(separator == own.separators[c],
                           "version {} parts the entries of column '{}' by '{}', others by '{}'", version->version(),
                           own.names[c], own.separators[c], separator);
    }
  }
  return std::make_shared<const RequestColumns>(names, separators, whole);
}

ServingPolicy read_policy(const fs::path& file, const std::vector<std::string>& versions) {
  ServingPolicy policy;
  if (!fs::exists(file)) return policy;
  read_options(policy, Config::load(file), kPolicy);
  INTERPLAY_CHECK_DATA(policy.canary.empty() == policy.by.empty(),
                       "{}: canary and by go together: a column has to say which requests the canary answers",
                       file.string());
  INTERPLAY_CHECK_DATA(!policy.canary.empty() || policy.percent == 0,
                       "{}: percent: of the requests to a canary, which is not named", file.string());
  for (const auto& [label, version] :
       {std::pair("stable", policy.stable), {"canary", policy.canary}, {"shadow", policy.shadow}}) {
    INTERPLAY_CHECK_DATA(version.empty() || std::find(versions.begin(), versions.end(), version) != versions.end(),
                         "{}: {}: there is no finished version {} (versions: {})", file.string(), label, version,
                         fmt::join(versions, ", "));
  }
  INTERPLAY_CHECK_DATA(policy.stable.empty() || (policy.stable != policy.canary && policy.stable != policy.shadow),
                       "{}: version {} is stable, and canary or shadow too", file.string(), policy.stable);
  return policy;
}

}  // namespace

void Repository::tell_of_swap(const std::string& name, const ServedModel& before, const ServedModel& after) {
  if (!before.standing || !after.standing || before.standing == after.standing) return;
  swaps_.fetch_add(1);
  log::info("{}: version {} answers, in place of {}", name, after.standing->version(), before.standing->version());
  const auto& known = before.standing->columns().places;
  std::vector<std::string> more;
  for (const auto& column : after.standing->columns().names) {
    if (!known.contains(column)) more.push_back(column);
  }
  if (!more.empty())
    log::warning("{}: version {} reads {}, which version {} did not: requests without are refused", name,
                 after.standing->version(), fmt::join(more, ", "), before.standing->version());
}

ServedModel Repository::update(const std::string& name, const ServedModel& before, const Versions& versions) {
  ServedModel out = before;
  out.problem.clear();
  try {
    std::vector<std::string> names;
    for (const auto& [version, at] : versions) names.push_back(version);
    const ServingPolicy policy = read_policy(root_ / name / kPolicy, names);
    newest(name, policy, versions, out);
    add_others(name, policy, versions, before, out);
    std::vector<const ServedVersion*> all;
    out.versions.clear();
    for (const auto& version : {out.standing, out.canary, out.shadow}) {
      if (!version) continue;
      all.push_back(version.get());
      out.versions[version->version()] = version;
    }
    out.columns = columns_of(all);
    INTERPLAY_CHECK_DATA(!out.canary || out.columns->places.contains(out.canary_by),
                         "serving.yaml: by: no version reads a column '{}' (columns: {})", out.canary_by,
                         fmt::join(out.columns->names, ", "));
    tell_of_swap(name, before, out);
    return out;
  } catch (const Error& error) {
    ServedModel unchanged = before;
    if (unchanged.problem != error.what()) log::warning("{}: {}; all stays as it was", name, error.what());
    unchanged.problem = error.what();
    return unchanged;
  }
}

void Repository::refresh() {
  const std::lock_guard lock(mutex_);
  const auto now = catalogue();
  auto next = std::make_shared<Catalogue>();
  bool changed = false;
  for (const auto& [name, versions] : find()) {
    const auto known = now->find(name);
    const ServedModel before = known == now->end() ? ServedModel() : known->second;
    ServedModel after = before.wanted ? update(name, before, versions) : before;
    changed = changed || known == now->end() || after.versions != before.versions || after.problem != before.problem ||
              after.standing != before.standing || after.canary_percent != before.canary_percent ||
              after.canary_by != before.canary_by;
    next->emplace(name, std::move(after));
  }
  for (const auto& [name, model] : *now) {
    if (next->contains(name)) continue;
    log::warning("{}: its directory has gone; it is served no more", name);
    changed = true;
  }
  if (changed) catalogue_.store(next);
  if (unread_.empty() || checking_) return;
  checking_ = true;
  checker_ = std::jthread([this] { check_unread(); });
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
  found->second = ServedModel();
  found->second.wanted = false;
  catalogue_.store(next);
  log::info("{}: unloaded", model);
}

}  // namespace interplay::server
