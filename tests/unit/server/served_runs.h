#pragma once

#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/progress.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/serve/scorer.h>
#include <interplay/server/server.h>
#include <interplay/train/run.h>

#include "support/temp_dir.h"
#include "unit/server/http_client.h"

namespace interplay::testing {

namespace fs = std::filesystem;

/// A server in a thread of its own, until it goes.
class Running {
 public:
  explicit Running(const fs::path& directory, ServerOptions options = {})
      : server_(directory, with_port(options)), thread_([this] { server_.run(); }) {}
  ~Running() {
    server_.stop();
    thread_.join();
  }
  int port() const { return server_.port(); }

 private:
  static ServerOptions with_port(ServerOptions options) {
    options.listen = "127.0.0.1:0";
    options.threads = 2;
    return options;
  }
  Server server_;
  std::thread thread_;
};

/// Runs on rows of MovieLens' shape: `one` and `two`, which differ, of ids, and `din`, which reads a history.
class ServedRuns : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    Progress::enable(false);
    dir_ = new TempDir;
    SynthOptions movielens;
    movielens.shape = "movielens", movielens.rows = 2000, movielens.users = 40;
    synthesize(movielens, *dir_ / "ml");
    prepare(Config::parse(fmt::format(R"(
format: recbole
root: {}
files: {{train: ml.inter}}
label: {{column: rating, at_least: 4}}
fields:
  - columns: [user_id, item_id, gender]
  - {{name: past, kind: history, user: user_id, item: item_id, time: timestamp, max_length: 5}}
)",
                                      (*dir_ / "ml").string())),
            *dir_ / "prepared");
    const auto run = [](const std::string& name, const std::string& experiment) {
      train_run(Config::parse(experiment), {.data = *dir_ / "prepared", .out = *dir_ / name});
    };
    run("one", "{model: {name: fm, embedding_dim: 4}, fields: {drop: [past]}, train: {epochs: 1}, seed: 1}");
    run("two", "{model: {name: fm, embedding_dim: 4}, fields: {drop: [past]}, train: {epochs: 1}, seed: 2}");
    run("din", "{model: {name: din, hidden: [8]}, train: {epochs: 1}}");
  }
  static void TearDownTestSuite() { delete dir_; }

  /// A folder of runs as the server wants it: each "MODEL/VERSION", "run".
  static fs::path served(const TempDir& at, const std::vector<std::pair<std::string, std::string>>& versions) {
    for (const auto& [version, run] : versions) put(at / version, run);
    return at.path();
  }
  static void put(const fs::path& version, const std::string& run) {
    fs::create_directories(version.parent_path());
    const fs::path aside = version.string() + ".part";
    fs::copy(*dir_ / run, aside, fs::copy_options::recursive);
    fs::rename(aside, version);
  }

  static inline TempDir* dir_ = nullptr;
};

inline const char* const kRows = R"({"rows": [{"user_id": "3", "item_id": 7, "gender": "M"},
                                              {"user_id": "9", "item_id": "nobody", "gender": null}]})";
inline std::vector<float> expected_of(const fs::path& run) {
  return Scorer::load(run).score({{{"user_id", "3"}, {"item_id", "7"}, {"gender", "M"}},
                                  {{"user_id", "9"}, {"item_id", "nobody"}, {"gender", ""}}});
}

template <class Done>
bool within_seconds(double seconds, const Done& done) {
  for (int i = 0; i < int(seconds * 50); ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

}  // namespace interplay::testing
