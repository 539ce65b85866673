// A search that is killed within its stages and between them ends as one that was left in peace.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/program.h"
#include "support/temp_dir.h"
#include "watch.h"

namespace fs = std::filesystem;

namespace interplay::testing {
namespace {

using Json = nlohmann::ordered_json;

// checkpoint_every divides neither the 63 steps of an epoch nor the steps between readings of the gates.
std::string experiment(const std::string& search, int64_t epochs) {
  return fmt::format(R"(
model: {{name: fm, embedding_dim: 4}}
train: {{epochs: {1}, batch_size: 128, patience: 0, checkpoint_every: 10}}
optimizer: {{embedding: {{name: adam, lr: 1e-2}}, dense: {{name: adam, lr: 1e-2}}}}
search: {{{0}, epochs: {1}}}
seed: 5
)",
                     search, epochs);
}

struct Case {
  std::string name, experiment;
  std::vector<std::string> stages;
};

Case autofis() { return {"autofis", experiment("name: autofis, keep: 0.5", 4), {"1-base", "2-search", "3-retrain"}}; }

/// Gates that learn from held-out rows, which have a place of their own to go on from.
Case bilevel() {
  return {"bilevel", experiment("name: autofis, keep: 0.5, validation: true", 2), {"1-base", "2-search", "3-retrain"}};
}

Case aim() {
  return {"aim",
          experiment("name: aim, functions: [inner, vector_kernel], keep: 0.2, keep_dimensions: 0.5", 1),
          {"1-base", "2-search-2", "3-search-3", "4-dimensions", "5-retrain"}};
}

Case unified() {
  return {
      "unified",
      experiment("name: aim, functions: [inner, outer], orders: 2, unified: true, keep: 0.2, keep_dimensions: 0.5", 2),
      {"1-base", "2-search-2", "3-retrain"}};
}

class SearchResume : public ::testing::TestWithParam<Case> {
 protected:
  SearchResume() {
    work_.write("experiment.yaml", GetParam().experiment);
    expect_success({"synth", "planted", "--rows", "10000", "--out", "raw"});
    expect_success({"prepare", "raw/data.yaml", "--out", "data"});
    expect_success(search("whole"));
  }
  std::vector<std::string> search(const std::string& out) const {
    std::vector<std::string> words{"search", "experiment.yaml", "--data", "data", "--out", out, "--threads", "1"};
    if (fs::exists(work_.path() / out / "config.yaml")) words.push_back("--resume");
    return words;
  }
  Program start(std::vector<std::string> words) const {
    words.insert(words.begin(), INTERPLAY_PROGRAM);
    return Program(words, work_.path());
  }
  void expect_success(const std::vector<std::string>& words) const {
    const Finished done = start(words).wait();
    ASSERT_EQ(done.status, 0) << fmt::format("{}\n{}", fmt::join(words, " "), done.err);
  }
  /// Kills the search `out` once `moment` has come; false where it ended before.
  bool killed(const std::string& out, const std::function<bool()>& moment) const {
    Program program = start(search(out));
    wait_for(moment, [&] { return program.running(); });
    program.send(SIGKILL);
    return program.wait().status == 128 + SIGKILL;
  }
  /// What a killed search left: how many stages are done, and whether another one has begun.
  struct Left {
    size_t done = 0;
    bool begun = false;
  };
  Left left(const std::string& out) const {
    Left found;
    for (const auto& stage : GetParam().stages) {
      const fs::path run = work_.path() / out / "stages" / stage;
      const bool done = fs::exists(run / "manifest.json");  // the last that it writes
      found.done += done;
      found.begun |= !done && fs::exists(run / "config.yaml");
    }
    return found;
  }
  void expect_same(const std::string& out) const {
    SCOPED_TRACE(out);
    const auto same = [&](const std::string& file) {
      const std::string expected = read(work_.path() / "whole" / file);
      EXPECT_FALSE(expected.empty()) << file;
      EXPECT_TRUE(expected == read(work_.path() / out / file)) << file;
    };
    int courses = 0;
    for (const auto& stage : GetParam().stages) {
      same("stages/" + stage + "/model.safetensors");
      for (const char* course : {"/gates.jsonl", "/dimension_gates.jsonl"}) {
        const std::string file = "stages/" + stage + course;
        if (!fs::exists(work_.path() / "whole" / file)) continue;
        same(file);
        ++courses;
      }
    }
    EXPECT_GE(courses, 1);
    same("retrain.yaml");
    same("config.yaml");
    const auto json = [&](const std::string& name) {
      return without_timings(Json::parse(read(work_.path() / name / "search.json")));
    };
    EXPECT_EQ(json("whole"), json(out));
  }

  TempDir work_;
};

TEST_P(SearchResume, KilledWithinAndBetweenStagesItEndsTheSame) {
  const auto& stages = GetParam().stages;
  std::vector<std::string> moments;  // files: before the first checkpoint of a stage, after one, and at its end
  for (const auto& stage : stages) {
    for (const char* file : {"config.yaml", "LATEST", "manifest.json"}) moments.push_back(stage + "/" + file);
  }
  // A search that ends before its kill arrives is compared, and the kills go on with a fresh one: how fast the machine
  // is decides how many searches it takes, not whether the test passes.
  std::string name = "killed-1";
  size_t within = 0, between = 0;  // kills within a stage, and between two
  for (size_t tries = 0; tries < 4 * moments.size(); ++tries) {
    if (tries >= moments.size() && within >= stages.size() && between >= 1) break;
    const auto file = work_.path() / name / "stages" / moments[tries % moments.size()];
    if (killed(name, [&] { return !read(file).empty(); })) {
      const Left now = left(name);
      within += now.begun;
      between += !now.begun && now.done > 0 && now.done < stages.size();
    } else {
      expect_same(name);
      name = fmt::format("killed-{}", tries + 2);
    }
  }
  EXPECT_GE(within, stages.size());
  EXPECT_GE(between, 1u);
  expect_success(search(name));
  expect_same(name);
}

INSTANTIATE_TEST_SUITE_P(Searches, SearchResume, ::testing::Values(autofis(), bilevel(), aim(), unified()),
                         [](const auto& info) { return info.param.name; });

class InterruptedSearch : public SearchResume {};

TEST_P(InterruptedSearch, SaysHowToGoOnAndEndsTheSame) {
  Program program = start(search("interrupted"));
  const auto gates = work_ / "interrupted/stages/2-search/LATEST";
  ASSERT_TRUE(wait_for([&] { return fs::exists(gates); }, [&] { return program.running(); }));
  program.send(SIGINT);
  const Finished done = program.wait();
  ASSERT_EQ(done.status, 130) << done.err;
  EXPECT_NE(done.err.find("go on with --resume"), std::string::npos) << done.err;
  expect_success(search("interrupted"));
  expect_same("interrupted");
}

INSTANTIATE_TEST_SUITE_P(Searches, InterruptedSearch, ::testing::Values(autofis()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace interplay::testing
