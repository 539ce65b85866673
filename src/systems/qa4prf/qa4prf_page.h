#pragma once

#include <map>
#include <string>
#include <vector>

#include <interplay/systems/qa4prf.h>

#include "systems/qa4prf/fold.h"

namespace interplay::qa4prf {

/// What report.html shows.
struct PrfPage {
  /// A judged query: what it was given, and how helpful the teacher found each term. Precisions are the last ones.
  void add(const TextIndex& index, const Question& question, const std::vector<TermWeight>& expansion,
           const Lesson& lesson, const std::map<std::string, std::vector<double>>& precision);

  struct Term {
    std::string text;
    double weight;
    int64_t grade;
  };
  struct Query {
    std::string id, text;
    std::vector<Term> terms;
    double first, after;  ///< average precision
  };
  std::string options;  ///< YAML
  std::vector<FoldReport> reports;
  std::vector<Query> queries;
  std::map<std::string, std::vector<double>> precision;  ///< by method, of all queries with relevant documents
};

std::string prf_page(const PrfPage& page, const PrfSummary& summary);

}  // namespace interplay::qa4prf
