// Whole runs on tiny random models: what is planted is learnt, and a run stands for a model by its path.
#include <interplay/systems/recfound.h>

#include <optional>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/lm/encoder.h>
#include <interplay/lm/generator.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/scorer.h>
#include <interplay/lm/tuned_decoder.h>
#include <interplay/nn/safetensors.h>

#include "support/error_of.h"
#include "support/temp_dir.h"
#include "support/tiny_llama.h"

namespace interplay::recfound_run_test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::config_error;
using testing::data_error;
using testing::error_of;
using ::testing::HasSubstr;

const std::string kModel = (fs::path(INTERPLAY_TESTS_DIR) / "reference/data/tiny_chat.gguf").string();

class RecfoundRun : public ::testing::Test {
 protected:
  RecfoundRun() {
    Progress::enable(false);
    log::set_level(log::Level::error);
  }

  /// Prompts of a letter again and again, of which `yes` says which are answered by Yes.
  void write_prompts(const std::string& name, const std::function<bool(bool m)>& yes) {
    std::string lines;
    for (int i = 0; i < 24; ++i) {
      const bool m = i % 2 == 0;
      lines += fmt::format("{{\"prompt\": \"{}\", \"answer\": \"{}\"}}\n",
                           std::string(size_t(3 + i % 3), m ? 'M' : 'o'), yes(m) ? "Yes" : "No");
    }
    dir_.write(name + ".jsonl", lines);
  }
  /// Queries of a letter that look for a passage of the same one.
  void write_queries(const std::string& name) {
    std::string lines;
    for (int i = 0; i < 24; ++i) {
      const char own = i % 2 == 0 ? 'a' : 'z', other = i % 2 == 0 ? 'z' : 'a';
      lines += fmt::format(
          "{{\"query\": \"{0}{0}\", \"positive\": \"{0}{0}{0}\", \"negatives\": [\"{1}{1}\", \"{1}\"]}}\n", own, other);
    }
    dir_.write(name + ".jsonl", lines);
  }

  static std::string task(const std::string& name, const std::string& family, const std::string& more = "") {
    const std::string metrics = family == "embedding" ? "[recall@1, mrr@3]" : "[accuracy]";
    return fmt::format(
        "{{name: {0}, family: {1}, train: {0}.jsonl, valid: {0}.jsonl, test: {0}.jsonl, answer_tokens: 3, metrics: "
        "{2}{3}}}",
        name, family, metrics, more);
  }
  /// On a model that is wide enough to say each of its tokens.
  Config planted(const std::vector<std::string>& tasks) {
    Config out = file(tasks);
    out.set("lm", Config::scalar(testing::write_tiny_llama(dir_ / "tiny.gguf").string(), true));
    return out;
  }
  Config file(const std::vector<std::string>& tasks, const std::string& steps = "steps: 120\ncheckpoint_every: 60") {
    return Config::load(dir_.write(
        "tasks.yaml",
        fmt::format(
            "lm: {}\nprecision: fp32\ntasks: [{}]\nadapters: {{rank: 4, alpha: 8, dropout: 0, router_width: 32}}\n"
            "batch: {{embedding: 6, generation: 8, group: 2}}\nsampling: {{by: size, valid_batches: 1}}\n"
            "optimizer: {{name: adam, lr: 2e-2}}\nclip_norm: 0\n{}\n",
            kModel, fmt::join(tasks, ", "), steps)));
  }
  TuneSummary tune(const Config& config, const std::string& out) { return tune_model(config, {dir_ / out, false, {}}); }
  double accuracy(const std::string& run, size_t task) {
    return evaluate_tasks((dir_ / run).string(), {.progress = false}).tasks.at(task).metrics.at(0).second;
  }
  std::string path(const std::string& name) { return (dir_ / name).string(); }

  testing::TempDir dir_;
};

// Two tasks answer the same prompts by the opposite: nothing but the task says which.
TEST_F(RecfoundRun, OppositeTasksAreLearntByExpertsAndNotByOneAdapter) {
  write_prompts("for", [](bool) { return true; });
  write_prompts("against", [](bool) { return false; });
  const std::vector<std::string> tasks{task("for", "generation"), task("against", "generation")};
  tune(planted(tasks), "experts");
  EXPECT_GT(accuracy("experts", 0), 0.95);
  EXPECT_GT(accuracy("experts", 1), 0.95);
  Config one = planted(tasks);
  one.set("adapters.experts", Config::scalar("none"));
  tune(one, "one");
  EXPECT_NEAR((accuracy("one", 0) + accuracy("one", 1)) / 2, 0.5, 1e-9);
}

TEST_F(RecfoundRun, ASkillThatTasksShareIsLearntByBoth) {
  write_prompts("first", [](bool m) { return m; });
  write_prompts("second", [](bool m) { return m; });
  const std::vector<std::string> tasks{task("first", "generation"), task("second", "generation")};
  for (const char* experts : {"tasks", "none"}) {
    Config config = planted(tasks);
    config.set("adapters.experts", Config::scalar(experts));
    tune(config, experts);
    EXPECT_GT(accuracy(experts, 0), 0.95) << experts;
    EXPECT_GT(accuracy(experts, 1), 0.95) << experts;
  }
}

TEST_F(RecfoundRun, OneAdapterHasAsManyWeightsAsTheExperts) {
  write_prompts("for", [](bool) { return true; });
  Config config = file({task("for", "generation")}, "steps: 1");
  const auto experts = tune(config, "experts").parameters;
  config.set("adapters.experts", Config::scalar("none"));
  const auto one = tune(config, "one").parameters;
  // no nearer than a rank more or less of the four projections, whose ends are 8 + 8, 8 + 4, 8 + 4 and 8 + 8
  EXPECT_LE(std::abs(experts - one), 28);
}

class RecfoundServed : public RecfoundRun {
 protected:
  // One run serves all: each test has a copy.
  static void TearDownTestSuite() { whole_.reset(); }
  void SetUp() override {
    write_queries("find");
    write_queries("look");
    write_prompts("ask", [](bool m) { return m; });
    if (!whole_) {
      config();  // writes tasks.yaml
      whole_.emplace();
      fs::copy(dir_.path(), whole_->path());  // which stays, with what the run names
      tune_model(scheduled(Config::load(*whole_ / "tasks.yaml")), {*whole_ / "run", false, {}});
    }
    fs::copy(*whole_ / "run", dir_ / "run", fs::copy_options::recursive);
  }
  static inline std::optional<testing::TempDir> whole_;

  static constexpr const char* kSteps = "steps: 60\ncheckpoint_every: 20";
  static Config scheduled(Config out) {
    out.set("sampling", Config::parse("{by: s2sched, warmup: 8, window: 16, valid_batches: 2, valid_rows: 4}"));
    return out;
  }
  Config config(const std::string& steps = kSteps) {
    return scheduled(file({task("find", "embedding", ", instruction: Find., passage_instruction: Passage."),
                           task("look", "embedding"), task("ask", "generation", ", answers: [\"Yes\", \"No\"]")},
                          steps));
  }
};

TEST_F(RecfoundServed, FindsWhatItWasTunedToFind) {
  const auto found = evaluate_tasks(path("run"), {.progress = false});
  ASSERT_EQ(found.tasks.size(), 3u);
  EXPECT_GT(found.tasks[0].metrics[0].second, 0.95);
  EXPECT_EQ(found.tasks[0].rows, 24);
  const auto some = evaluate_tasks(path("run"), {.rows = 5, .progress = false});
  EXPECT_EQ(some.tasks[2].rows, 5);
}

TEST_F(RecfoundServed, IsATextEncoderByItsPath) {
  const std::vector<std::string> texts{"aa", "zz", "a longer one"};
  const auto of = [&](const std::string& name) {
    return lm::load_encoder(lm::find_model(path("run") + name))->encode(texts);
  };
  const auto queries = of(":find"), passages = of(":find:passage"), none = of("");
  for (const auto& vectors : {queries, passages, none}) {
    EXPECT_EQ(vectors.size(1), 8);
    EXPECT_TRUE(at::allclose(vectors.norm(2, 1), at::ones({3}), 1e-5, 1e-6));
  }
  EXPECT_FALSE(at::allclose(queries, passages, 1e-3, 1e-3));
  EXPECT_FALSE(at::allclose(queries, none, 1e-3, 1e-3));
  // by hand, from its parts
  const auto folder = *lm::TunedFolder::find(path("run") + ":find");
  auto model = lm::TunedDecoder::load(folder, nn::Precision::fp32);
  const auto tokenizer = lm::Tokenizer::load(kModel);
  const std::vector<lm::FramedText> framed{
      lm::PromptFrame(folder.tasks[0].frame).encode(*tokenizer, "Find.", "a longer one", 256)};
  const auto call = model.call(std::vector<int64_t>{0});
  const at::NoGradGuard off;
  EXPECT_TRUE(at::allclose(lm::text_vectors(model.decoder(), framed, &call)[0], queries[2], 1e-5, 1e-6));
  EXPECT_EQ(lm::load_encoder(lm::find_model(path("run") + ":find"))->ids_of("aa"),
            lm::PromptFrame(folder.tasks[0].frame).encode(*tokenizer, "Find.", "aa", 256).ids);
  EXPECT_NE(lm::load_encoder(lm::find_model(path("run") + ":find"))->identity(),
            lm::load_encoder(lm::find_model(path("run")))->identity());
}

TEST_F(RecfoundServed, IsAScorerAndAGeneratorByItsPath) {
  auto model = lm::TunedDecoder::load(*lm::TunedFolder::find(path("run")), nn::Precision::fp32);
  const std::vector<lm::TokenIds> prompts{{3, 40, 41, 7}, {9, 8, 7}};
  const std::vector<int64_t> answers{50, 60};
  for (const int64_t task : {2, -1}) {
    model.focus(task);
    const auto expected = lm::DecoderScorer(model.decoder()).answers(prompts, answers);
    const std::string name = path("run") + (task == 2 ? ":ask" : "");
    lm::DecoderScorer scorer(lm::load_decoder(lm::find_model(name), nn::Precision::fp32));
    EXPECT_TRUE(at::allclose(scorer.answers(prompts, answers), expected, 1e-4, 1e-4)) << name;
    const std::vector<lm::LmPrompt> asked{{prompts[0]}};
    lm::DecoderGenerator generator(model.decoder(), lm::Tokenizer::load(kModel), "");
    EXPECT_EQ(lm::load_generator(lm::find_model(name))->generate(asked, {.max_tokens = 3})[0].ids,
              generator.generate(asked, {.max_tokens = 3})[0].ids);
  }
  auto ask = lm::load_decoder(path("run") + ":ask", nn::Precision::fp32);
  ask->adapt({}, 1);  // adapters of one's own on top, as rella has them
  EXPECT_EQ(ask->adapter_weights().size(), 4u);
  EXPECT_NE(lm::load_decoder(path("run") + ":ask", nn::Precision::fp32)->checksum(),
            lm::load_decoder(path("run"), nn::Precision::fp32)->checksum());
}

TEST_F(RecfoundServed, WrongNamesAreRefused) {
  EXPECT_THAT(config_error([&] { lm::find_model(path("run") + ":fnd"); }),
              AllOf(HasSubstr("was tuned for no task 'fnd'; did you mean find?"), HasSubstr("find, look, ask")));
  EXPECT_THAT(config_error([&] { lm::find_model(path("run") + ":ask:passage"); }), HasSubstr("has no passages"));
  EXPECT_THAT(config_error([&] { lm::load_encoder(path("run") + ":ask"); }), HasSubstr("is a task of generation"));
  EXPECT_THAT(config_error([&] { lm::load_decoder(path("run") + ":find", nn::Precision::fp32); }),
              HasSubstr("is a task of embedding"));
  Config of_run = config();
  of_run.set("lm", Config::scalar(path("run"), true));
  EXPECT_THAT(config_error([&] { tune(of_run, "again"); }), HasSubstr("is a tuned model"));
}

TEST_F(RecfoundServed, DamageIsNamed) {
  for (const char* file : {"router.safetensors", "adapters.safetensors"}) {
    testing::damage(dir_ / "run" / file, fs::file_size(dir_ / "run" / file) - 3);
    EXPECT_THAT(data_error([&] { lm::load_encoder(path("run") + ":find"); }), HasSubstr(file));
    testing::damage(dir_ / "run" / file, fs::file_size(dir_ / "run" / file) - 3);
  }
  const std::string good = read_file(dir_ / "run/tuned.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string bad = good;
    bad.replace(bad.find(from), from.size(), to);
    write_file(dir_ / "run/tuned.json", bad);
    return data_error([&] { lm::load_encoder(path("run")); });
  };
  EXPECT_THAT(with("\"format\": 1", "\"format\": 2"), HasSubstr("format 2; expected 1"));
  EXPECT_THAT(with("\"shared\": 2", "\"shared\": 3"), HasSubstr("has 6 adapters side by side; tuned.json says 7"));
  EXPECT_THAT(with("\"router_width\": 32", "\"router_width\": 16"), HasSubstr("[3, 16]"));
  EXPECT_THAT(with("\"router_width\": 32", "\"router_width\": -1"), HasSubstr("router_width is -1"));
  EXPECT_THAT(with("\"family\"", "\"famly\""), HasSubstr("tuned.json"));
  const std::string base = fmt::format("\"base\": \"{}\"", kModel);
  EXPECT_THAT(with(base, fmt::format("\"base\": \"{}\"", path("run"))), HasSubstr("is a tuned model itself"));
  EXPECT_THAT(with("{", ""), HasSubstr("tuned.json"));
}

TEST_F(RecfoundServed, CheckpointsMergeToAModelLikeTheOthers) {
  const auto report = merge_models({dir_ / "run"}, {}, dir_ / "ties");
  EXPECT_EQ(report.models, 3);  // of steps 20, 40 and 60
  EXPECT_GT(report.agreed, 0);
  merge_models({dir_ / "run"}, {.density = 1, .last = 1}, dir_ / "last");
  const auto vectors = [&](const std::string& name) {
    return lm::load_encoder(path(name) + ":find")->encode(std::vector<std::string>{"aa", "zq"});
  };
  EXPECT_TRUE(at::allclose(vectors("last"), vectors("run"), 1e-4, 1e-5)) << "ties of one is that one";
  EXPECT_FALSE(at::allclose(vectors("ties"), vectors("run"), 1e-4, 1e-5));
  merge_models({dir_ / "run"}, {.method = "linear"}, dir_ / "mean");
  const auto w = [&](const std::string& file) { return nn::Safetensors(dir_ / file).at("router.bias").clone(); };
  const auto mean = (w("run/snapshots/0000020.safetensors") + w("run/snapshots/0000040.safetensors") +
                     w("run/snapshots/0000060.safetensors")) /
                    3;
  EXPECT_TRUE(at::allclose(nn::Safetensors(dir_ / "mean/router.safetensors").at("bias"), mean, 1e-5, 1e-7));
  merge_models({dir_ / "run"}, {.method = "slerp"}, dir_ / "arc");
  EXPECT_GT(evaluate_tasks(path("arc"), {.progress = false}).tasks[0].metrics[0].second, 0.9);
}

TEST_F(RecfoundServed, WhatCannotBeMergedIsRefused) {
  tune(config("steps: 20\ncheckpoint_every: 20\nseed: 2"), "other");
  const std::vector<fs::path> both{dir_ / "run", dir_ / "other"};
  EXPECT_THAT(config_error([&] { merge_models(both, {}, dir_ / "m"); }), HasSubstr("began with other weights"));
  EXPECT_EQ(merge_models(both, {.method = "linear"}, dir_ / "m").models, 2);
  EXPECT_THAT(config_error([&] { merge_models({dir_ / "run"}, {.last = 9}, dir_ / "n"); }),
              HasSubstr("has 3 checkpoints"));
  EXPECT_THAT(config_error([&] { merge_models(both, {.last = 1}, dir_ / "n"); }), HasSubstr("--last"));
  EXPECT_THAT(config_error([&] { merge_models({dir_ / "run"}, {.method = "slerp", .last = 3}, dir_ / "n"); }),
              HasSubstr("slerp is between two"));
  EXPECT_THAT(data_error([&] { merge_models({dir_.path()}, {}, dir_ / "n"); }), HasSubstr("is no finished run"));
  EXPECT_THAT(data_error([&] { merge_models({dir_ / "m"}, {}, dir_ / "n"); }), HasSubstr("was it merged?"));
  EXPECT_FALSE(fs::exists(dir_ / "n"));
}

TEST(RecfoundRanks, AreByTheFirstMetricOfEachTask) {
  const auto model = [](const std::string& name, double a, double b) {
    return TaskEvaluation{
        name, {{"a", "embedding", 1, {{"mrr@3", a}, {"recall@1", 1 - a}}}, {"b", "generation", 1, {{"accuracy", b}}}}};
  };
  const auto ranks = task_ranks({model("x", 0.5, 0.9), model("y", 0.7, 0.9), model("z", 0.6, 0.1)});
  EXPECT_EQ(ranks, (std::vector<std::vector<double>>{{3, 1.5}, {1, 1.5}, {2, 3}}));
}

TEST_F(RecfoundRun, WhatIsMissingIsSaidBeforeAnythingIsLearnt) {
  write_queries("find");
  dir_.write("bare.jsonl", "{\"query\": \"a\", \"positive\": \"b\"}\n");
  Config no_valid = file({"{name: find, family: embedding, train: find.jsonl}"});
  no_valid.set("sampling.by", Config::scalar("s2sched"));
  EXPECT_THAT(config_error([&] { tune(no_valid, "a"); }), HasSubstr("task 'find' has no valid rows"));
  EXPECT_THAT(data_error([&] { tune(file({"{name: x, family: embedding, train: bare.jsonl}"}), "a"); }),
              HasSubstr("row 1 of train has no negatives; batch.group: 2"));
  EXPECT_THAT(config_error([&] { tune(file({"{name: x, family: embedding}"}), "a"); }), HasSubstr("train: missing"));
  EXPECT_THAT(data_error([&] { tune(file({task("gone", "embedding")}), "a"); }), HasSubstr("gone.jsonl"));
  EXPECT_FALSE(fs::exists(dir_ / "a"));
}

TEST_F(RecfoundServed, AStopLeavesACheckpointAndGoesOn) {
  const Config config = this->config();
  EXPECT_THAT(error_of(ErrorKind::interrupted,
                       [&] {
                         tune_model(config, {dir_ / "stopped", false, [](std::function<void()> stop) { stop(); }});
                       }),
              HasSubstr("interrupted at step 1; a checkpoint is written"));
  EXPECT_FALSE(lm::TunedFolder::find(dir_ / "stopped"));  // not yet a model
  tune_model(config, {dir_ / "stopped", true, {}});
  for (const char* same : {"adapters.safetensors", "router.safetensors", "metrics.jsonl"})
    EXPECT_EQ(read_file(dir_ / "stopped" / same), read_file(dir_ / "run" / same)) << same;
  EXPECT_THAT(config_error([&] { tune_model(config, {dir_ / "stopped", true, {}}); }), HasSubstr("is finished"));
  EXPECT_THAT(config_error([&] {
                tune_model(config, {dir_ / "stopped", false, {}});
              }),
              HasSubstr("already holds a run"));
}

}  // namespace
}  // namespace interplay::recfound_run_test
