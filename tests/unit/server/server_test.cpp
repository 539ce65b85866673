#include <atomic>
#include <cstring>
#include <fstream>

#include <interplay/base/error.h>

#include "unit/server/served_runs.h"

namespace interplay::server_test {
namespace {

using namespace interplay::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

class ServerTest : public ServedRuns {};

TEST_F(ServerTest, RowsGetTheProbabilitiesOfTheScorer) {
  Running server(*dir_ / "one");
  HttpClient client(server.port());
  const HttpAnswer answer = client.post("/v1/score", kRows);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["p"].get<std::vector<float>>(), expected_of(*dir_ / "one"));
  EXPECT_EQ(answer.json()["model"], "one");
  EXPECT_EQ(answer.json()["version"], "1");
}

TEST_F(ServerTest, AUserWithCandidatesIsThatManyRows) {
  Running server(*dir_ / "one");
  HttpClient client(server.port());
  const auto ranked = client.post("/v1/score", R"({"user": {"user_id": "3", "gender": "M"},
                                                   "candidates": [{"item_id": 7}, {"item_id": 8}]})");
  const auto rows = client.post("/v1/score", R"({"rows": [{"user_id": "3", "gender": "M", "item_id": 7},
                                                          {"user_id": "3", "gender": "M", "item_id": 8}]})");
  ASSERT_EQ(ranked.status, 200) << ranked.body;
  const auto a = ranked.json()["p"].get<std::vector<float>>(), b = rows.json()["p"].get<std::vector<float>>();
  ASSERT_EQ(a.size(), 2u);
  for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(a[i], b[i], 1e-6);
}

TEST_F(ServerTest, HistoriesAreLists) {
  Running server(*dir_ / "din");
  HttpClient client(server.port());
  const auto list =
      client.post("/v1/score", R"({"rows": [{"user_id": 3, "item_id": 7, "gender": "M", "past": [5, "9", 7]}]})");
  ASSERT_EQ(list.status, 200) << list.body;
  const auto expected =
      Scorer::load(*dir_ / "din").score({{{"user_id", "3"}, {"item_id", "7"}, {"gender", "M"}, {"past", "5^9^7"}}});
  EXPECT_NEAR(list.json()["p"][0].get<float>(), expected[0], 1e-6);
}

TEST_F(ServerTest, WholeNumbersMayBeWrittenWithAPoint) {
  Running server(*dir_ / "din");
  HttpClient client(server.port());
  const auto of = [&](const std::string& cells) {
    return client.post("/v1/score", "{\"rows\": [{" + cells + ", \"gender\": \"M\"}]}").json()["p"];
  };
  const auto whole = of(R"("user_id": 3, "item_id": 7, "past": [5, 9, 7])");
  EXPECT_EQ(of(R"("user_id": 3.0, "item_id": 0.7e1, "past": [5.0, 9.00, "7"])"), whole);
  EXPECT_NE(of(R"("user_id": "3.0", "item_id": 7, "past": [5, 9, 7])"), whole) << "text is as it is written";
  EXPECT_EQ(of(R"("user_id": 3.5, "item_id": 7, "past": [])"), of(R"("user_id": "3.5", "item_id": 7, "past": [])"));
}

TEST_F(ServerTest, ProtocolV2GivesTheSameInJsonAndInBytes) {
  Running server(*dir_ / "one");
  HttpClient client(server.port());
  const std::string inputs = R"("inputs": [{"name": "user_id", "shape": [2], "datatype": "BYTES", "data": ["3", "9"]},
      {"name": "item_id", "shape": [2, 1], "datatype": "BYTES", "data": ["7", "nobody"]},
      {"name": "gender", "shape": [2], "datatype": "BYTES", "data": ["M", ""]}])";
  const auto plain = client.post("/v2/models/one/infer", "{\"id\": \"a7\", " + inputs + "}");
  ASSERT_EQ(plain.status, 200) << plain.body;
  const Json output = plain.json()["outputs"][0];
  EXPECT_EQ(plain.json()["id"], "a7");
  EXPECT_EQ(plain.json()["model_version"], "1");
  EXPECT_EQ(output["name"], "p");
  EXPECT_EQ(output["datatype"], "FP32");
  EXPECT_THAT(output["shape"], ElementsAre(2));
  const auto expected = expected_of(*dir_ / "one");
  EXPECT_EQ(output["data"].get<std::vector<float>>(), expected);

  const auto binary =
      client.post("/v2/models/one/versions/1/infer", "{" + inputs + R"(, "parameters": {"binary_data_output": true}})");
  ASSERT_EQ(binary.status, 200) << binary.body;
  const size_t head = std::stoul(binary.headers.at("Inference-Header-Content-Length"));
  ASSERT_EQ(binary.body.size(), head + 8);
  std::vector<float> p(2);
  std::memcpy(p.data(), binary.body.data() + head, 8);
  EXPECT_EQ(p, expected);
}

TEST_F(ServerTest, SaysWhatItServes) {
  const TempDir at;
  Running server(served(at, {{"b/3", "one"}, {"b/12", "two"}, {"a", "din"}}));
  HttpClient client(server.port());
  EXPECT_EQ(client.get("/v2").json()["name"], "interplay");
  EXPECT_EQ(client.get("/v2/health/live").status, 200);
  EXPECT_EQ(client.get("/v2/health/ready").status, 200);
  const Json b = client.get("/v2/models/b").json();
  EXPECT_THAT(b["versions"], ElementsAre("12"));
  EXPECT_EQ(b["inputs"].size(), 3u);
  EXPECT_EQ(b["outputs"][0]["name"], "p");
  EXPECT_EQ(client.get("/v2/models/a/versions/1/ready").status, 200);
  EXPECT_EQ(client.get("/v2/models/c").status, 404);
  EXPECT_EQ(client.get("/v2/models/b/versions/3").status, 404);
  EXPECT_EQ(client.post("/v2/models/b", "").status, 405);
  EXPECT_EQ(client.get("/v3").status, 404);
  const auto unnamed = client.post("/v1/score", kRows);
  EXPECT_EQ(unnamed.status, 400);
  EXPECT_THAT(unnamed.body, HasSubstr("2 models are served"));
  const auto named = client.post("/v1/score?model=b", kRows);
  ASSERT_EQ(named.status, 200) << named.body;
  EXPECT_EQ(named.json()["p"].get<std::vector<float>>(), expected_of(*dir_ / "two"));
}

TEST_F(ServerTest, CellsThatTheEncoderRefusesAreTheClientsMistake) {
  Running server(*dir_ / "one");
  HttpClient client(server.port());
  EXPECT_EQ(client.post("/v1/score", R"({"rows": [{"user_id": "3"}]})").status, 400);
  EXPECT_EQ(client.post("/v1/score", "rows").status, 400);
  EXPECT_EQ(client.post("/v1/score", kRows, {{"Content-Encoding", "gzip"}}).status, 415);
  EXPECT_THAT(client.get("/metrics").body,
              HasSubstr("interplay_requests_total{model=\"one\",version=\"1\",outcome=\"refused\"} 2\n"));
}

TEST_F(ServerTest, CountsWhatItWasAsked) {
  Running server(*dir_ / "one");
  HttpClient client(server.port());
  for (int i = 0; i < 3; ++i) client.post("/v1/score", kRows);
  const std::string page = client.get("/metrics").body;
  const std::string labels = "{model=\"one\",version=\"1\"";
  EXPECT_THAT(page, HasSubstr("interplay_requests_total" + labels + ",outcome=\"answered\"} 3\n"));
  EXPECT_THAT(page, HasSubstr("interplay_rows_total" + labels + "} 6\n"));
  EXPECT_THAT(page, HasSubstr("interplay_request_seconds_count" + labels + "} 3\n"));
  EXPECT_THAT(page, HasSubstr("interplay_request_seconds_bucket" + labels + ",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(page, HasSubstr("interplay_missing_cells_total" + labels + ",column=\"gender\"} 3\n"));
  EXPECT_THAT(page, HasSubstr("interplay_score_count" + labels + "} 6\n"));
  const Json stats = client.get("/v2/models/one/stats").json()["model_stats"][0];
  EXPECT_EQ(stats["inference_stats"]["success"]["count"], 3);
  EXPECT_EQ(stats["inference_count"], 6);
}

TEST_F(ServerTest, ANewVersionTakesOverWithoutAFailedRequest) {
  const TempDir at;
  Running server(served(at, {{"m/1", "one"}}), {.poll = .05});
  std::atomic<bool> end = false;
  std::atomic<int> answered = 0, failed = 0;
  std::thread load([&] {
    HttpClient client(server.port());
    while (!end) (client.post("/v1/score", kRows).status == 200 ? answered : failed)++;
  });
  HttpClient client(server.port());
  put(at / "m" / "2", "two");
  const bool swapped = within_seconds(20, [&] { return client.post("/v1/score", kRows).json()["version"] == "2"; });
  const int before = answered;
  within_seconds(20, [&] { return answered > before + 10; });
  end = true;
  load.join();
  EXPECT_TRUE(swapped);
  EXPECT_GT(answered, 0);
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(client.post("/v1/score", kRows).json()["p"].get<std::vector<float>>(), expected_of(*dir_ / "two"));
  EXPECT_THAT(client.get("/metrics").body, HasSubstr("interplay_version_swaps_total 1\n"));
}

TEST_F(ServerTest, AVersionThatCannotBeLoadedLeavesTheOneBefore) {
  const TempDir at;
  Running server(served(at, {{"m/1", "one"}}), {.poll = .05});
  const fs::path aside = at / "m" / ".2";
  fs::copy(*dir_ / "two", aside, fs::copy_options::recursive);
  fs::resize_file(aside / "model.safetensors", 100);
  fs::rename(aside, at / "m" / "2");
  HttpClient client(server.port());
  EXPECT_TRUE(within_seconds(20, [&] { return client.get("/v2/models/m").json().contains("problem"); }));
  EXPECT_THAT(client.get("/v2/models/m").body, HasSubstr("version 2: "));
  EXPECT_EQ(client.post("/v1/score", kRows).json()["version"], "1");
  EXPECT_THAT(client.get("/metrics").body, HasSubstr("interplay_version_failures_total 1\n"));
  EXPECT_EQ(client.get("/v2/health/ready").status, 200);
  fs::remove_all(at / "m" / "2");
  put(at / "m" / "3", "two");
  EXPECT_TRUE(within_seconds(20, [&] { return client.post("/v1/score", kRows).json()["version"] == "3"; }));
  EXPECT_FALSE(client.get("/v2/models/m").json().contains("problem"));
}

/// One bit of the last table: nothing but the checksum tells.
void damage(const fs::path& weights) {
  std::fstream file(weights, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-5, std::ios::end);
  const int byte = file.get();
  file.seekp(-5, std::ios::end);
  file.put(char(byte ^ 1));
}

TEST_F(ServerTest, ADamagedVersionIsTakenAwayOnceItWasRead) {
  const TempDir at;
  served(at, {{"m/1", "one"}, {"m/2", "two"}});
  damage(at / "m" / "2" / "model.safetensors");
  Running server(at.path(), {.poll = 0});
  HttpClient client(server.port());
  EXPECT_TRUE(within_seconds(20, [&] { return client.post("/v1/score", kRows).json()["version"] == "1"; }));
  EXPECT_THAT(client.get("/v2/models/m").json()["problem"].get<std::string>(), HasSubstr("its checksum differs"));
  EXPECT_EQ(client.post("/v1/score", kRows).json()["p"].get<std::vector<float>>(), expected_of(*dir_ / "one"));
  EXPECT_THAT(client.get("/metrics").body, HasSubstr("interplay_version_failures_total 1\n"));
}

TEST_F(ServerTest, OfADamagedModelAloneNothingIsServed) {
  const TempDir at;
  served(at, {{"m/1", "one"}});
  damage(at / "m" / "1" / "model.safetensors");
  Running server(at.path(), {.poll = 0});
  HttpClient client(server.port());
  EXPECT_TRUE(within_seconds(20, [&] { return client.post("/v1/score", kRows).status == 503; }));
  EXPECT_EQ(client.get("/v2/health/ready").status, 503);
}

TEST_F(ServerTest, ADamagedVersionNeverTakesAnothersPlace) {
  const TempDir at;
  Running server(served(at, {{"m/1", "one"}}), {.poll = .05});
  const fs::path aside = at / "m" / ".2";
  fs::copy(*dir_ / "two", aside, fs::copy_options::recursive);
  damage(aside / "model.safetensors");
  fs::rename(aside, at / "m" / "2");
  HttpClient client(server.port());
  EXPECT_TRUE(within_seconds(20, [&] { return client.get("/v2/models/m").json().contains("problem"); }));
  EXPECT_THAT(client.get("/metrics").body, HasSubstr("interplay_version_swaps_total 0\n"));
  EXPECT_EQ(client.post("/v1/score", kRows).json()["version"], "1");
}

TEST_F(ServerTest, ModelsAreUnloadedAndLoadedWhenToldTo) {
  const TempDir at;
  Running server(served(at, {{"a", "one"}, {"b", "two"}}), {.poll = 0});
  HttpClient client(server.port());
  EXPECT_EQ(client.post("/v2/repository/models/a/unload", "").status, 200);
  EXPECT_EQ(client.post("/v1/score?model=a", kRows).status, 503);
  EXPECT_EQ(client.post("/v1/score?model=b", kRows).status, 200);
  const Json index = client.post("/v2/repository/index", "").json();
  ASSERT_EQ(index.size(), 2u);
  EXPECT_EQ(index[0]["state"], "UNAVAILABLE");
  EXPECT_EQ(index[1]["state"], "READY");
  EXPECT_EQ(client.post("/v2/repository/models/a/load", "{}").status, 200);
  EXPECT_EQ(client.post("/v1/score?model=a", kRows).status, 200);
  EXPECT_EQ(client.post("/v2/repository/models/zzz/load", "{}").status, 400);
}

TEST_F(ServerTest, ADirectoryWithoutARunIsRefused) {
  const TempDir at;
  EXPECT_THROW(Server(at.path(), {.listen = "127.0.0.1:0"}), Error);
  EXPECT_THROW(Server(at / "absent", {.listen = "127.0.0.1:0"}), Error);
}

}  // namespace
}  // namespace interplay::server_test
