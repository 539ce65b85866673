#include "systems/recfound/task_metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

namespace interplay::recfound {
namespace {

const std::vector<std::string> kRankings{"mrr", "ndcg", "recall"};
const std::vector<std::string> kAnswers{"accuracy", "exact", "substring", "f1", "macro_f1"};

/// F1 of one class.
double f1_of(const std::string& answer, std::span<const Answered> rows) {
  int64_t hit = 0, said = 0, right = 0;
  for (const auto& row : rows) {
    hit += row.said == answer && row.right == answer;
    said += row.said == answer;
    right += row.right == answer;
  }
  return said + right > 0 ? 2 * double(hit) / double(said + right) : 0;
}

/// What an answer counts as.
std::string counted(const Answered& row, std::span<const std::string> answers) {
  const auto known = [&](const std::string& text) {
    return std::find(answers.begin(), answers.end(), text) != answers.end();
  };
  if (answers.size() < 2 || known(row.said)) return row.said;
  return answers[0] == row.right ? answers[1] : answers[0];
}

}  // namespace

TaskMetric TaskMetric::parse(const std::string& name, lm::TaskFamily family, const Config& at) {
  TaskMetric out{name, name, 0};
  if (family == lm::TaskFamily::generation) {
    if (std::find(kAnswers.begin(), kAnswers.end(), name) != kAnswers.end()) return out;
    at.fail(fmt::format("'{}' is no metric of answers (metrics: {})", name, fmt::join(kAnswers, ", ")));
  }
  const size_t end = std::min(name.find('@'), name.size());
  out.kind = name.substr(0, end);
  if (std::find(kRankings.begin(), kRankings.end(), out.kind) == kRankings.end())
    at.fail(fmt::format("'{}' is no metric of vectors (metrics: {}@K)", name, fmt::join(kRankings, "@K, ")));
  const char* const first = name.data() + std::min(end + 1, name.size());
  const auto [rest, problem] = std::from_chars(first, name.data() + name.size(), out.k);
  if (problem != std::errc() || rest != name.data() + name.size() || out.k < 1)
    at.fail(fmt::format("'{}': expected {}@K with a whole number K of 1 or more", name, out.kind));
  return out;
}

RankedRow ranked(std::span<const float> scores, int64_t positives) {
  RankedRow out;
  for (int64_t p = 0; p < positives; ++p) {
    double above = 0, equal = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      above += scores[i] > scores[size_t(p)];
      equal += scores[i] == scores[size_t(p)];
    }
    out.positions.push_back(above + (equal + 1) / 2);
  }
  std::sort(out.positions.begin(), out.positions.end());
  return out;
}

double ranking_value(const TaskMetric& metric, std::span<const RankedRow> rows) {
  double sum = 0;
  const auto k = double(metric.k);
  for (const auto& row : rows) {
    const auto& at = row.positions;
    if (metric.kind == "mrr") {
      sum += at.front() <= k ? 1 / at.front() : 0;
    } else if (metric.kind == "recall") {
      sum += double(std::count_if(at.begin(), at.end(), [&](double p) { return p <= k; })) / double(at.size());
    } else {
      double gain = 0, best = 0;
      for (size_t i = 0; i < at.size(); ++i) {
        gain += at[i] <= k ? 1 / std::log2(1 + at[i]) : 0;
        best += double(i + 1) <= k ? 1 / std::log2(2 + double(i)) : 0;
      }
      sum += gain / best;
    }
  }
  return rows.empty() ? 0 : sum / double(rows.size());
}

double answer_value(const TaskMetric& metric, std::span<const Answered> rows, std::span<const std::string> answers,
                    const std::string& positive) {
  if (rows.empty()) return 0;
  if (metric.kind == "substring" || metric.kind == "accuracy" || metric.kind == "exact") {
    const auto good = [&](const Answered& row) {
      return metric.kind == "substring" ? row.said.find(row.right) != row.said.npos : row.said == row.right;
    };
    return double(std::count_if(rows.begin(), rows.end(), good)) / double(rows.size());
  }
  std::vector<Answered> as_counted;
  std::set<std::string> classes;
  for (const auto& row : rows) {
    as_counted.push_back({counted(row, answers), row.right});
    classes.insert(as_counted.back().said), classes.insert(row.right);
  }
  if (metric.kind == "f1") return f1_of(positive, as_counted);
  double sum = 0;
  for (const auto& one : classes) sum += f1_of(one, as_counted);
  return sum / double(classes.size());
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(kSpace) - first + 1));
}

}  // namespace interplay::recfound
