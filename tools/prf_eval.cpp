// interplay prf eval RUN.. --qrels F: how good rankings are, and whether they differ.
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/systems/relevance.h>

#include "command.h"

namespace interplay::tool::prf_eval_command {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::vector<std::string> runs;
  std::string qrels, grades, per_query;
  int64_t draws = 100000, seed = 1;
  bool json = false;
};

/// A run's values, in the order of the judged queries.
struct Judged {
  std::string name;
  int64_t missing = 0;  // queries that it has no documents for: they count as 0
  std::vector<double> ap, p10, ndcg20, recall;
  PairedComparison against;  // the first run
};

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / double(values.size());
}

Judged judge_run(const std::string& file, const Qrels& qrels) {
  Judged out{file, 0, {}, {}, {}, {}, {}};
  const TrecRun run = load_run(file);
  for (const auto& [query, relevant] : qrels.all()) {
    const auto found = run.find(query);
    out.missing += found == run.end();
    const QueryQuality q = found == run.end() ? QueryQuality() : judge(found->second, relevant);
    out.ap.push_back(q.average_precision), out.p10.push_back(q.precision_10);
    out.ndcg20.push_back(q.ndcg_20), out.recall.push_back(q.recall);
  }
  INTERPLAY_CHECK_DATA(out.missing < int64_t(qrels.all().size()), "{}: has none of the {} judged queries", file,
                       qrels.all().size());
  return out;
}

Json json_of(const Judged& r, bool first) {
  Json out{{"run", r.name},
           {"map", mean(r.ap)},
           {"p@10", mean(r.p10)},
           {"ndcg@20", mean(r.ndcg20)},
           {"recall@1000", mean(r.recall)},
           {"missing", r.missing}};
  if (first) return out;
  out["difference"] = r.against.difference, out["better"] = r.against.better, out["worse"] = r.against.worse;
  out["robustness"] = r.against.robustness(), out["p_value"] = r.against.p_value;
  return out;
}

void print(const std::vector<Judged>& runs) {
  std::vector<std::vector<std::string>> rows{{"run", "MAP", "P@10", "NDCG@20", "recall@1000"}};
  const bool several = runs.size() > 1;
  if (several) rows[0].insert(rows[0].end(), {"difference", "better", "worse", "robustness", "p"});
  for (const auto& r : runs) {
    auto& row = rows.emplace_back();
    row.push_back(r.name);
    for (const auto* values : {&r.ap, &r.p10, &r.ndcg20, &r.recall})
      row.push_back(fmt::format("{:.4f}", mean(*values)));
    if (!several) continue;
    if (&r == &runs.front()) {
      row.insert(row.end(), 5, "-");
      continue;
    }
    row.push_back(fmt::format("{:+.4f}", r.against.difference));
    row.push_back(std::to_string(r.against.better)), row.push_back(std::to_string(r.against.worse));
    row.push_back(fmt::format("{:+.3f}", r.against.robustness())),
        row.push_back(fmt::format("{:.4f}", r.against.p_value));
  }
  fmt::print("{}", table(rows));
  if (several) fmt::print("differences of MAP are to the first run, p of the paired randomisation test over queries\n");
  for (const auto& r : runs) {
    if (r.missing > 0)
      fmt::print("{}: no documents for {} of the judged queries, which count as 0\n", r.name, r.missing);
  }
}

void write_per_query(const std::string& file, const Qrels& qrels, const std::vector<Judged>& runs) {
  std::string text = "query\trun\tap\tp@10\tndcg@20\trecall@1000\n";
  for (const auto& r : runs) {
    size_t i = 0;
    for (const auto& [query, relevant] : qrels.all()) {
      text += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", query, r.name, r.ap[i], r.p10[i], r.ndcg20[i], r.recall[i]);
      ++i;
    }
  }
  write_file(file, text);
}

void run(const Arguments& a) {
  const Qrels qrels = Qrels::load(a.qrels, parse_grades(a.grades));
  INTERPLAY_CHECK_DATA(!qrels.all().empty(), "{}: no document is relevant{}", a.qrels,
                       a.grades.empty() ? "; a grade above 0 is, unless --grades says otherwise"
                                        : fmt::format(" by --grades {}", a.grades));
  std::vector<Judged> runs;
  for (const auto& file : a.runs) {
    runs.push_back(judge_run(file, qrels));
    if (runs.size() > 1)
      runs.back().against = compare_pairs(runs.back().ap, runs.front().ap, a.draws, uint64_t(a.seed));
  }
  if (!a.per_query.empty()) write_per_query(a.per_query, qrels, runs);
  if (!a.json) {
    fmt::print("{} queries with relevant documents in {}\n", qrels.all().size(), a.qrels);
    return print(runs);
  }
  Json out{{"qrels", a.qrels}, {"queries", qrels.all().size()}, {"runs", Json::array()}};
  for (const auto& r : runs) out["runs"].push_back(json_of(r, &r == &runs.front()));
  fmt::print("{}\n", out.dump(1));
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("RUNS", a->runs, "run files; the others are compared with the first")->required();
  app.add_option("--qrels", a->qrels, "judgements: query, document, grade, or TREC's four columns")->required();
  app.add_option(
      "--grades", a->grades,
      "level of relevance of each grade, as --grades=-1=4,1=4,2=3: those that are not named are not relevant; "
      "by default a grade above 0 is its level. NDCG gains 2^level - 1");
  app.add_option("--draws", a->draws, "of the paired randomisation test")->check(at_least(1))->capture_default_str();
  app.add_option("--seed", a->seed, "of these")->check(at_least(0))->capture_default_str();
  app.add_option("--per-query", a->per_query, "file for the values of each query, separated by tabs");
  app.add_flag("--json", a->json, "for machines");
  return [a] { run(*a); };
}

const AddCommand command("prf eval", "MAP, P@10, NDCG@20, recall of runs, and whether they differ", add);

}  // namespace
}  // namespace interplay::tool::prf_eval_command
