#include "systems/autograph/graph_page.h"

#include <algorithm>
#include <map>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <interplay/train/report_page.h>

namespace interplay::autograph {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownCodes = 40, kShownTitles = 8;

constexpr std::string_view kScript = R"html(
const percent = (part, whole) => whole ? (100 * part / whole).toFixed(1) + '%' : 'n/a';
function head() {
  make(page, 'h1', {}, run.title);
  const tiles = make(page, 'div', {class: 'tiles'});
  for (const s of run.sides) tile(tiles, `${s.name} with codes`, group(s.coded));
  tile(tiles, 'clicks', group(run.clicks));
  if (run.shuffled !== null) tile(tiles, 'codes', `shuffled by seed ${run.shuffled}`);
}
function usage(s) {
  make(page, 'h2', {}, `${s.name}: ${s.field}`);
  const c = card(page, 'Codebooks', `Mean distance of a number of a vector to what the codes recover: ${short(s.error)}. Evenly used: as many codes as there would be, if all were as frequent.`);
  table(c, [{title: 'book', get: r => r.book}, {title: 'codes', get: r => r.codes, show: count}, {title: 'used', get: r => r.used, show: count},
            {title: 'share', get: r => r.used / r.codes, show: v => percent(v, 1)}, {title: 'evenly used', get: r => r.spread, show: v => v.toFixed(1)}], s.books);
}
function held(s) {
  const c = card(page, 'What codes hold', `The most frequent codes of the first book, and some of the ${s.name} that have them.`);
  table(c, [{title: 'code', get: r => r.code}, {title: s.name, get: r => r.count, show: count}, {title: 'of these', get: r => r.titles.join(' \u00b7 ')}], s.held);
}
function degrees(s) {
  const c = card(page, 'Clicks', `How many ${s.name} have how many clicks among the training rows.`);
  const most = Math.max(...s.degrees.map(d => d.count), 1);
  const w = 640, step = w / Math.max(s.degrees.length, 1);
  const svg = make(c, 'svg', {viewBox: `0 0 ${w} 150`, role: 'img', 'aria-label': `clicks of ${s.name}`, style: `max-width:${w}px`});
  s.degrees.forEach((d, i) => {
    const h = 110 * d.count / most;
    const bar = make(svg, 'rect', {x: i * step + 2, y: 120 - h, width: step - 4, height: h, fill: 'currentColor', opacity: .6});
    make(bar, 'title', {}, `${d.range}: ${group(d.count)}`);
    make(svg, 'text', {x: i * step + step / 2, y: 136, 'text-anchor': 'middle', 'font-size': 10, fill: 'currentColor'}, d.range);
  });
}
head();
for (const s of run.sides) { usage(s); held(s); degrees(s); }
)html";

/// The most frequent codes of the first book, with some of their values.
Json held_by(const GraphPage::Side& side) {
  std::map<int64_t, std::vector<size_t>> of;
  const auto first = side.codes.select(1, 0).contiguous();
  for (int64_t i = 0; i < first.size(0); ++i) of[first.const_data_ptr<int64_t>()[i]].push_back(size_t(i));
  std::vector<std::pair<int64_t, const std::vector<size_t>*>> order;
  for (const auto& [code, values] : of) order.emplace_back(code, &values);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second->size() > b.second->size(); });
  Json out = Json::array();
  for (size_t i = 0; i < std::min(order.size(), kShownCodes); ++i) {
    Json titles = Json::array();
    for (size_t v = 0; v < std::min(order[i].second->size(), kShownTitles); ++v)
      titles.push_back(side.titles[(*order[i].second)[v]]);
    out.push_back({{"code", order[i].first}, {"count", order[i].second->size()}, {"titles", titles}});
  }
  return out;
}

/// How many of `nodes` have 0, 1, 2 to 3, 4 to 7, ... clicks.
Json degrees_of(const std::vector<int64_t>& ends, int64_t nodes) {
  std::map<int64_t, int64_t> degree;
  for (const int64_t id : ends) ++degree[id];
  std::vector<int64_t> counts{std::max<int64_t>(0, nodes - int64_t(degree.size()))};
  for (const auto& [id, n] : degree) {
    size_t bucket = 1;
    for (int64_t least = 2; least <= n; least *= 2) ++bucket;
    counts.resize(std::max(counts.size(), bucket + 1));
    ++counts[bucket];
  }
  Json out = Json::array();
  for (size_t i = 0; i < counts.size(); ++i) {
    const int64_t low = i == 0 ? 0 : int64_t(1) << (i - 1), high = i == 0 ? 0 : 2 * low - 1;
    const std::string range = low == high ? std::to_string(low) : fmt::format("{}\u2013{}", low, high);
    out.push_back({{"range", range}, {"count", counts[i]}});
  }
  return out;
}

Json side_json(const char* name, const GraphSide& info, const GraphPage::Side& side, const std::vector<int64_t>& ends) {
  Json books = Json::array();
  for (size_t k = 0; k < info.used.size(); ++k)
    books.push_back({{"book", k + 1}, {"codes", info.codes}, {"used", info.used[k]}, {"spread", info.spread[k]}});
  return {{"name", name},
          {"field", info.field},
          {"coded", info.coded},
          {"error", info.error},
          {"books", books},
          {"held", held_by(side)},
          {"degrees", degrees_of(ends, info.rows - 2)}};
}

}  // namespace

std::string graph_page(const GraphPage& page, const Clicks& clicks) {
  const GraphInfo& info = page.info;
  const std::string title = fmt::format("Graph of {} and {}", info.users.field, info.items.field);
  const Json json{{"title", title},
                  {"clicks", info.clicks},
                  {"shuffled", info.shuffled ? Json(*info.shuffled) : Json()},
                  {"sides",
                   {side_json("users", info.users, page.users, clicks.users),
                    side_json("items", info.items, page.items, clicks.items)}}};
  return page_html(title, json.dump(-1, ' ', false, Json::error_handler_t::replace), kScript);
}

}  // namespace interplay::autograph
