#include <cmath>
#include <fstream>
#include <set>

#include <interplay/base/config.h>
#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/data/dataset.h>

#include "unit/server/served_runs.h"

namespace interplay::production_test {
namespace {

using namespace interplay::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::json;

class ProductionTest : public ServedRuns {
 protected:
  /// One row of this user, as the request `id`.
  static std::string row_of(int user, const std::string& id = "") {
    return fmt::format(R"({{"id": "{}", "rows": [{{"user_id": "{}", "item_id": "{}", "gender": "M"}}]}})", id, user,
                       1 + user % 30);
  }
  static std::string label_of(const std::string& id, int label) {
    return fmt::format(R"({{"labels": [{{"id": "{}", "row": 0, "label": {}}}]}})", id, label);
  }
};

/// The share of pairs of a positive and a negative that are in order; ties count half.
double pairs_in_order(const std::vector<float>& p, const std::vector<int>& label) {
  double right = 0, pairs = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    for (size_t j = 0; j < p.size(); ++j) {
      if (label[i] != 1 || label[j] != 0) continue;
      pairs += 1;
      right += p[i] > p[j] ? 1 : p[i] == p[j] ? .5 : 0;
    }
  }
  return right / pairs;
}

double number_behind(const std::string& page, const std::string& name) {
  const size_t at = page.find("\n" + name);
  return at == std::string::npos ? -1 : std::stod(page.substr(page.find("} ", at) + 2));
}

TEST_F(ProductionTest, ACanaryAnswersItsShareOfTheUsersAndAlwaysTheSame) {
  const TempDir at;
  served(at, {{"m/1", "one"}, {"m/2", "two"}});
  write_file(at / "m" / "serving.yaml", "{canary: 2, percent: 30, by: user_id}\n");
  Running server(at.path(), {.poll = .05});
  HttpClient client(server.port());
  int of_canary = 0;
  for (int user = 0; user < 300; ++user) {
    const Json first = client.post("/v1/score", row_of(user)).json(),
               again = client.post("/v1/score", row_of(user)).json();
    ASSERT_EQ(first, again);
    of_canary += first["version"] == "2";
  }
  EXPECT_NEAR(of_canary, 90, 4 * std::sqrt(300 * .3 * .7));
  EXPECT_EQ(client.post("/v1/score?version=canary", kRows).json()["p"].get<std::vector<float>>(),
            expected_of(*dir_ / "two"));
  EXPECT_EQ(client.post("/v1/score?version=stable", kRows).json()["p"].get<std::vector<float>>(),
            expected_of(*dir_ / "one"));
  EXPECT_EQ(client.get("/v2/models/m").json()["labels"], (Json{{"stable", "1"}, {"canary", "2"}}));

  write_file(at / "m" / "serving.yaml", "{canary: 2, percent: 100, by: user_id}\n");
  EXPECT_TRUE(within_seconds(20, [&] { return client.get("/v2/models/m").json()["canary_percent"] == 100; }));
  for (int user = 0; user < 20; ++user) EXPECT_EQ(client.post("/v1/score", row_of(user)).json()["version"], "2");
}

TEST_F(ProductionTest, AVersionCanBePinnedAndRolledBack) {
  const TempDir at;
  served(at, {{"m/1", "one"}, {"m/2", "two"}});
  write_file(at / "m" / "serving.yaml", "stable: 1\n");
  Running server(at.path(), {.poll = .05});
  HttpClient client(server.port());
  const auto version = [&] { return client.post("/v1/score", kRows).json()["version"].get<std::string>(); };
  EXPECT_EQ(version(), "1");
  write_file(at / "m" / "serving.yaml", "stable: 2\n");
  EXPECT_TRUE(within_seconds(20, [&] { return version() == "2"; }));
  write_file(at / "m" / "serving.yaml", "stable: 1\n");
  EXPECT_TRUE(within_seconds(20, [&] { return version() == "1"; }));
}

TEST_F(ProductionTest, NamesThatAreNoNumbersAreVersionsWherePolicySaysSo) {
  const TempDir at;
  served(at, {{"m/1", "one"}, {"m/backup", "two"}, {"m/7.tmp", "two"}, {"x/latest", "two"}});
  Running server(at.path(), {.poll = .05});
  HttpClient client(server.port());
  EXPECT_EQ(client.post("/v1/score", kRows).json()["version"], "1");
  EXPECT_EQ(client.get("/v2/models/x").status, 404);
  EXPECT_EQ(client.get("/v2/health/ready").status, 200);
  write_file(at / "m" / "serving.yaml", "stable: backup\n");
  EXPECT_TRUE(within_seconds(20, [&] { return client.post("/v1/score", kRows).json()["version"] == "backup"; }));
  fs::remove(at / "m" / "serving.yaml");
  EXPECT_TRUE(within_seconds(20, [&] { return client.post("/v1/score", kRows).json()["version"] == "1"; }));
  client.post("/v2/repository/models/m/unload", "{}");
  EXPECT_EQ(client.get("/v2/health/ready").status, 503) << "nothing can be asked";
}

TEST_F(ProductionTest, APolicyThatMakesNoSenseChangesNothing) {
  const TempDir at;
  served(at, {{"m/1", "one"}, {"m/2", "two"}});
  Running server(at.path(), {.poll = .05});
  HttpClient client(server.port());
  const auto problem_of = [&](const std::string& policy, const std::string& word) {
    write_file(at / "m" / "serving.yaml", policy);
    std::string problem;
    within_seconds(20, [&] {
      problem = client.get("/v2/models/m").json().value("problem", "");
      return problem.find(word) != std::string::npos;
    });
    EXPECT_EQ(client.post("/v1/score", kRows).json()["version"], "2");
    return problem;
  };
  EXPECT_THAT(problem_of("stable: 9\n", "version 9"), HasSubstr("there is no finished version 9"));
  EXPECT_THAT(problem_of("{stable: 1, shadow: 9}\n", "shadow: there"),
              HasSubstr("no finished version 9 (versions: 1, 2)"));
  EXPECT_THAT(problem_of("percent: 5\n", "percent"), HasSubstr("of the requests to a canary, which is not named"));
  EXPECT_THAT(problem_of("canary: 1\n", "go together"), HasSubstr("canary and by go together"));
  EXPECT_THAT(problem_of("{canary: 1, by: age, percent: 5}\n", "'age'"), HasSubstr("no version reads a column 'age'"));
  EXPECT_THAT(problem_of("{canry: 1}\n", "canry"), HasSubstr("canary"));
  EXPECT_THAT(problem_of("{canary: 1, by: user_id, percent: 300}\n", "300"), HasSubstr("serving.yaml"));
  EXPECT_THAT(problem_of("{", "serving.yaml:"), HasSubstr("serving.yaml"));
  write_file(at / "m" / "serving.yaml", "shadow: 1\n");
  EXPECT_TRUE(within_seconds(20, [&] { return !client.get("/v2/models/m").json().contains("problem"); }));
}

TEST_F(ProductionTest, LabelsThatArePostedJudgeTheModel) {
  Running server(*dir_ / "one");
  HttpClient client(server.port());
  std::vector<float> p;
  std::vector<int> label;
  for (int user = 0; user < 60; ++user) {
    const std::string id = fmt::format("r{}", user);
    const Json answer = client.post("/v1/score", row_of(user, id)).json();
    EXPECT_EQ(answer["id"], id);
    p.push_back(answer["p"][0]);
    label.push_back(user % 3 == 0);
    EXPECT_EQ(client.post("/v1/labels", label_of(id, label.back())).json(),
              (Json{{"taken", 1}, {"unknown", 0}, {"repeated", 0}}));
  }
  EXPECT_EQ(client.post("/v1/labels", label_of("r5", 1)).json()["repeated"], 1);
  EXPECT_EQ(client.post("/v1/labels", label_of("nobody", 1)).json()["unknown"], 1);
  EXPECT_EQ(client.post("/v1/labels", label_of("nobody", 1)).json()["repeated"], 1) << "not told to the log again";
  const std::string page = client.get("/metrics").body;
  double sum = 0;
  for (const float v : p) sum += v;
  EXPECT_EQ(number_behind(page, "interplay_labelled_rows{model=\"one\""), 60);
  EXPECT_NEAR(number_behind(page, "interplay_labelled_auc{model=\"one\""), pairs_in_order(p, label), 1e-9);
  EXPECT_NEAR(number_behind(page, "interplay_labelled_calibration{model=\"one\""), sum / 20, 1e-6);
  EXPECT_THAT(page, AllOf(HasSubstr("interplay_labels_total{outcome=\"taken\"} 60\n"),
                          HasSubstr("interplay_labels_total{outcome=\"unknown\"} 1\n"),
                          HasSubstr("interplay_labels_total{outcome=\"repeated\"} 2\n")));
}

TEST_F(ProductionTest, WhatIsNoLabelIsRefused) {
  Running server(*dir_ / "one");
  HttpClient client(server.port());
  client.post("/v1/score", row_of(1, "a"));
  Json two = Json::parse(kRows);  // of which a label says the row
  two["id"] = "b";
  ASSERT_EQ(client.post("/v1/score", two.dump()).json()["p"].size(), 2);
  for (const char* body :
       {"{}x", R"({"labels": 3})", R"({"labels": [{"row": 0, "label": 1}]})",
        R"({"labels": [{"id": "a", "row": -1, "label": 1}]})", R"({"labels": [{"id": "a", "label": 2}]})",
        R"({"labels": [{"id": "a", "click": 1}]})", R"({"labels": [{"id": "a", "row": 1, "label": 1}]})",
        R"({"labels": [{"id": "b", "label": 1}]})",
        R"({"labels": [{"id": "a", "label": 1}, {"id": "a", "click": 1}]})"}) {
    EXPECT_EQ(client.post("/v1/labels", body).status, 400) << body;
  }
  EXPECT_EQ(client.post("/v1/labels", R"({"labels": [{"id": "a", "label": 1}]})").json()["taken"], 1)
      << "a body with a mistake is taken in no part";
  EXPECT_EQ(client.post("/v1/labels", R"({"labels": [{"id": "a", "label": null}]})").json()["taken"], 0);
}

TEST_F(ProductionTest, NoMoreIsRememberedThanIsSaid) {
  Running server(*dir_ / "one", {.label_rows = 10});
  HttpClient client(server.port());
  for (int user = 0; user < 30; ++user) client.post("/v1/score", row_of(user, fmt::format("r{}", user)));
  EXPECT_EQ(client.post("/v1/labels", label_of("r19", 1)).json()["taken"], 0);
  EXPECT_EQ(client.post("/v1/labels", label_of("r20", 1)).json()["taken"], 1);
}

TEST_F(ProductionTest, AShadowScoresTheSameRowsAndLabelsCompareTheTwo) {
  const TempDir at;
  served(at, {{"m/1", "one"}, {"m/2", "two"}});
  write_file(at / "m" / "serving.yaml", "shadow: 2\n");
  Running server(at.path());
  HttpClient client(server.port());
  std::vector<float> stable, shadow;
  std::vector<int> label;
  for (int user = 0; user < 40; ++user) {
    stable.push_back(client.post("/v1/score", row_of(user, fmt::format("r{}", user))).json()["p"][0]);
    shadow.push_back(client.post("/v1/score?version=shadow", row_of(user)).json()["p"][0]);
    label.push_back(user % 2);
  }
  EXPECT_TRUE(within_seconds(20, [&] { return client.get("/v2/models/m/shadow").json()["scores"] == 40; }));
  for (int user = 0; user < 40; ++user)
    client.post("/v1/labels", label_of(fmt::format("r{}", user), label[size_t(user)]));
  const Json told = client.get("/v2/models/m/shadow").json();
  double difference = 0;
  for (size_t i = 0; i < 40; ++i) difference += std::abs(stable[i] - shadow[i]) / 40;
  EXPECT_EQ(told["stable"], "1");
  EXPECT_EQ(told["shadow"], "2");
  EXPECT_NEAR(told["mean_difference"].get<double>(), difference, 1e-6);
  const Json of = told["labels"][0];
  EXPECT_EQ(of["rows"], 40);
  const double a = pairs_in_order(stable, label), b = pairs_in_order(shadow, label);
  EXPECT_NEAR(of["stable"]["auc"].get<double>(), a, 1e-9);
  EXPECT_NEAR(of["shadow"]["auc"].get<double>(), b, 1e-9);
  EXPECT_NEAR(of["auc_difference"]["value"].get<double>(), b - a, 1e-9);
  EXPECT_LT(of["auc_difference"]["low"], of["auc_difference"]["high"]);
  EXPECT_EQ(client.get("/v2/models/m").json()["labels"]["shadow"], "2");
}

TEST_F(ProductionTest, UnknownValuesAreCountedBesideThoseOfTraining) {
  Running server(*dir_ / "one");
  HttpClient client(server.port());
  client.post("/v1/score", kRows);  // one of two items is known, one of two genders is there
  std::string page;
  EXPECT_TRUE(within_seconds(20, [&] {
    page = client.get("/metrics").body;
    return page.find("\ninterplay_values_total{") != std::string::npos;
  }));
  const std::string labels = "{model=\"one\",version=\"1\",field=";
  EXPECT_EQ(number_behind(page, "interplay_values_total" + labels + "\"item_id\"}"), 2);
  EXPECT_EQ(number_behind(page, "interplay_unknown_values_total" + labels + "\"item_id\"}"), 1);
  EXPECT_EQ(number_behind(page, "interplay_unknown_values_total" + labels + "\"gender\"}"), 1);
  EXPECT_EQ(number_behind(page, "interplay_unknown_values_trained" + labels + "\"item_id\"}"), 0);
}

std::vector<fs::path> files_of(const fs::path& folder, const std::string& prefix) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(prefix)) out.push_back(entry.path());
  }
  return out;
}

TEST_F(ProductionTest, WhatWasServedIsTrainedOnAndServed) {
  const TempDir at, models;
  served(models, {{"m/1", "one"}});
  {
    Running server(models.path(), {.log = at / "log"});
    HttpClient client(server.port());
    std::set<std::string> ids;
    for (int user = 0; user < 200; ++user) {
      const std::string id = user % 2 ? fmt::format("r{}", user) : "";
      const Json answer = client.post("/v1/score", row_of(user, id)).json();
      const std::string given = answer["id"];
      EXPECT_TRUE(ids.insert(given).second) << "each has one of its own";
      if (user < 150) client.post("/v1/labels", label_of(given, user % 30 < 15));
    }
    EXPECT_THROW(Server(models.path(), {.listen = "127.0.0.1:0", .log = at / "log"}), Error);
  }
  ASSERT_EQ(files_of(at / "log", "requests-").size(), 1u);
  ASSERT_EQ(files_of(at / "log", "labels-").size(), 1u);
  const std::string labels = files_of(at / "log", "labels-")[0].filename().string();
  prepare(Config::parse(fmt::format(R"(
format: jsonl
root: {}
files: {{train: requests-*.jsonl}}
join: [{{file: {}, key: _id}}]
label: {{column: rating, optional: true}}
filter: {{column: rating, at_least: 0}}
time: _time
fields: [{{columns: [user_id, item_id, gender]}}]
)",
                                    (at / "log").string(), labels)),
          at / "prepared", {.vocabulary_from = *dir_ / "one"});
  EXPECT_EQ(Dataset::open(at / "prepared", "train").rows(), 150);
  train_run(Config::parse(fmt::format("{{model: {{name: fm, embedding_dim: 4}}, train: {{epochs: 3}}, init: {}}}",
                                      (*dir_ / "one").string())),
            {.data = at / "prepared", .out = at / "next"});
  fs::rename(at / "next", models / "m" / "2");
  Running server(models.path());
  HttpClient client(server.port());
  const Json answer = client.post("/v1/score", kRows).json();
  EXPECT_EQ(answer["version"], "2");
  EXPECT_EQ(answer["p"].get<std::vector<float>>(), expected_of(models / "m" / "2"));
}

TEST_F(ProductionTest, ListsAreLoggedAsLists) {
  const TempDir at;
  {
    Running server(*dir_ / "din", {.log = at / "log"});
    HttpClient client(server.port());
    for (const char* past : {R"([5, "9", 7])", R"("5^9")", "[]", "null", R"("8")"}) {
      const auto answer = client.post(
          "/v1/score", fmt::format(R"({{"rows": [{{"user_id": 3, "item_id": 7, "gender": "M", "past": {}}}]}})", past));
      ASSERT_EQ(answer.status, 200) << answer.body;
    }
  }
  std::istringstream lines(read_file(files_of(at / "log", "requests-").at(0)));
  std::vector<Json> pasts;
  for (std::string line; std::getline(lines, line);) pasts.push_back(Json::parse(line)["past"]);
  EXPECT_THAT(pasts, ::testing::ElementsAre(Json{"5", "9", "7"}, Json{"5", "9"}, Json::array(), Json::array(),
                                            Json::array({"8"})));
}

TEST_F(ProductionTest, WhatAKilledServerLeftIsKeptAsFarAsItIsWhole) {
  const TempDir at;
  fs::create_directories(at / "log");
  at.write("log/.requests-20260101T000000-0.jsonl.partial", "{\"_id\":\"a#0\"}\n{\"_id\":\"b");
  Running server(*dir_ / "one", {.log = at / "log"});
  EXPECT_EQ(read_file(at / "log" / "requests-20260101T000000-0.jsonl"), "{\"_id\":\"a#0\"}\n");
}

}  // namespace
}  // namespace interplay::production_test
