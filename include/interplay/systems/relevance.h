#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <interplay/base/api.h>

/// How good rankings are: relevance judgements, runs, and what is measured of them.
namespace interplay {

/// By grade as a file of judgements has it: how relevant a document is. Grades that are not named are not relevant.
/// Empty: a grade above 0 is its own level.
using GradeLevels = std::map<int64_t, int64_t>;
/// `1=4,2=3`, or empty. Throws Error(config) for anything else, and for levels outside of 0 to 30.
INTERPLAY_API GradeLevels parse_grades(const std::string& text);

/// Levels of the relevant documents of each query; documents of level 0 are left out.
class INTERPLAY_API Qrels {
 public:
  using Levels = std::map<std::string, int64_t>;  ///< by document
  Qrels() = default;
  /// Lines of query, document, grade, or of query, iteration, document, grade, as TREC's, between tabs or spaces;
  /// packed or not. Throws Error(data) naming the place of any other line and of a pair that comes twice with different
  /// grades.
  static Qrels load(const std::filesystem::path& file, const GradeLevels& levels = {});

  const Levels* find(const std::string& query) const;                     ///< nullptr: nothing is relevant
  const std::map<std::string, Levels>& all() const { return by_query_; }  ///< queries for which something is
  void erase(const std::string& query) { by_query_.erase(query); }

 private:
  std::map<std::string, Levels> by_query_;
};

/// A ranking a query, as TREC's run files have them: query, Q0, document, rank, score, tag.
struct Ranked {
  std::string document;
  double score;
};
using TrecRun = std::map<std::string, std::vector<Ranked>>;
/// The rank decides the order, whatever the scores. Throws Error(data) naming the place of what is no such line, and of
/// a rank or document that a query has twice.
INTERPLAY_API TrecRun load_run(const std::filesystem::path& file);
/// Lines of one query, ranks from 1.
INTERPLAY_API std::string run_lines(const std::string& query, std::span<const Ranked> ranking, const std::string& tag);

/// Of one query; L relevant documents.
struct QueryQuality {
  double average_precision = 0;  ///< of the whole ranking
  double precision_10 = 0;       ///< relevant ones of the first 10, by 10
  double ndcg_20 = 0;            ///< gain 2^level - 1, discount log2(1 + rank), by that of the best order
  double recall = 0;             ///< relevant ones of the first 1000, by L
};
/// `relevant`: not empty.
INTERPLAY_API QueryQuality judge(std::span<const Ranked> ranking, const Qrels::Levels& relevant);

/// Average precision of a ranking of which it is known at which ranks (from 1, ascending) relevant documents stand.
INTERPLAY_API double average_precision(std::span<const int64_t> ranks, int64_t relevant);

/// Two systems on the same queries.
struct PairedComparison {
  int64_t better = 0, worse = 0, queries = 0;  ///< of the first
  double difference = 0;                       ///< mean of the first less mean of the second
  double p_value = 1;                          ///< two-sided
  double robustness() const { return queries ? double(better - worse) / double(queries) : 0; }
};
/// Paired randomisation test (Fisher's; Smucker et al. 2007): how often the difference of the means is as far from 0
/// when each query's two values change places by the toss of a coin: (1 + as far) / (1 + draws). Follows from the
/// values and the seed alone.
INTERPLAY_API PairedComparison compare_pairs(std::span<const double> first, std::span<const double> second,
                                             int64_t draws = 100000, uint64_t seed = 1);

}  // namespace interplay
