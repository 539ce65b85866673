// A whole run: what reaches which networks, what is refused, and what a query becomes.
#include <fstream>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/base/log.h>
#include <interplay/systems/qa4prf.h>
#include <interplay/systems/relevance.h>

#include "corrupt/alter.h"
#include "prf_files.h"
#include "prf_planted.h"
#include "support/error_of.h"

namespace interplay::prf_run_test {
namespace {

using testing::bytes_of;
using ::testing::HasSubstr;

class PrfRuns : public testing::IndexedTexts {
 protected:
  static constexpr int64_t kQueries = 18;
  PrfRuns() : task_(kQueries), index_(index_of(task_.documents)) {
    log::set_level(log::Level::off);
    std::string queries;
    for (int64_t q = 0; q < kQueries; ++q) queries += fmt::format("q{}\t{}\n", q, task_.queries[size_t(q)]);
    dir_.write("queries.tsv", queries);
    write_qrels("qrels.tsv", "");
  }
  ~PrfRuns() override { log::set_level(log::Level::info); }

  void write_qrels(const std::string& name, const std::string& without) const {
    std::string text;
    for (int64_t q = 0; q < kQueries; ++q) {
      if (fmt::format("q{}", q) == without) continue;
      for (const int64_t d : task_.relevant[size_t(q)]) text += fmt::format("q{}\t{}\t1\n", q, d);
    }
    dir_.write(name, text);
  }
  PrfSummary train(const std::string& out, const std::string& more = "", const std::string& qrels = "qrels.tsv") const {
    const std::string yaml = fmt::format(
        "{{index: {0}/index, queries: {0}/queries.tsv, qrels: {0}/{1}, folds: 3, feedback: {{documents: 3}}, "
        "vector_width: 8, "
        "network: {{width: 8, hidden: 4, steps: 3, epochs: 2, batch_size: 8}}, ranker: {{epochs: 3}}{2}}}",
        dir_.path().string(), qrels, more);
    return train_qa4prf(Config::parse(yaml), {.out = dir_ / out});
  }
  /// The lines of a run, by query, without the tag.
  std::map<std::string, std::string> lines(const std::string& file) const {
    std::ifstream in(dir_ / file);
    std::map<std::string, std::string> out;
    for (std::string line; std::getline(in, line);)
      out[line.substr(0, line.find(' '))] += line.substr(0, line.rfind(' ')) + "\n";
    return out;
  }
  const testing::SynonymTask task_;
  TextIndex index_;
};

TEST_F(PrfRuns, NoQuerysJudgementsReachTheNetworksThatExpandIt) {
  train("all");
  const auto all = lines("all/qa4prf.run");
  ASSERT_EQ(all.size(), size_t(kQueries));
  for (const char* query : {"q5", "q7"}) {
    write_qrels("fewer.tsv", query);
    const std::string out = fmt::format("without-{}", query);
    const PrfSummary summary = train(out, "", "fewer.tsv");
    EXPECT_EQ(summary.judged, kQueries - 1);
    EXPECT_EQ(lines(out + "/qa4prf.run").at(query), all.at(query));
    // It did reach the others: of the three folds' networks, two are other ones.
    int64_t same = 0;
    for (int fold = 1; fold <= 3; ++fold) {
      const std::string file = fmt::format("fold-{}/model.safetensors", fold);
      same += bytes_of(dir_ / "all" / file) == bytes_of(dir_ / out / file);
    }
    EXPECT_EQ(same, 1);
  }
}

TEST_F(PrfRuns, AShareOfNothingIsTheFirstRetrieval) {
  train("run", ", betas: [0]");
  EXPECT_EQ(lines("run/qa4prf.run"), lines("run/first.run"));
  train("more", ", betas: [0.5]");
  EXPECT_NE(lines("more/qa4prf.run"), lines("more/first.run"));
}

TEST_F(PrfRuns, EachPartMayBeLeftOut) {
  std::set<std::string> runs;
  for (const char* more : {"", ", pointer: false", ", attention: false", ", lambdarank: false", ", reader: false"}) {
    const std::string out = fmt::format("run{}", runs.size());
    const PrfSummary s = train(out, fmt::format(", betas: [0.5]{}", more));
    EXPECT_GT(s.map.at("qa4prf"), 0) << more;
    EXPECT_TRUE(runs.insert(bytes_of(dir_ / out / "qa4prf.run")).second) << more << " changes nothing";
  }
  EXPECT_THAT(testing::config_error([&] { train("none", ", reader: false, lambdarank: false"); }),
              HasSubstr("nothing is left"));
}

TEST_F(PrfRuns, AQueryOfTheRunIsExpandedByItsFoldAndAnyOtherByAll) {
  train("run");
  QueryExpander expander(dir_ / "run", index_);
  const auto known = expander.expand({"another id", task_.queries[3]});
  EXPECT_TRUE(known.of_run);
  std::vector<Ranked> ranking;
  for (const auto& hit : best_documents(likelihood_scores(index_, known.query, expander.mu()), 1000))
    ranking.push_back({std::string(index_.document_id(hit.document)), hit.score});
  std::string expected = run_lines("q3", ranking, "x");
  std::string without_tags;
  for (size_t at = 0; at < expected.size(); at = expected.find('\n', at) + 1)
    without_tags += expected.substr(at, expected.find(" x\n", at) - at) + "\n";
  EXPECT_EQ(lines("run/qa4prf.run").at("q3"), without_tags);
  const auto fresh = expander.expand({"q3", "what is " + task_.synonym[3]});
  EXPECT_FALSE(fresh.of_run);
  ASSERT_FALSE(fresh.terms.empty());
  double sum = 0;
  for (const auto& t : fresh.terms) sum += t.weight;
  EXPECT_NEAR(sum, 1, 1e-9);
  EXPECT_TRUE(expander.expand({"z", "nowhere"}).query.empty());
}

TEST_F(PrfRuns, DamagedAndUnfinishedRunsAreRefused) {
  train("run");
  const auto open = [&] { QueryExpander expander(dir_ / "run", index_); };
  for (const char* file : {"fold-2/model.safetensors", "fold-1/fold.json", "queries.json", "config.yaml"}) {
    const std::string bytes = bytes_of(dir_ / "run" / file);
    testing::damage(dir_ / "run" / file, bytes.size() / 2);
    EXPECT_THAT(testing::data_error(open), HasSubstr(std::string(file).substr(0, 4))) << file;
    testing::put_bytes(dir_ / "run" / file, bytes);
  }
  open();
  std::filesystem::remove(dir_ / "run" / "manifest.json");
  EXPECT_THAT(testing::data_error(open), HasSubstr("no finished run"));
}

TEST_F(PrfRuns, WhatDoesNotFitIsNamed) {
  EXPECT_THAT(
      testing::config_error([&] { train_qa4prf(Config::parse("{index: a, queries: b}"), {.out = dir_ / "x"}); }),
      HasSubstr("qrels"));
  EXPECT_THAT(testing::config_error([&] { train("x", ", folds: 2"); }), HasSubstr("folds"));
  dir_.write("foreign.tsv", "q0\tnowhere\t1\n");
  EXPECT_THAT(testing::data_error([&] { train("y", "", "foreign.tsv"); }),
              HasSubstr("document 'nowhere' of query 'q0'"));
  for (const char* out : {"x", "y"}) EXPECT_FALSE(std::filesystem::exists(dir_ / out));
}

}  // namespace
}  // namespace interplay::prf_run_test
