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

#include <interplay/base/options.h>

#include "server/served_version.h"

namespace interplay::server {

/// Which versions a model's requests go to: the file serving.yaml beside them.
struct ServingPolicy {
  std::string stable, canary, shadow, by;
  double percent = 0;

  void visit(auto&& field) {
    field("stable", stable, "version that answers; by default the newest that is neither canary nor shadow");
    field("canary", canary, "version that answers some of the requests");
    field("percent", percent, "of the requests that go to the canary", Range{0, 100});
    field("by", by, "column whose cell, hashed, says which of the two answers: a user stays with one of them");
    field("shadow", shadow, "version that scores the same rows, off the requests' path, to be compared");
  }
};

/// A model's versions: those that are served, and what is wrong with others.
struct ServedModel {
  std::map<std::string, std::shared_ptr<ServedVersion>> versions;
  std::shared_ptr<ServedVersion> standing;  ///< what a request without a version gets; null: none is ready
  std::shared_ptr<ServedVersion> canary, shadow;
  double canary_percent = 0;
  std::string canary_by;
  std::shared_ptr<const RequestColumns> columns;  ///< that any of the versions reads
  std::string problem;                            ///< of the last version that could not be loaded; empty: none
  bool wanted = true;                             ///< false after an unload

  /// By its name, or as `stable`, `canary`, `shadow`; null where there is none.
  std::shared_ptr<ServedVersion> named(const std::string& version) const;
  /// Who answers a request without a version.
  std::shared_ptr<ServedVersion> chosen(const ColumnCells& cells) const;
};

/// All models at one moment. Immutable: a request keeps the one that it began with.
using Catalogue = std::map<std::string, ServedModel>;

/// `root`/MODEL/VERSION/ are runs, or `root`/MODEL/, or `root` itself is one: version 1 then. Of each model the newest
/// version is served, the largest number, unless MODEL/serving.yaml says otherwise; what is called otherwise is a
/// version where serving.yaml names it. A version is there once its manifest is, which a run writes last: what is half
/// copied or still trains is never looked at. A version that takes another's place is read whole before, for its
/// checksum; one that would keep a model from being there is served at once, read meanwhile, and taken away where it is
/// damaged. Thread-safe.
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
  void tell_of_swap(const std::string& name, const ServedModel& before, const ServedModel& after);
  ServedModel update(const std::string& name, const ServedModel& before, const Versions& versions);
  void newest(const std::string& name, const ServingPolicy& policy, const Versions& versions, ServedModel& model);
  void add_others(const std::string& name, const ServingPolicy& policy, const Versions& versions,
                  const ServedModel& before, ServedModel& model);
  std::shared_ptr<ServedVersion> load(const std::string& name, const std::string& version, const Found& at,
                                      ServedModel& model);
  void check_unread();
  void take_away(const ServedVersion& damaged, const std::string& problem);
  const ServedVersion* up_to_date(const std::shared_ptr<ServedVersion>& loaded, const std::string& version,
                                  const Found& at) const;

  const std::filesystem::path root_;
  std::atomic<std::shared_ptr<const Catalogue>> catalogue_;
  std::mutex mutex_;  // of whoever changes the catalogue
  struct Failure {
    std::filesystem::file_time_type written;
    std::string problem;
  };
  std::map<std::filesystem::path, std::filesystem::file_time_type> loaded_;
  std::map<std::filesystem::path, Failure> failed_;
  std::vector<std::shared_ptr<ServedVersion>> unread_;  // versions whose weights are to be read for their checksum
  std::atomic<int64_t> swaps_{0}, failures_{0};

  std::thread poller_;
  std::mutex poll_mutex_;
  std::condition_variable woken_;
  bool ending_ = false;
  bool checking_ = false;  // guarded by mutex_
  std::jthread checker_;   // reads `unread_`
};

}  // namespace interplay::server
