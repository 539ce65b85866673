#include "systems/recfound/tune_page.h"

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <interplay/train/report_page.h>

namespace interplay::recfound {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kScript = R"html(
const colors = ['#1f6feb', '#c2570c', '#14804a', '#9333ea', '#b91c1c', '#0e7490', '#a16207', '#be185d', '#4d7c0f', '#4338ca', '#57534e', '#0f766e', '#7c2d12'];
const color = i => colors[i % colors.length];
const families = [...new Set(run.tasks.map(t => t.family))];
const of = family => run.tasks.map((t, i) => ({...t, i})).filter(t => t.family === family);
const last = run.steps.length ? run.steps[run.steps.length - 1].step : 1;

function head() {
  make(page, 'h1', {}, run.title);
  const tiles = make(page, 'div', {class: 'tiles'});
  tile(tiles, 'steps', group(last));
  tile(tiles, 'tasks', run.tasks.length);
  tile(tiles, 'rows', group(run.steps.reduce((s, r) => s + r.rows.reduce((a, b) => a + b, 0), 0)));
  tile(tiles, 'tokens', group(run.steps.reduce((s, r) => s + r.tokens, 0)));
}

// Means over stretches of steps, so that no picture has more than 200 points.
function stretches(get) {
  const size = Math.max(1, Math.ceil(run.steps.length / 200)), out = [];
  for (let i = 0; i < run.steps.length; i += size) {
    const some = run.steps.slice(i, i + size), values = some.map(get).filter(known);
    out.push({x: some[some.length - 1].step, y: values.length ? values.reduce((a, b) => a + b, 0) / values.length : NaN});
  }
  return out;
}

function curves(parent, title, note, lines, y) {
  const c = card(parent, title, note);
  const values = lines.flatMap(l => l.points.map(p => p.y)).filter(known);
  if (!values.length) { make(c, 'p', {class: 'note'}, 'nothing was measured'); return; }
  const low = Math.min(...values), high = Math.max(...values), room = (high - low) * 0.05 || 0.05;
  const f = frame(c, {x0: 0, x1: Math.max(last, 1), y0: low - room, y1: high + room, x: 'step', y, whole: true});
  for (const l of lines) {
    const d = l.points.filter(p => known(p.y)).map((p, i) => `${i ? 'L' : 'M'}${f.sx(p.x).toFixed(1)} ${f.sy(p.y).toFixed(1)}`).join('');
    make(make(f.svg, 'path', {d, fill: 'none', stroke: l.color, 'stroke-width': 1.8}), 'title', {}, l.name);
  }
  legend(c, lines.map(l => [l.name, l.color]));
}

// Bands over steps: what part of its family's rows each task had.
function shares(parent, family) {
  const tasks = of(family), c = card(parent, `Rows of ${family}`, 'Share of each task in the rows of a step.');
  const lines = tasks.map(t => stretches(r => { const all = tasks.reduce((s, u) => s + r.rows[u.i], 0); return all ? r.rows[t.i] / all : NaN; }));
  if (!lines.length || !lines[0].length) return;
  const f = frame(c, {x0: 0, x1: Math.max(last, 1), y0: 0, y1: 1, x: 'step', y: 'share', whole: true});
  let below = lines[0].map(() => 0);
  tasks.forEach((t, k) => {
    const top = lines[k].map((p, i) => below[i] + (known(p.y) ? p.y : 0));
    const go = (values, i) => `${f.sx(lines[k][i].x).toFixed(1)} ${f.sy(values[i]).toFixed(1)}`;
    const up = top.map((_, i) => go(top, i)), down = below.map((_, i) => go(below, i)).reverse();
    make(make(f.svg, 'path', {d: 'M' + [...up, ...down].join('L') + 'Z', fill: color(t.i), opacity: .75}), 'title', {}, t.name);
    below = top;
  });
  legend(c, tasks.map(t => [t.name, color(t.i), true]));
}

function heat(parent, title, note, rows, columns, values, show) {
  const c = card(parent, title, note), scroll = make(c, 'div', {class: 'scroll'}), t = make(scroll, 'table');
  const flat = values.flat(), low = Math.min(...flat), high = Math.max(...flat);
  const line = make(make(t, 'thead'), 'tr');
  for (const name of ['', ...columns]) make(line, 'th', {scope: 'col'}, name);
  const body = make(t, 'tbody');
  values.forEach((row, i) => {
    const tr = make(body, 'tr');
    make(tr, 'td', {}, rows[i]);
    for (const v of row) {
      const part = Math.round(70 * (high > low ? (v - low) / (high - low) : 0));
      make(tr, 'td', {style: `background: color-mix(in srgb, var(--first) ${part}%, transparent)`}, show(v));
    }
  });
}

head();
make(page, 'h2', {}, 'Rows');
const grid = make(page, 'div', {class: 'grid'});
for (const family of families) shares(grid, family);
if (run.scheduled) {
  for (const family of families) {
    curves(grid, `Weights of ${family}`, 'What the sampling scheduler asked for.', of(family).map(t => ({name: t.name, color: color(t.i), points: stretches(r => r.weights[t.i])})), 'weight');
  }
}
make(page, 'h2', {}, 'Validation');
const ratios = make(page, 'div', {class: 'grid'});
for (const family of families) {
  curves(ratios, `Ratios of ${family}`, 'Loss of valid rows, to that before the first step.', of(family).map(t => ({name: t.name, color: color(t.i), points: stretches(r => r.ratios[t.i])})), 'ratio');
}
curves(ratios, 'Training loss', 'Of the rows of a step.', families.map((f, i) => ({name: f, color: color(i), points: stretches(r => r.loss[f])})), 'loss');
if (run.routing) {
  make(page, 'h2', {}, 'Routing');
  const both = make(page, 'div', {class: 'grid'});
  heat(both, 'What experts count for', 'By task, mean over all adapted projections. Experts of the other family count exactly 0.', run.tasks.map(t => t.name), run.experts, run.routing, v => v.toFixed(3));
  heat(both, 'Likeness of routing', 'Cosine between tasks of the weights of all experts in all projections.', run.tasks.map(t => t.name), run.tasks.map(t => t.name), run.likeness, v => v.toFixed(2));
}
make(page, 'h2', {}, 'Tasks');
table(card(page, 'What each had', 'Rows that came again count again.'), [{title: 'task', get: t => t.name}, {title: 'family', get: t => t.family},
      {title: 'rows learnt', get: t => t.rows, show: count}, {title: 'last ratio', get: t => t.ratio, show: fixed(4)}], run.tasks);
configuration(run.config);
)html";

Json rows_of(const at::Tensor& matrix) {
  Json out = Json::array();
  const auto m = matrix.contiguous();
  for (int64_t r = 0; r < m.size(0); ++r) {
    const auto* const row = m.const_data_ptr<float>() + r * m.size(1);
    out.push_back(std::vector<float>(row, row + m.size(1)));
  }
  return out;
}

std::vector<std::string> expert_names(const lm::ExpertCounts& counts) {
  std::vector<std::string> out;
  for (const auto& [name, count] :
       {std::pair{"embedding", counts.embedding}, {"shared", counts.shared}, {"generation", counts.generation}}) {
    for (int64_t k = 1; k <= count; ++k) out.push_back(fmt::format("{} {}", name, k));
  }
  return out;
}

}  // namespace

std::string tune_page(const std::string& title, const Config& config, const std::vector<Task>& tasks,
                      lm::TunedDecoder model, const std::string& metrics) {
  Json page{{"title", title}, {"scheduled", false}, {"tasks", Json::array()}, {"steps", Json::array()}};
  std::vector<int64_t> learnt(tasks.size(), 0);
  Json last;
  for (size_t at = 0; at < metrics.size();) {
    const size_t end = metrics.find('\n', at);
    const Json line = Json::parse(metrics.substr(at, end - at));
    Json step{{"step", line.at("step")}, {"loss", line.at("loss")}, {"tokens", line.at("tokens")}};
    for (const char* key : {"rows", "ratios", "weights"}) {
      step[key] = Json::array();
      for (size_t t = 0; t < tasks.size(); ++t) {
        const auto& of_tasks = line.at(key);
        step[key].push_back(of_tasks.is_null() ? Json() : of_tasks.at(tasks[t].name()));
      }
    }
    for (size_t t = 0; t < tasks.size(); ++t) learnt[t] += step["rows"][t].get<int64_t>();
    page["scheduled"] = !line.at("weights").is_null();
    last = step["ratios"];
    page["steps"].push_back(std::move(step));
    at = end == metrics.npos ? metrics.size() : end + 1;
  }
  for (size_t t = 0; t < tasks.size(); ++t) {
    page["tasks"].push_back({{"name", tasks[t].name()},
                             {"family", lm::to_string(tasks[t].family())},
                             {"rows", learnt[t]},
                             {"ratio", last.is_null() ? Json() : last[t]}});
  }
  if (model.has_experts()) {
    const at::NoGradGuard off;
    const auto weights = model.router()->weights();  // [n, P, E]
    const auto flat = weights.flatten(1);
    const auto unit = flat / at::linalg_vector_norm(flat, 2, {1}, true);
    page["experts"] = expert_names(model.router()->experts());
    page["routing"] = rows_of(weights.mean(1));
    page["likeness"] = rows_of(unit.matmul(unit.t()));
  }
  page["config"] = config.yaml();
  return page_html(title, page.dump(-1, ' ', false, Json::error_handler_t::replace), kScript);
}

}  // namespace interplay::recfound
