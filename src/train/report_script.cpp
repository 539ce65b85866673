#include <interplay/train/report_page.h>

namespace interplay {

const std::string_view kReportScript = R"html(
// Curves over epochs. series: [{name, color, get(evaluation)}]
function curves(parent, title, note, axis, series) {
  const rows = run.evaluations;
  series = series.filter(s => rows.some(r => known(s.get(r))));
  if (!series.length) return;
  const values = rows.flatMap(r => series.map(s => s.get(r))).filter(known);
  let y0 = Math.min(...values), y1 = Math.max(...values);
  const pad = (y1 - y0) * 0.08 || Math.abs(y1) * 0.01 || 1;
  const c = card(parent, title, note);
  const last = Math.max(1, ...rows.map(r => r.epoch)), first = Math.min(...rows.map(r => r.epoch), 1);
  const f = frame(c, {x0: first === last ? 0 : first, x1: last, y0: y0 - pad, y1: y1 + pad, x: 'epoch', y: axis, whole: true});
  const best = rows.find(r => r.step === run.best_step);
  if (best) {
    const x = f.sx(best.epoch), end = x > 460;
    make(f.svg, 'line', {x1: x, x2: x, y1: 12, y2: 226, stroke: 'var(--best)', 'stroke-dasharray': '3 4'});
    make(f.svg, 'text', {x: x + (end ? -5 : 5), y: 22, 'text-anchor': end ? 'end' : 'start', style: 'fill:var(--best)'}, 'kept');
  }
  for (const s of series) {
    const drawn = rows.filter(r => known(s.get(r)));
    make(f.svg, 'polyline', {points: drawn.map(r => f.sx(r.epoch) + ',' + f.sy(s.get(r))).join(' '), fill: 'none',
                             stroke: s.color, 'stroke-width': 2, 'stroke-linejoin': 'round'});
    for (const r of drawn) {
      point(f, r.epoch, s.get(r), s.color, `${s.name} ${s.get(r).toFixed(6)}\nepoch ${short(r.epoch)}, step ${group(r.step)}`,
            drawn.length > 60 ? 1.5 : 3.5);
    }
  }
  if (series.length > 1) legend(c, series.map(s => [s.name, s.color]));
}

function calibration(parent, split) {
  reliability(parent, `Calibration on ${split.name}`,
              `Each point is about ${group(split.rows / split.calibration.length)} rows of like prediction; its bar is the 95% interval of ` +
              'what was observed. On the line, predictions are right on average; above it, they are too low.',
              [{name: split.name, color: 'var(--first)', bins: split.calibration}]);
}
function histogram(parent, split) {
  const h = split.histogram, sum = a => a.reduce((x, y) => x + y, 0);
  const n = h.positive.length, all = {positive: sum(h.positive), negative: sum(h.negative)};
  if (!n || all.positive + all.negative === 0 || h.high <= h.low) return;
  const c = card(parent, `Predictions on ${split.name}, by class`,
                 'Share of each class in each bin of predicted probability. The less the two overlap, the higher the AUC.');
  const share = (side, i) => all[side] ? 100 * h[side][i] / all[side] : 0;
  const y1 = 1.05 * Math.max(...h.positive.map((_, i) => Math.max(share('positive', i), share('negative', i))));
  const f = frame(c, {x0: h.low, x1: h.high, y0: 0, y1, x: 'predicted probability', y: '% of the class', height: 330});
  const edge = i => h.low + (h.high - h.low) * i / n;
  for (const [side, color] of [['negative', 'var(--second)'], ['positive', 'var(--first)']]) {
    let path = `M${f.sx(h.low)},${f.sy(0)}`;
    for (let i = 0; i < n; ++i) path += `V${f.sy(share(side, i))}H${f.sx(edge(i + 1))}`;
    make(f.svg, 'path', {d: path + `V${f.sy(0)}Z`, fill: color, 'fill-opacity': .28, stroke: color, 'stroke-width': 1.5});
  }
  for (let i = 0; i < n; ++i) {
    const hit = make(f.svg, 'rect', {x: f.sx(edge(i)), width: f.sx(edge(1)) - f.sx(edge(0)), y: 12, height: 274, fill: 'transparent'});
    make(hit, 'title', {}, `p ${fixed(4)(edge(i))} to ${fixed(4)(edge(i + 1))}\npositives ${count(h.positive[i])}, negatives ${count(h.negative[i])}`);
  }
  legend(c, [[`positives (${count(all.positive)})`, 'var(--first)', true], [`negatives (${count(all.negative)})`, 'var(--second)', true]]);
}

function summary() {
  make(page, 'h1', {}, run.title);
  const shown = run.splits[run.splits.length - 1];
  if (shown) {
    const tiles = make(page, 'div', {class: 'tiles'});
    for (const m of shown.metrics) {
      const tile = make(tiles, 'div', {class: 'tile', title: m.reason || ''});
      make(tile, 'span', {}, `${m.display} on ${shown.name}`);
      make(tile, 'b', {}, fixed(5)(m.value));
    }
  }
  if (!run.facts.length) return;
  make(page, 'h2', {}, 'The run');
  const list = make(make(page, 'div', {class: 'card'}), 'dl');
  for (const [name, value] of run.facts) {
    const item = make(list, 'div');
    make(item, 'dt', {}, name);
    make(item, 'dd', {}, value);
  }
}
function training() {
  if (!run.evaluations.length) return;
  make(page, 'h2', {}, 'Training');
  const grid = make(page, 'div', {class: 'grid'});
  curves(grid, 'Loss', 'Training: the mean since the evaluation before. Where validation rises while training falls, the model overfits.', 'loss',
         [{name: 'training loss', color: 'var(--first)', get: r => r.train_loss},
          {name: 'validation logloss', color: 'var(--second)', get: r => metric(r, 'logloss')?.value}]);
  const parts = new Set(run.evaluations.flatMap(r => (r.terms ?? []).map(t => t.name)));
  for (const part of parts) {
    curves(grid, `Loss: ${part}`, 'A part of the loss: its mean since the evaluation before, before its weight.', 'loss',
           [{name: 'training', color: 'var(--first)', get: r => r.terms?.find(t => t.name === part)?.value},
            {name: 'validation', color: 'var(--second)', get: r => metric(r, 'term:' + part)?.value}]);
  }
  const names = metricNames(run.evaluations).filter(([name]) => !parts.has(name.replace(/^term:/, '')));
  const watched = name => name === run.monitor ? 'Early stopping watches this one.' : '';
  for (const [name, display] of names) {
    if (name === 'logloss') continue;
    curves(grid, `${display} on validation`, watched(name), display, [{name: display, color: 'var(--first)', get: r => metric(r, name)?.value}]);
  }
  if (run.monitor && !names.some(([name]) => name === run.monitor)) {
    curves(grid, `Monitor: ${run.monitor}`, 'What early stopping maximises.', 'monitor', [{name: 'monitor', color: 'var(--first)', get: r => r.monitored}]);
  }
  make(page, 'h2', {}, 'Evaluations');
  table(make(page, 'div', {class: 'card'}), [
    {title: 'epoch', get: r => r.epoch, show: short}, {title: 'step', get: r => r.step, show: count},
    {title: 'training loss', get: r => r.train_loss, show: fixed(6)}, ...metricColumns(run.evaluations),
    {title: 'learning rate', get: r => r.learning_rate, show: short}, {title: 'rows/s', get: r => r.rows_per_s, show: count},
    {title: 'time', get: r => r.seconds, show: duration}], run.evaluations, r => r.step === run.best_step);
}
// Where the time of training went: one bar, a part a stage.
function profile() {
  const whole = run.profile.reduce((sum, p) => sum + p.seconds, 0);
  if (!whole) return;
  const c = card(page, 'Where the time went', `Training alone, ${duration(whole)} for ${count(run.trained_rows)} rows: share of the time, ` +
                 'and rows a second if a stage were all there is.');
  const colors = ['#8a94a3', '#14804a', '#1f6feb', '#6f42c1', '#c2570c', '#b8860b', '#c9ced6'];
  const bar = make(c, 'div', {class: 'bar', role: 'img', 'aria-label': 'share of the training time by stage'});
  const told = run.profile.map((p, i) => {
    const percent = 100 * p.seconds / whole;
    const text = `${p.stage} ${percent.toFixed(1)}%` + (percent >= 0.5 ? `, ${count(run.trained_rows / p.seconds)} rows/s` : '');
    make(bar, 'span', {style: `width:${percent}%;background:${colors[i]}`, title: text});
    return [text, colors[i], true];
  });
  legend(c, told);
}
function results() {
  if (!run.splits.length) return;
  make(page, 'h2', {}, 'The kept model');
  const c = make(page, 'div', {class: 'card'});
  table(c, [{title: 'split', get: r => r.name}, {title: 'rows', get: r => r.rows, show: count}, ...metricColumns(run.splits)], run.splits);
  const reasons = new Map();
  for (const s of run.splits) {
    for (const m of s.metrics.filter(m => m.reason)) {
      const text = `${m.display} is n/a: ${m.reason}`;
      reasons.set(text, [...(reasons.get(text) ?? []), s.name]);
    }
  }
  for (const [text, splits] of reasons) make(c, 'p', {class: 'note'}, `${text} (${splits.join(', ')}).`);
  const grid = make(page, 'div', {class: 'grid', style: 'margin-top:16px'});
  for (const split of run.splits) {
    calibration(grid, split);
    histogram(grid, split);
  }
}
function slices() {
  for (const s of run.slices) {
    make(page, 'h2', {}, `By ${s.field}` + (s.split ? `, on ${s.split}` : ''));
    table(make(page, 'div', {class: 'card'}), [{title: s.field, get: r => r.value}, {title: 'rows', get: r => r.rows, show: count},
          ...metricColumns(s.slices)], s.slices.slice().sort((a, b) => b.rows - a.rows));
  }
}
summary();
results();
training();
profile();
slices();
configuration(run.config);
)html";

}  // namespace interplay
