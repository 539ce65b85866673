// The settings of AutoFIS's and AIM's authors, for data sets that are not here: 200 steps on made-up rows of their
// shape.
#include <fstream>

#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/data/prepare.h>
#include <interplay/search/search.h>

#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::authors_test {
namespace {

const fs::path kConfigs = fs::path(INTERPLAY_TESTS_DIR).parent_path() / "configs";
constexpr int64_t kRows = 2000, kSteps = 200;

struct DataSet {
  std::string file;                 // its data.yaml, below configs/
  std::vector<std::string> header;  // of its files
  std::string experiments;          // how the names of its AutoFIS experiments begin
  std::string aim;                  // the AIM experiment
  size_t fields;
};

DataSet avazu() {
  return {"avazu/data.yaml",
          {"click",      "C1",           "banner_pos", "site_id",   "site_domain",  "site_category", "app_id",
           "app_domain", "app_category", "device_id",  "device_ip", "device_model", "device_type",   "device_conn_type",
           "C14",        "C15",          "C16",        "C17",       "C18",          "C19",           "C20",
           "C21",        "mday",         "hour",       "wday"},
          "avazu/auto",
          "avazu/aim.yaml",
          24};
}

DataSet criteo_x2() {
  DataSet out{"criteo/x2.yaml", {"label"}, "criteo/x2_auto", "criteo/x2_aim.yaml", 39};
  for (int i = 0; i < 13; ++i) out.header.push_back(fmt::format("num_{}", i));
  for (int i = 0; i < 26; ++i) out.header.push_back(fmt::format("cat_{}", i));
  return out;
}

void write_rows(const fs::path& file, const DataSet& set, uint64_t seed, int64_t rows) {
  std::ofstream out(file);
  out << fmt::format("{}\n", fmt::join(set.header, ","));
  for (int64_t r = 0; r < rows; ++r) {
    out << (random_unit(seed, 0, uint64_t(r)) < 0.3 ? 1 : 0);
    for (size_t f = 0; f < set.fields; ++f) out << ',' << random_bits(seed, f + 1, uint64_t(r)) % 20;
    out << '\n';
  }
}

std::vector<std::string> experiments_of(const DataSet& set) {
  std::vector<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(kConfigs)) {
    const std::string name = fs::relative(entry.path(), kConfigs).string();
    if (name.starts_with(set.experiments)) out.push_back(name);
  }
  std::sort(out.begin(), out.end());
  return out;
}

class AuthorsSettings : public ::testing::TestWithParam<DataSet> {
 protected:
  AuthorsSettings() {
    Progress::enable(false);
    log::set_level(log::Level::error);
  }
  ~AuthorsSettings() override { log::set_level(log::Level::info); }

  void SetUp() override {
    const DataSet& set = GetParam();
    fs::create_directories(folder_ / "raw");
    write_rows(folder_ / "raw/train.csv", set, 1, kRows);
    write_rows(folder_ / "raw/test.csv", set, 2, 200);
    Config data = Config::load(kConfigs / set.file);
    data.set("root", Config::scalar((folder_ / "raw").string(), true));
    prepare(data, folder_ / "data");
    ASSERT_EQ(Schema::load(folder_ / "data/schema.yaml").fields().size(), set.fields);
  }
  SearchSummary search(const std::string& name, const std::vector<std::string>& changes) const {
    Config experiment = Config::load(kConfigs / name);
    EXPECT_EQ(experiment["train"]["batch_size"].as<int64_t>(), 2000) << name;
    for (const char* change : {"train.batch_size=10", "search.base=false", "threads=1"})
      experiment.set(std::string(change));
    for (const auto& change : changes) experiment.set(change);
    const SearchSummary s = search_run(experiment, {.data = folder_ / "data", .out = folder_ / fs::path(name).stem()});
    for (const auto& stage : s.stages) {
      EXPECT_EQ(stage.steps, kSteps) << name;
      EXPECT_TRUE(std::isfinite(stage.logloss)) << name;
    }
    return s;
  }

  testing::TempDir folder_;
};

TEST_P(AuthorsSettings, OfAutofisRunOnRowsOfThatShape) {
  const DataSet& set = GetParam();
  const auto names = experiments_of(set);
  ASSERT_EQ(names.size(), 4u);
  for (const auto& name : names) {
    const SearchSummary s = search(name, {"search.keep=0.5"});
    ASSERT_EQ(s.stages.size(), 2u) << name;
    const int64_t f = int64_t(set.fields), pairs = f * (f - 1) / 2, triples = pairs * (f - 2) / 3;
    const bool third = name.find("3rd") != std::string::npos;
    EXPECT_EQ(int64_t(s.findings.interactions.size()), pairs + (third ? triples : 0)) << name;
  }
}

/// The first of its stages: all of them, with layers of that width, take minutes.
TEST_P(AuthorsSettings, OfAimRunOnRowsOfThatShape) {
  const SearchSummary s =
      search(GetParam().aim, {"search.keep=0.5", "search.orders=2", "search.dimensions=false", "search.retrain=false"});
  std::vector<std::string> stages;
  for (const auto& stage : s.stages) stages.push_back(stage.name);
  EXPECT_EQ(stages, (std::vector<std::string>{"search-2"}));
  const auto pairs = std::count_if(s.findings.interactions.begin(), s.findings.interactions.end(),
                                   [](const auto& i) { return i.fields.size() == 2; });
  const int64_t f = int64_t(GetParam().fields);
  EXPECT_EQ(pairs, 4 * f * (f - 1) / 2);  // under four functions
}

INSTANTIATE_TEST_SUITE_P(Authors, AuthorsSettings, ::testing::Values(avazu(), criteo_x2()),
                         [](const auto& info) { return info.param.fields == 24 ? "avazu" : "criteo_x2"; });

}  // namespace
}  // namespace interplay::authors_test
