#include "systems/qa4prf/qa4prf_page.h"

#include <algorithm>
#include <cmath>

#include <interplay/base/progress.h>
#include <interplay/systems/relevance.h>
#include <interplay/train/report_page.h>

namespace interplay::qa4prf {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownTerms = 8, kShownQueries = 40;

constexpr std::string_view kScript = R"html(
make(page, 'h1', {}, 'QA4PRF');
const tiles = make(page, 'div', {class: 'tiles'});
for (const [title, value] of run.facts) tile(tiles, title, value);
make(page, 'h2', {}, 'Methods');
const m = card(page, 'Mean average precision', 'Of the run\'s own rankings, each query by the networks of its fold. p: paired randomisation test of QA4PRF against the method, two-sided.');
table(m, [{title: 'method', get: r => r.name}, {title: 'MAP', get: r => r.map, show: fixed(4)},
          {title: 'QA4PRF less it', get: r => r.difference, show: fixed(4)}, {title: 'better', get: r => r.better, show: count},
          {title: 'worse', get: r => r.worse, show: count}, {title: 'p', get: r => r.p, show: fixed(4)}], run.methods);
make(page, 'h2', {}, 'Folds');
const colors = ['#4c78a8', '#f58518', '#54a24b', '#e45756', '#72b7b2', '#b279a2', '#9d755d', '#bab0ac'];
function curves(parent, title, note, y, x, lines) {
  const shown = lines.filter(l => l.length > 0);
  if (!shown.length) return;
  const c = card(parent, title, note);
  const all = shown.flat().map(p => p[1]), xs = shown.flat().map(p => p[0]);
  const low = Math.min(...all), high = Math.max(...all), pad = (high - low || Math.abs(high) || 1) * .05;
  const f = frame(c, {x0: Math.min(...xs), x1: Math.max(...xs, Math.min(...xs) + 1e-9), y0: low - pad, y1: high + pad, x, y});
  lines.forEach((l, i) => {
    if (l.length > 1) make(f.svg, 'polyline', {points: l.map(p => `${f.sx(p[0])},${f.sy(p[1])}`).join(' '), fill: 'none', stroke: colors[i % 8], 'stroke-width': 2});
    for (const p of l) point(f, p[0], p[1], colors[i % 8], `fold ${i + 1}, ${x} ${p[0]}: ${p[1].toFixed(4)}`, 2.5);
  });
  legend(c, lines.map((l, i) => [`fold ${i + 1}`, colors[i % 8]]));
}
const grid = make(page, 'div', {class: 'grid'});
const passes = key => run.folds.map(f => f.passes.map((p, i) => [i + 1, p[key]]));
curves(grid, 'Reader: loss', 'Mean of a pair of query and document.', 'loss', 'pass', passes('loss'));
curves(grid, 'Reader: MAP of the next fold', 'By what is pointed at alone, at the best share.', 'MAP', 'pass', passes('map'));
curves(grid, 'Ranker: loss', 'Mean of a query.', 'loss', 'pass', run.folds.map(f => f.ranker_loss.map((l, i) => [i + 1, l])));
curves(grid, 'Share of the expansion', 'MAP of the next fold, by which beta is chosen.', 'MAP', 'beta', run.folds.map(f => f.map.map((v, i) => [run.betas[i], v])));
make(page, 'h2', {}, 'Queries');
const q = card(page, 'Where QA4PRF changed most', 'Terms that were added, the heaviest first; + and ++: by themselves they help, by their grade.');
table(q, [{title: 'query', get: r => r.id}, {title: 'before', get: r => r.first, show: fixed(4)}, {title: 'after', get: r => r.after, show: fixed(4)},
          {title: 'change', get: r => r.after - r.first, show: fixed(4)}, {title: 'terms', get: r => r.terms}, {title: 'text', get: r => r.text}], run.queries);
configuration(run.options);
)html";

Json methods_of(const PrfPage& page, const PrfSummary& s) {
  Json out = Json::array();
  for (const auto& [name, map] : s.map) {
    Json row{{"name", name}, {"map", map}};
    if (name != "qa4prf" && page.precision.contains("qa4prf")) {
      const auto c = compare_pairs(page.precision.at("qa4prf"), page.precision.at(name));
      row["difference"] = c.difference, row["better"] = c.better, row["worse"] = c.worse, row["p"] = c.p_value;
    }
    out.push_back(std::move(row));
  }
  return out;
}

Json queries_of(const PrfPage& page) {
  std::vector<const PrfPage::Query*> order;
  for (const auto& q : page.queries) order.push_back(&q);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::abs(a->after - a->first) > std::abs(b->after - b->first);
  });
  Json out = Json::array();
  for (size_t i = 0; i < std::min(order.size(), kShownQueries); ++i) {
    const auto& q = *order[i];
    std::string terms;
    for (size_t t = 0; t < std::min(q.terms.size(), kShownTerms); ++t)
      terms += fmt::format("{}{}{}", t ? ", " : "", q.terms[t].text, std::string(size_t(q.terms[t].grade), '+'));
    out.push_back({{"id", q.id}, {"text", q.text}, {"first", q.first}, {"after", q.after}, {"terms", terms}});
  }
  return out;
}

}  // namespace

void PrfPage::add(const TextIndex& index, const Question& question, const std::vector<TermWeight>& expansion,
                  const Lesson& lesson, const std::map<std::string, std::vector<double>>& of) {
  Query& q = queries.emplace_back();
  q.id = question.query.id, q.text = question.query.text;
  q.first = of.at("first").back(), q.after = of.at("qa4prf").back();
  std::map<uint32_t, int64_t> grade;
  for (size_t i = 0; i < question.candidates.size(); ++i) grade[question.candidates[i].term] = lesson.grades[i];
  for (const auto& t : expansion) q.terms.push_back({std::string(index.term(t.term)), t.weight, grade[t.term]});
}

std::string prf_page(const PrfPage& page, const PrfSummary& s) {
  Json folds = Json::array();
  for (const auto& report : page.reports) folds.push_back(json_of(report));
  const Config options = Config::parse(page.options);
  std::vector<double> betas;
  for (const Config& beta : options["betas"].items()) betas.push_back(beta.as<double>());
  const std::vector<std::pair<std::string, std::string>> facts{{"queries", std::to_string(s.queries)},
                                                               {"with judgements", std::to_string(s.judged)},
                                                               {"folds", std::to_string(page.reports.size())},
                                                               {"parameters a fold", human_count(double(s.parameters))},
                                                               {"pairs read/s", human_count(s.pairs_per_s)},
                                                               {"time", human_seconds(s.seconds)},
                                                               {"peak memory", human_bytes(double(s.peak_bytes))}};
  const Json json{{"facts", facts}, {"methods", methods_of(page, s)}, {"folds", folds},
                  {"betas", betas}, {"queries", queries_of(page)},    {"options", page.options}};
  return page_html("QA4PRF", json.dump(-1, ' ', false, Json::error_handler_t::replace), kScript);
}

}  // namespace interplay::qa4prf
