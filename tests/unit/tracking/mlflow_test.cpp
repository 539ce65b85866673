// The tracker `mlflow` before a server that is well, away, slow, faulty, or of another mind.
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/train/run.h>
#include <interplay/train/tracker.h>

#include "server/http_server.h"
#include "support/error_of.h"
#include "support/temp_dir.h"
#include "tracking/http_client.h"
#include "tracking/mlflow_client.h"

namespace interplay::mlflow_test {
namespace {

using Json = nlohmann::json;
using server::HttpRequest;
using server::HttpResponse;
using testing::config_error;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::Not;
using tracking::HttpUrl;

struct Call {
  std::string name;  // behind /api/2.0/mlflow/
  Json body;
};

/// Answers as a server without experiments does; `before` may answer in its place. One request at a time.
class FakeMlflow {
 public:
  using Before = std::function<std::optional<HttpResponse>(const std::string& call)>;
  explicit FakeMlflow(Before before = nullptr)
      : before_(std::move(before)),
        server_("127.0.0.1:0", 1, {},
                {.lane = [](const HttpRequest&) { return server::Lane::score; },
                 .answer = [this](HttpRequest& request) { return answer(request); }}),
        thread_([this] { server_.run(); }) {}
  ~FakeMlflow() {
    server_.stop();
    thread_.join();
  }

  std::string url() const { return fmt::format("http://127.0.0.1:{}", server_.port()); }
  std::vector<Call> calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& call : calls()) out.push_back(call.name);
    return out;
  }
  /// What was logged by this name: step and value.
  std::vector<std::pair<int64_t, double>> metric(const std::string& key) const {
    std::vector<std::pair<int64_t, double>> out;
    for (const auto& call : calls()) {
      for (const auto& m : call.body.value("metrics", Json::array())) {
        if (m["key"] == key) out.emplace_back(m["step"], m["value"]);
      }
    }
    return out;
  }

 private:
  HttpResponse answer(const HttpRequest& request) {
    const std::string name = request.target.substr(std::string("/api/2.0/mlflow/").size());
    if (before_) {
      if (auto other = before_(name)) return std::move(*other);
    }
    const std::lock_guard lock(mutex_);
    calls_.push_back({name, request.body.empty() ? Json::object() : Json::parse(request.body)});
    if (name.starts_with("experiments/get-by-name"))
      return {.status = 404, .body = R"({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"})", .headers = {}};
    if (name == "experiments/create") return {.body = R"({"experiment_id": "7"})", .headers = {}};
    if (name == "runs/create") return {.body = R"({"run": {"info": {"run_id": "r1"}}})", .headers = {}};
    return {.body = "{}", .headers = {}};
  }

  const Before before_;
  mutable std::mutex mutex_;
  std::vector<Call> calls_;
  server::HttpServer server_;
  std::thread thread_;
};

EpochReport at_step(int64_t step) {
  EpochReport out;
  out.step = step, out.train_loss = 1. / double(step);
  out.metrics = {{.name = "ndcg@10", .value = .5}};
  return out;
}

class MlflowTracker : public ::testing::Test {
 protected:
  MlflowTracker() {
    log::set_level(log::Level::off);
    log_.emplace(dir_ / "train.log");
  }
  ~MlflowTracker() override {
    log_.reset();
    log::set_level(log::Level::info);
  }

  static Tracking tracking(const std::string& url, double timeout = 10) {
    return Tracking(
        Config::parse(fmt::format("{{mlflow: {{url: '{}', experiment: 'a b', timeout_seconds: {}}}}}", url, timeout)));
  }
  TrackedRun run(bool resumed = false, std::vector<EpochReport> records = {}) const {
    return {.directory = dir_.path(),
            .config = Config::parse("{model: {name: lr}, train: {metrics: [auc, logloss]}, seed: 3, init: ~}"),
            .resumed = resumed,
            .step = records.empty() ? 0 : records.back().step,
            .records = records};
  }
  std::vector<std::string> warnings() const {
    std::vector<std::string> out;
    std::istringstream lines(read_file(dir_ / "train.log"));
    for (std::string line; std::getline(lines, line);) out.push_back(line);
    return out;
  }

  const testing::TempDir dir_;
  std::optional<log::File> log_;
};

TEST_F(MlflowTracker, MakesExperimentAndRunAndLogsParamsMetricsAndTheEnd) {
  const FakeMlflow server;
  Tracking told = tracking(server.url() + "/");
  told.begin(run());
  told.record(at_step(10));
  told.record(at_step(20));
  RunSummary summary;
  summary.test = {{.name = "auc", .value = .75}};
  told.end(RunEnd::finished, &summary);
  const auto calls = server.calls();
  ASSERT_GE(calls.size(), 6u);
  EXPECT_EQ(calls[0].name, "experiments/get-by-name?experiment_name=a%20b");
  EXPECT_EQ(calls[1].body, Json({{"name", "a b"}}));
  EXPECT_EQ(calls[2].name, "runs/create");
  EXPECT_EQ(calls[2].body["experiment_id"], "7");
  EXPECT_EQ(calls[2].body["run_name"], dir_.path().filename().string());
  EXPECT_EQ(calls[3].name, "runs/log-batch");
  EXPECT_EQ(calls[3].body["params"], Json::parse(R"([{"key": "model.name", "value": "lr"},
      {"key": "train.metrics", "value": "[auc, logloss]"}, {"key": "seed", "value": "3"}])"));
  EXPECT_THAT(server.metric("train/loss"), ElementsAre(std::pair(10, .1), std::pair(20, .05)));
  EXPECT_THAT(server.metric("valid/ndcg_10"), ElementsAre(std::pair(10, .5), std::pair(20, .5)));
  EXPECT_THAT(server.metric("best/test/auc"), ElementsAre(std::pair(20, .75)));
  EXPECT_EQ(calls.back().name, "runs/update");
  EXPECT_EQ(calls.back().body["status"], "FINISHED");
  EXPECT_EQ(calls.back().body["run_id"], "r1");
  EXPECT_THAT(warnings(), ElementsAre());
}

TEST_F(MlflowTracker, GoesOnWithTheSameRun) {
  const FakeMlflow server;
  {
    Tracking told = tracking(server.url());
    told.begin(run());
    told.record(at_step(10));
    told.end(RunEnd::interrupted);
  }
  const size_t before = server.calls().size();
  EXPECT_EQ(server.calls().back().body["status"], "KILLED");
  Tracking told = tracking(server.url());
  told.begin(run(true, {at_step(10)}));
  told.record(at_step(20));
  told.end(RunEnd::failed);
  const auto calls = server.calls();
  ASSERT_GT(calls.size(), before);
  EXPECT_EQ(calls[before].body, Json({{"run_id", "r1"}, {"status", "RUNNING"}}));
  EXPECT_EQ(calls.back().body["status"], "FAILED");
  EXPECT_THAT(server.metric("train/loss"), ElementsAre(std::pair(10, .1), std::pair(20, .05)));
  EXPECT_THAT(std::vector(calls.begin() + std::ptrdiff_t(before), calls.end()),
              Each(::testing::Field(&Call::name, Not(HasSubstr("create")))));
}

TEST_F(MlflowTracker, TellsAnotherServerWhatWasMeasuredBefore) {
  dir_.write(".mlflow.json", R"({"url": "http://elsewhere", "experiment": "a b", "run_id": "r0"})");
  const FakeMlflow server;
  Tracking told = tracking(server.url());
  told.begin(run(true, {at_step(10)}));
  told.end(RunEnd::finished);
  EXPECT_THAT(server.metric("train/loss"), ElementsAre(std::pair(10, .1)));
  EXPECT_THAT(read_file(dir_ / ".mlflow.json"), HasSubstr("\"r1\""));
}

TEST_F(MlflowTracker, SendsOnceWhatAFaultyServerDidNotTake) {
  int requests = 0;
  const FakeMlflow server([&](const std::string&) -> std::optional<HttpResponse> {
    if (++requests != 5) return {};  // the metrics, behind the params
    return HttpResponse{.status = 500, .body = "<html>a fault</html>", .headers = {}};
  });
  Tracking told = tracking(server.url());
  told.begin(run());
  told.record(at_step(10));
  for (int i = 0; i < 200 && server.metric("train/loss").empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  told.end(RunEnd::finished);
  EXPECT_THAT(server.metric("train/loss"), ElementsAre(std::pair(10, .1)));
  EXPECT_THAT(server.names(), ElementsAre(HasSubstr("get-by-name"), "experiments/create", "runs/create",
                                          "runs/log-batch", "runs/log-batch", "runs/update"));
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("runs/log-batch was answered with status 500: <html>a fault</html>")));
}

TEST_F(MlflowTracker, WaitsForNoServerThatIsSlow) {
  std::mutex mutex;
  std::condition_variable woken;
  bool open = false;
  const FakeMlflow server([&](const std::string&) -> std::optional<HttpResponse> {
    std::unique_lock lock(mutex);
    woken.wait(lock, [&] { return open; });
    return {};
  });
  Tracking told = tracking(server.url(), 60);
  told.begin(run());
  for (int64_t step = 1; step <= 1500; ++step) told.record(at_step(step));
  EXPECT_THAT(server.calls(), ElementsAre());  // all were taken, and nothing was answered yet
  {
    const std::lock_guard lock(mutex);
    open = true;
  }
  woken.notify_all();
  told.end(RunEnd::finished);
  EXPECT_EQ(server.metric("train/loss").size(), 1500u);
  std::vector<size_t> sizes;
  for (const auto& call : server.calls()) sizes.push_back(call.body.value("metrics", Json::array()).size());
  EXPECT_THAT(sizes, Each(Le(1000u)));
}

TEST_F(MlflowTracker, GivesUpAtTheEndWhatAServerThatIsAwayDidNotTake) {
  std::string url;
  {
    const FakeMlflow gone;
    url = gone.url();
  }
  Tracking told = tracking(url, .5);
  told.begin(run());
  for (int64_t step = 1; step <= 3; ++step) told.record(at_step(step));
  told.end(RunEnd::finished);
  // four values a record: loss, rate, speed, metric
  EXPECT_THAT(warnings(),
              ElementsAre(HasSubstr("cannot connect to 127.0.0.1"),
                          HasSubstr("12 values of this run are not recorded there, nor how it ended (cannot connect")));
}

TEST_F(MlflowTracker, SaysOnceThatItIsRefused) {
  const FakeMlflow server([](const std::string& call) -> std::optional<HttpResponse> {
    if (call != "runs/create") return {};
    return HttpResponse{.status = 400, .body = R"({"error_code": "BAD", "message": "no more runs"})", .headers = {}};
  });
  Tracking told = tracking(server.url());
  told.begin(run());
  told.record(at_step(1));
  told.end(RunEnd::finished);
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("runs/create was answered with status 400: no more runs; training goes "
                                                "on, unrecorded there"),
                                      HasSubstr("4 values of this run are not recorded")));
}

TEST_F(MlflowTracker, RefusesAFileThatNamesNoRun) {
  dir_.write(".mlflow.json", "{\"url\": 3");
  Tracking told = tracking("http://127.0.0.1:1");
  EXPECT_THAT(testing::data_error([&] { told.begin(run(true)); }), HasSubstr(".mlflow.json: does not say which run"));
}

TEST(MlflowOptions, AreAnAddressOrAMap) {
  const auto resolved = [](const char* yaml) { return resolve_tracking(Config::parse(yaml))["mlflow"]; };
  EXPECT_EQ(resolved("{mlflow: 'http://host:5000'}")["url"].as<std::string>(), "http://host:5000");
  EXPECT_EQ(resolved("{mlflow: 'http://host:5000'}")["experiment"].as<std::string>(), "interplay");
  EXPECT_THAT(config_error([&] { resolved("{mlflow: {}}"); }), HasSubstr("mlflow has no url"));
  EXPECT_THAT(config_error([&] { resolved("{mlflow: 'https://host'}"); }), HasSubstr("https is not spoken"));
}

TEST(HttpUrl, IsHostPortAndPath) {
  const auto parts = [](const char* text) {
    const HttpUrl url = HttpUrl::parse(text);
    return fmt::format("{} {} {}", url.host, url.port, url.path);
  };
  EXPECT_EQ(parts("http://localhost:5000/"), "localhost 5000 ");
  EXPECT_EQ(parts("http://host/a/b/"), "host 80 /a/b");
  EXPECT_EQ(parts("http://[::1]:5000"), "::1 5000 ");
  EXPECT_EQ(parts("http://[::1]"), "::1 80 ");
  for (const char* bad : {"", "localhost:5000", "ftp://host", "https://host", "http://", "http://:80",
                          "http://host:", "http://host:70000", "http://host:5x", "http://me:secret@host",
                          "http://host/?q", "http://a b"}) {
    EXPECT_THROW(HttpUrl::parse(bad), Error) << bad;
  }
}

TEST(MlflowName, HasWhatEveryServerTakes) {
  EXPECT_EQ(tracking::mlflow_name("valid/auc:like"), "valid/auc_like");
  EXPECT_EQ(tracking::mlflow_name("a-b_c.d e/F9"), "a-b_c.d e/F9");
  EXPECT_EQ(tracking::mlflow_name(std::string(300, 'x')).size(), 250u);
}

}  // namespace
}  // namespace interplay::mlflow_test
