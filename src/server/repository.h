#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/served_version.h"

namespace interplay::server {

/// A model's versions: those that are served, and what is wrong with others.
struct ServedModel {
  std::map<std::string, std::shared_ptr<ServedVersion>> versions;
  std::shared_ptr<ServedVersion> standing;  ///< what a request without a version gets; null: none is ready
  std::string problem;                      ///< of the last version that could not be loaded; empty: none
  bool wanted = true;                       ///< false after an unload
};

/// All models at one moment. Immutable: a request keeps the one that it began with.
using Catalogue = std::map<std::string, ServedModel>;

/// `root`/MODEL/VERSION/ are runs, or `root`/MODEL/, or `root` itself is one: version 1 then. Of each model the newest
/// version is served (the largest number; of names that are none, the last). A version is there once its manifest is,
/// which a run writes last: what is half copied or still trains is never looked at. Thread-safe.
class Repository {
 public:
  /// Loads the newest version of every model; throws Error where there is no run at all.
  explicit Repository(std::filesystem::path root);
  ~Repository();

  std::shared_ptr<const Catalogue> catalogue() const { return catalogue_.load(); }

  /// Looks for new and changed versions now, loads them, and then lets go of those they replace.
  void refresh();
  /// refresh() every so many seconds, in a thread of its own, until this object goes.
  void poll(double seconds);

  void load(const std::string& model);    ///< again, or after unload(); throws Error where that fails
  void unload(const std::string& model);  ///< requests under way end as they began

  int64_t swaps() const { return swaps_.load(); }        ///< versions that took another's place
  int64_t failures() const { return failures_.load(); }  ///< versions that could not be loaded

 private:
  struct Found {
    std::filesystem::path run;
    std::filesystem::file_time_type written;  // its manifest
  };
  using Versions = std::vector<std::pair<std::string, Found>>;  // the newest last

  std::map<std::string, Versions> find() const;
  ServedModel newest(const std::string& name, const ServedModel& before, const Versions& versions);

  const std::filesystem::path root_;
  std::atomic<std::shared_ptr<const Catalogue>> catalogue_;
  std::mutex mutex_;  // of whoever changes the catalogue
  std::map<std::filesystem::path, std::filesystem::file_time_type> loaded_, failed_;
  std::atomic<int64_t> swaps_{0}, failures_{0};

  std::thread poller_;
  std::mutex poll_mutex_;
  std::condition_variable woken_;
  bool ending_ = false;
};

}  // namespace interplay::server
