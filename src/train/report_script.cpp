#include <interplay/train/report_page.h>

namespace interplay {

const std::string_view kReportScript = R"html(
// Curves over epochs. series: [{name, color, get(row)}], of evaluations unless a series has rows of its own.
function curves(parent, title, note, axis, series) {
  series = series.map(s => ({...s, drawn: (s.rows ?? run.evaluations).filter(r => known(s.get(r)))})).filter(s => s.drawn.length);
  if (!series.length) return;
  const all = series.flatMap(s => s.drawn.map(r => ({epoch: r.epoch, value: s.get(r), fine: s.rows})));
  // The first losses of a run lie far above all others: they may leave the drawing.
  const fine = all.filter(p => p.fine).map(p => p.value).sort((a, b) => a - b), most = fine[Math.floor(fine.length * .98)];
  const values = all.filter(p => !p.fine || p.value <= most).map(p => p.value);
  let y0 = Math.min(...values), y1 = Math.max(...values);
  const pad = (y1 - y0) * 0.08 || Math.abs(y1) * 0.01 || 1;
  y0 -= pad, y1 += pad;
  const c = card(parent, title, note);
  const epochs = all.map(p => p.epoch), last = Math.max(...epochs), first = series.some(s => s.rows) ? 0 : Math.min(...epochs, 1);
  const f = frame(c, {x0: first === last ? 0 : first, x1: last || 1, y0, y1, x: 'epoch', y: axis, whole: last - first >= 2 || epochs.every(Number.isInteger)});
  const best = run.progress ? null : run.evaluations.find(r => r.step === run.best_step);
  if (best) {
    const x = f.sx(best.epoch), end = x > f.w - 60;
    make(f.svg, 'line', {x1: x, x2: x, y1: 12, y2: 226, stroke: 'var(--best)', 'stroke-dasharray': '3 4'});
    make(f.svg, 'text', {x: x + (end ? -5 : 5), y: 22, 'text-anchor': end ? 'end' : 'start', style: 'fill:var(--best)'}, 'kept');
  }
  for (const s of series) {
    const at = r => f.sx(r.epoch) + ',' + f.sy(Math.min(s.get(r), y1));
    make(f.svg, 'polyline', {points: s.drawn.map(at).join(' '), fill: 'none', stroke: s.color, 'stroke-width': s.rows ? 1.2 : 2,
                             'stroke-linejoin': 'round', ...(s.rows ? {'stroke-opacity': .55} : {})});
    if (s.rows && s.drawn.length > 1) continue;
    for (const r of s.drawn) {
      point(f, r.epoch, s.get(r), s.color, `${s.name} ${s.get(r).toFixed(6)}\nepoch ${short(r.epoch)}, step ${group(r.step)}`,
            s.drawn.length > 60 ? 1.5 : 3.5);
    }
  }
  if (series.length > 1) legend(c, series.map(s => [s.name, s.color]));
}

function calibration(parent, split) {
  const e = split.ece;
  const error = e ? `, ECE ${fixed(4)(e.value)} (${between(e, fixed(4))}; ${fixed(4)(e.by_chance)} by chance)` : '';
  reliability(parent, `Calibration on ${split.name}${error}`,
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

const intervalOf = (split, name) => name === 'auc' ? split.auc : name === 'logloss' ? split.logloss : null;
function summary() {
  make(page, 'h1', {}, run.title);
  if (run.headline) make(page, 'p', {class: 'lead'}, run.headline);
  if (run.remarks.length) {
    const list = make(page, 'ul', {class: 'lead'});
    for (const remark of run.remarks) make(list, 'li', {}, remark);
  }
  const shown = run.splits[run.splits.length - 1], [base, label] = (shown?.name ?? '').split(', ');
  const tiles = make(page, 'div', {class: 'tiles'});
  if (label) {
    for (const s of run.splits.filter(s => s.name.startsWith(`${base}, `)))
      tile(tiles, `AUC on ${s.name}`, fixed(5)(metric(s, 'auc')?.value), s.auc ? between(s.auc, fixed(4)) : '', metric(s, 'auc')?.reason);
  } else if (shown) {
    for (const m of shown.metrics) {
      const i = intervalOf(shown, m.name);
      tile(tiles, `${m.display} on ${shown.name}`, fixed(5)(m.value), i ? between(i, fixed(4)) : '', m.reason);
    }
  }
  if (!run.facts.length) return;
  make(page, 'h2', {}, 'The run');
  facts(make(page, 'div', {class: 'card'}), run.facts);
}
// A page that is loaded anew stays where it was read.
function goOn(state) {
  const p = run.progress, place = `interplay ${location.pathname}`;
  const kept = () => { try { return JSON.parse(sessionStorage.getItem(place)); } catch { return null; } };
  const before = kept();
  if (before) {
    document.querySelectorAll('details').forEach((d, i) => { d.open = before.open[i] ?? false; });
    scrollTo(0, before.y);
  }
  const again = () => {
    if (!getSelection()?.isCollapsed && getSelection()?.rangeCount) return setTimeout(again, 1000);  // somebody copies from it
    const open = [...document.querySelectorAll('details')].map(d => d.open);
    try { sessionStorage.setItem(place, JSON.stringify({y: scrollY, open})); } catch { /* stays at its top */ }
    location.reload();
  };
  const ago = s => s < 60 ? `${Math.round(s)} s` : duration(s);
  const old = () => Date.now() / 1000 - p.written, late = Math.max(60, 3 * p.every_s);
  const tell = () => {
    const silent = old() > late;
    state.className = silent ? 'warn' : 'note';
    state.textContent = silent
      ? `Not written for ${ago(old())}, though every ${ago(p.every_s)} while a run goes on: it has probably been killed. ` +
        'interplay train --resume goes on from its last checkpoint.'
      : `Written ${ago(Math.max(0, old()))} ago; loads itself anew every ${ago(p.every_s)}.`;
  };
  tell();
  setInterval(tell, 1000);
  setTimeout(again, 1000 * (old() > late ? 60 : p.every_s));
}
function live() {
  const p = run.progress;
  if (!p) return;
  const c = make(page, 'div', {class: 'card'});
  const share = p.steps ? Math.min(1, p.step / p.steps) : null;
  const where = (p.epoch ? `epoch ${count(p.epoch)} of ${count(p.epochs)}, ` : '') + `step ${count(p.step)}` + (p.steps ? ` of ${count(p.steps)}` : '');
  make(c, 'h3', {}, `${p.doing[0].toUpperCase()}${p.doing.slice(1)}: ${where}`);
  if (share !== null) {
    const meter = make(c, 'div', {class: 'meter', role: 'progressbar', 'aria-valuenow': Math.round(100 * share)});
    make(meter, 'i', {style: `width:${100 * share}%`});
    if (p.goes_on) document.title = `${Math.floor(100 * share)}% ${run.title}`;
  }
  const tiles = make(c, 'div', {class: 'tiles'}), rows = run.losses.length ? run.losses : run.evaluations, latest = rows[rows.length - 1];
  if (p.goes_on) tile(tiles, 'time left', known(p.seconds_left) ? duration(p.seconds_left) : 'n/a', '', 'at most: patience may end it sooner');
  tile(tiles, 'rows/s', count(p.rows_per_s));
  tile(tiles, 'training loss', fixed(5)(latest?.train_loss));
  tile(tiles, 'learning rate', short(latest?.learning_rate));
  const state = make(c, 'p', {role: 'status'});
  if (p.goes_on) return queueMicrotask(() => goOn(state));  // when all of the page is drawn
  state.className = 'warn';
  state.textContent = p.doing === 'interrupted' ? 'The run was interrupted; interplay train --resume goes on from its last checkpoint.'
                                                : 'The run has failed; the last lines of train.log say why.';
}
function training() {
  if (!run.evaluations.length && !run.losses.length) return;
  make(page, 'h2', {}, 'Training');
  const grid = make(page, 'div', {class: 'grid'});
  curves(grid, 'Loss', 'Training: the mean since the evaluation before. Where validation rises while training falls, the model overfits.', 'loss',
         [{name: 'training loss, as it went', color: 'var(--first)', get: r => r.train_loss, rows: run.losses.length > run.evaluations.length ? run.losses : []},
          {name: 'training loss', color: 'var(--first)', get: r => r.train_loss},
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
  const rates = run.losses.length ? run.losses : run.evaluations;
  if (new Set(rates.map(r => r.learning_rate)).size > 1)
    curves(grid, 'Learning rate', '', 'learning rate', [{name: 'learning rate', color: 'var(--first)', get: r => r.learning_rate, rows: rates}]);
  if (!run.evaluations.length) return;
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
function explanation() {
  const e = run.explanation;
  if (!e) {
    if (!run.progress && run.splits.length) make(page, 'p', {class: 'note'}, 'Which fields count, and where the run does worst: interplay explain says.');
    return;
  }
  make(page, 'h2', {}, 'What the scores come from');
  make(page, 'p', {class: 'note'}, e.told);
  const most = 25;
  if (e.fields.length) {
    const c = card(page, 'Importance of fields', 'Log loss gained where a field\u2019s values are shuffled among the rows, with its 95% interval. One that holds 0 may say nothing that others do not.');
    bars(c, e.fields.slice(0, most).map(f => barOf(f.field, f.loss)), 'mean log loss gained');
    if (e.fields.length > most) make(c, 'p', {class: 'note'}, `The first ${most} of ${e.fields.length} fields.`);
  }
  if (!e.slices_looked_at) return;
  const c = card(page, 'Worst slices', `Of ${group(e.slices_looked_at)} values of fields with enough rows, those whose rows have the highest log loss beside all others\u2019; ` +
                 'intervals are of 95% for all of them together.');
  table(c, [{title: 'slice', get: r => r.slice}, {title: 'rows', get: r => r.rows, show: count}, {title: 'log loss above the others', get: r => r.excess.value, show: signed(4)},
            {title: 'interval', get: r => between(r.excess, signed(4))},
            {title: 'mean p', get: r => r.mean_p, show: fixed(4)}, {title: 'observed', get: r => r.observed, show: fixed(4)}], e.slices);
}
const percent = v => known(v) ? (100 * v).toFixed(v && v < .01 ? 2 : 1) + '%' : '\u2013';
// Seconds or milliseconds since 1970 as such; other numbers as they are.
function moment(t) {
  const ms = t > 1e8 && t < 1e10 ? 1000 * t : t > 1e11 && t < 1e13 ? t : NaN;
  return !known(t) ? '\u2013' : known(ms) ? new Date(ms).toISOString().slice(0, 16).replace('T', ' ') + ' UTC' : String(t);
}
function bytes(n) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'], power = Math.min(4, Math.floor(Math.log10(Math.max(1, n)) / 3));
  return `${(n / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}
function dataCard() {
  const d = run.data;
  if (!d) return;
  make(page, 'h2', {}, 'The data');
  facts(make(page, 'div', {class: 'card'}), [['prepared data', d.directory], ['fingerprint', d.fingerprint],
        ['files', `${d.files.length}, ${bytes(d.files.reduce((sum, f) => sum + f.bytes, 0))}`]]);
  const labels = d.splits[0]?.labels ?? [], timed = d.splits.some(s => known(s.first_time)), counted = d.fields.some(f => f.counts.some(c => c));
  table(card(page, 'Splits'), [{title: 'split', get: s => s.name}, {title: 'rows', get: s => s.rows, show: count},
        ...labels.map((l, i) => ({title: `${l.name}: mean`, get: s => s.labels[i]?.rate, show: fixed(5)})),
        ...(timed ? [{title: 'from', get: s => s.first_time, show: moment}, {title: 'to', get: s => s.last_time, show: moment}] : [])], d.splits);
  const ofSplit = (title, share) => d.splits.map((s, i) => ({title: `${title}, ${s.name}`, get: f => share(f, f.counts[i], s), show: percent}));
  const isCounted = f => f.kind === 'categorical' || f.kind === 'sequence';
  table(card(page, 'Fields', counted ? 'Missing: rows without a value, or with an empty history. Unseen: values that the vocabulary, which is made of training rows, does not hold.'
                                     : 'What is missing and unseen was not counted by the version that prepared these data.'), [
    {title: 'field', get: f => f.name}, {title: 'kind', get: f => f.kind}, {title: 'ids', get: f => isCounted(f) ? f.ids : null, show: v => v === null ? '\u2013' : count(v)},
    ...(counted ? [...ofSplit('missing', (f, c, s) => isCounted(f) || f.kind === 'numeric' ? c && c.missing / s.rows : null),
                   ...ofSplit('unseen', (f, c) => isCounted(f) && c?.values ? c.unseen / c.values : null)] : []),
    ...(d.fields.some(f => f.kind === 'sequence') ? [
      {title: 'length: mean, most', get: f => f.kind === 'sequence' && f.counts[0] ? f.counts[0].values / d.splits[0].rows : null,
       show: (v, f) => known(v) ? `${v.toFixed(1)}, ${count(Math.max(...f.counts.map(c => c?.longest ?? 0)))}` : '\u2013'}] : [])], d.fields);
  const details = make(make(page, 'div', {class: 'card'}), 'details');
  make(details, 'summary', {}, 'files and checksums (XXH3)');
  table(details, [{title: 'file', get: f => f.file}, {title: 'bytes', get: f => f.bytes, show: count}, {title: 'checksum', get: f => f.xxh3}], d.files);
}
summary();
live();
results();
explanation();
training();
profile();
slices();
dataCard();
configuration(run.config);
)html";

}  // namespace interplay
