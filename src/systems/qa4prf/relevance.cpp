#include <interplay/systems/relevance.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>

#include <interplay/base/error.h>
#include <interplay/base/random.h>

#include "systems/qa4prf/lines.h"

namespace interplay {
namespace {

template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number out{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (problem != std::errc() || end != text.data() + text.size()) return {};
  return out;
}

}  // namespace

GradeLevels parse_grades(const std::string& text) {
  GradeLevels out;
  if (text.empty()) return out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string_view part = std::string_view(text).substr(at, end - at);
    const size_t equals = std::min(part.find('='), part.size());
    const auto grade = number_in<int64_t>(part.substr(0, equals));
    const auto level = number_in<int64_t>(part.substr(std::min(equals + 1, part.size())));
    INTERPLAY_CHECK(grade && level && *level >= 0 && *level <= 30,
                    "grades: '{}'; expected GRADE=LEVEL, a level of 0 to 30, with commas between, as 1=4,2=3", part);
    out[*grade] = *level;
    at = end + 1;
  }
  return out;
}

Qrels Qrels::load(const std::filesystem::path& file, const GradeLevels& levels) {
  std::map<std::pair<std::string, std::string>, int64_t> grades;
  qa4prf::each_line(file, [&](std::string_view line, const qa4prf::Place& place) {
    auto parts = qa4prf::parts_of(line, /*blanks=*/true);
    if (parts.size() == 4) parts.erase(parts.begin() + 1);  // TREC's iteration, which says nothing
    const auto grade = parts.size() == 3 ? number_in<int64_t>(parts[2]) : std::nullopt;
    INTERPLAY_CHECK_DATA(grade, "{}: '{}'; expected query, document and grade, a whole number, or TREC's four columns",
                         place.text(), line);
    const auto [it, fresh] = grades.emplace(std::pair(std::string(parts[0]), std::string(parts[1])), *grade);
    INTERPLAY_CHECK_DATA(fresh || it->second == *grade,
                         "{}: document '{}' has grade {} for query '{}', before it had {}", place.text(), parts[1],
                         *grade, parts[0], it->second);
  });
  Qrels out;
  for (const auto& [pair, grade] : grades) {
    const auto level = levels.find(grade);
    const int64_t is =
        !levels.empty() ? (level == levels.end() ? 0 : level->second) : std::clamp<int64_t>(grade, 0, 30);
    if (is > 0) out.by_query_[pair.first][pair.second] = is;
  }
  return out;
}

const Qrels::Levels* Qrels::find(const std::string& query) const {
  const auto found = by_query_.find(query);
  return found == by_query_.end() ? nullptr : &found->second;
}

TrecRun load_run(const std::filesystem::path& file) {
  std::map<std::string, std::map<int64_t, Ranked>> ranks;
  std::map<std::string, std::set<std::string>> documents;
  qa4prf::each_line(file, [&](std::string_view line, const qa4prf::Place& place) {
    const auto parts = qa4prf::parts_of(line, /*blanks=*/true);
    const auto rank = parts.size() == 6 ? number_in<int64_t>(parts[3]) : std::nullopt;
    const auto score = parts.size() == 6 ? number_in<double>(parts[4]) : std::nullopt;
    INTERPLAY_CHECK_DATA(rank && score, "{}: '{}'; expected query, Q0, document, rank, score and tag", place.text(),
                         line);
    const std::string query(parts[0]), document(parts[2]);
    INTERPLAY_CHECK_DATA(documents[query].insert(document).second, "{}: query '{}' has document '{}' already",
                         place.text(), query, document);
    INTERPLAY_CHECK_DATA(ranks[query].emplace(*rank, Ranked{document, *score}).second,
                         "{}: query '{}' has a document of rank {} already", place.text(), query, *rank);
  });
  INTERPLAY_CHECK_DATA(!ranks.empty(), "{}: is an empty run; expected query, Q0, document, rank, score and tag a line",
                       file.string());
  TrecRun out;
  for (auto& [query, by_rank] : ranks) {
    for (auto& [rank, ranked] : by_rank) out[query].push_back(std::move(ranked));
  }
  return out;
}

std::string run_lines(const std::string& query, std::span<const Ranked> ranking, const std::string& tag) {
  std::string out;
  int64_t rank = 0;
  for (const auto& [document, score] : ranking)
    out += fmt::format("{} Q0 {} {} {:.9f} {}\n", query, document, ++rank, score, tag);
  return out;
}

double average_precision(std::span<const int64_t> ranks, int64_t relevant) {
  double sum = 0;
  for (size_t i = 0; i < ranks.size(); ++i) sum += double(i + 1) / double(ranks[i]);
  return sum / double(relevant);
}

QueryQuality judge(std::span<const Ranked> ranking, const Qrels::Levels& relevant) {
  INTERPLAY_ASSERT(!relevant.empty());
  constexpr size_t kPrecisionAt = 10, kNdcgAt = 20, kRecallAt = 1000;
  QueryQuality out;
  std::vector<int64_t> ranks;
  double dcg = 0, ideal = 0;
  const auto gain = [](int64_t level, size_t place) {
    return (std::exp2(double(level)) - 1) / std::log2(double(place) + 2);
  };
  for (size_t i = 0; i < ranking.size(); ++i) {
    const auto found = relevant.find(ranking[i].document);
    if (found == relevant.end()) continue;
    ranks.push_back(int64_t(i) + 1);
    if (i < kPrecisionAt) out.precision_10 += 1. / double(kPrecisionAt);
    if (i < kNdcgAt) dcg += gain(found->second, i);
    if (i < kRecallAt) out.recall += 1 / double(relevant.size());
  }
  std::vector<int64_t> levels;
  for (const auto& [document, level] : relevant) levels.push_back(level);
  std::sort(levels.rbegin(), levels.rend());
  for (size_t i = 0; i < std::min(levels.size(), kNdcgAt); ++i) ideal += gain(levels[i], i);
  out.ndcg_20 = dcg / ideal;
  out.average_precision = average_precision(ranks, int64_t(relevant.size()));
  return out;
}

PairedComparison compare_pairs(std::span<const double> first, std::span<const double> second, int64_t draws,
                               uint64_t seed) {
  INTERPLAY_ASSERT(first.size() == second.size());
  PairedComparison out;
  out.queries = int64_t(first.size());
  std::vector<double> differences;
  double sum = 0;
  for (size_t i = 0; i < first.size(); ++i) {
    const double d = first[i] - second[i];
    out.better += d > 0, out.worse += d < 0;
    sum += d;
    if (d != 0) differences.push_back(d);  // no coin changes the others
  }
  if (differences.empty()) return out;
  out.difference = sum / double(out.queries);
  const double far = std::abs(sum) * (1 - 1e-12);  // the same sum in another order is as far
  int64_t as_far = 0;
  for (int64_t draw = 0; draw < draws; ++draw) {
    double drawn = 0;
    uint64_t coins = 0;
    for (size_t i = 0; i < differences.size(); ++i) {
      if (i % 64 == 0) coins = random_bits(seed, uint64_t(draw), i / 64);
      drawn += (coins >> (i % 64) & 1) ? differences[i] : -differences[i];
    }
    as_far += std::abs(drawn) >= far;
  }
  out.p_value = double(1 + as_far) / double(1 + draws);
  return out;
}

}  // namespace interplay
