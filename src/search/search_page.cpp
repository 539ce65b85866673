#include "search/search_page.h"

namespace interplay {

const std::string_view kSearchScript = R"html(
const found = run.interactions, kept = found.filter(i => i.kept);
const fields = [...new Set(found.flatMap(i => i.fields))];
const orders = [...new Set(found.map(i => i.order))].sort((a, b) => a - b);
const functions = [...new Set(found.map(i => i.function))];
const several = functions.length > 1;
const percent = (part, whole) => whole ? (100 * part / whole).toFixed(part && part < whole / 100 ? 1 : 0) + '%' : 'n/a';
const nameOf = i => i.fields.join(' \u00d7 ') + (several ? ` (${i.function})` : '');
const setName = order => ({2: 'pairs', 3: 'triples'})[order] ?? `sets of ${order}`;
const bytes = v => !known(v) ? 'n/a' : v < 1e3 ? v + ' B' : v < 1e6 ? (v / 1e3).toFixed(1) + ' KB' : v < 1e9 ? (v / 1e6).toFixed(1) + ' MB' : (v / 1e9).toFixed(2) + ' GB';
const stageNamed = name => run.stages.find(s => s.name === name);

function summary() {
  make(page, 'h1', {}, run.title);
  const tiles = make(page, 'div', {class: 'tiles'});
  if (found.length) tile(tiles, 'interactions kept', `${group(kept.length)} of ${group(found.length)} (${percent(kept.length, found.length)})`);
  const base = stageNamed('base'), again = stageNamed('retrain');
  const split = again?.split || base?.split;
  if (again) tile(tiles, `AUC on ${split}, re-trained`, fixed(5)(again.auc));
  if (base && again) {
    tile(tiles, 'against base', signed(5)(again.auc - base.auc));
    tile(tiles, 'parameters, of base', percent(again.parameters, base.parameters));
    tile(tiles, 'training speed, of base', (again.rows_per_s / base.rows_per_s).toFixed(2) + '\u00d7');
  }
}
function stages() {
  if (!run.stages.length) return;
  make(page, 'h2', {}, 'Stages');
  const base = stageNamed('base'), c = make(page, 'div', {class: 'card'});
  const split = run.stages.find(s => s.split)?.split;
  if (split) make(c, 'p', {class: 'note'}, `AUC and logloss are of the ${split} split; rows/s is training speed. Each stage is a run of its own, in ${run.stages[0].directory.replace(/\/.*/, '/')}.`);
  table(c, [
    {title: 'stage', get: s => s.name}, {title: 'AUC', get: s => s.auc, show: fixed(6)},
    ...(base ? [{title: 'AUC \u2212 base', get: s => s === base ? null : s.auc - base.auc, show: v => v === null ? '' : signed(6)(v)}] : []),
    {title: 'logloss', get: s => s.logloss, show: fixed(6)}, {title: 'parameters', get: s => s.parameters, show: count},
    {title: 'weights', get: s => s.bytes, show: bytes}, {title: 'rows/s', get: s => s.rows_per_s, show: count},
    {title: 'steps', get: s => s.steps, show: count}, {title: 'time', get: s => s.seconds, show: duration}], run.stages);
}
function shares() {
  make(page, 'h2', {}, 'What is kept');
  const c = make(page, 'div', {class: 'card'});
  for (const g of run.grda) {
    make(c, 'p', {class: 'note'}, `Stage ${g.stage}, gates of ${g.gates}: GRDA with c ${short(g.c)}, mu ${short(g.mu)}, learning rate ${short(g.lr)}; its threshold after ${group(g.steps)} steps: ${short(g.threshold)}.` +
         (g.c === g.searched_c ? '' : ` The stage ran with c ${short(g.searched_c)}; this c would have kept the share or number that was asked for.`));
  }
  if (run.curves) make(c, 'p', {class: 'note'}, 'The valid rows chose what is kept: see below.');
  if (run.grda.length) make(c, 'p', {class: 'note'}, 'An interaction is kept where what its gate has accumulated, of either sign, is beyond the threshold.' +
         (run.grda.some(g => g.gates === 'dimensions') ? ' The search of widths may leave out more: an interaction whose fields have no number in common that stayed open is not kept, whatever its own gate.' : ''));
  const rows = [];
  for (const order of orders) {
    for (const f of functions) {
      const all = found.filter(i => i.order === order && i.function === f), open = all.filter(i => i.kept);
      if (all.length) rows.push({name: setName(order), f, all: all.length, open: open.length});
    }
  }
  table(c, [{title: 'order', get: r => r.name}, ...(several ? [{title: 'function', get: r => r.f}] : []),
            {title: 'candidates', get: r => r.all, show: count}, {title: 'kept', get: r => r.open, show: count},
            {title: 'share', get: r => r.open / r.all, show: v => (100 * v).toFixed(1) + '%'}], rows);
}

// Field by field: the colour is the size of the gate, its hue the sign; a closed gate is an empty cell with a dot.
function heatMap(parent, f) {
  const pairs = found.filter(i => i.order === 2 && i.function === f);
  if (!pairs.length) return;
  const c = card(parent, `Gates of pairs${several ? ': ' + f : ''}`,
                 'Each cell is a pair of fields; the stronger its colour, the larger its gate. Blue: positive; orange: negative; a dot: left out. An empty cell was no candidate.');
  const n = fields.length, cell = Math.max(15, Math.min(34, 900 / n)), left = 8 + 7.2 * Math.max(...fields.map(x => Math.min(x.length, 22)));
  const label = x => x.length > 22 ? x.slice(0, 21) + '\u2026' : x, top = left * .78 + 8;
  const svg = make(c, 'svg', {viewBox: `0 0 ${left + n * cell + 90} ${top + n * cell + 8}`, role: 'img', 'aria-label': 'gate by pair of fields',
                              style: `max-width:${left + n * cell + 90}px`});
  const largest = Math.max(...pairs.map(p => Math.abs(p.gate ?? 0))) || 1;
  const at = new Map(fields.map((x, i) => [x, i]));
  fields.forEach((x, i) => {
    make(svg, 'text', {x: left - 6, y: top + (i + .5) * cell + 4, 'text-anchor': 'end'}, label(x));
    const tx = left + (i + .5) * cell + 4, ty = top - 6;
    make(svg, 'text', {x: tx, y: ty, transform: `rotate(-52 ${tx} ${ty})`}, label(x));
  });
  for (const p of pairs) {
    const [a, b] = p.fields.map(x => at.get(x));
    for (const [row, column] of [[a, b], [b, a]]) {
      const x = left + column * cell, y = top + row * cell, size = Math.abs(p.gate ?? 0) / largest;
      const g = make(svg, 'g');
      make(g, 'rect', {x: x + .5, y: y + .5, width: cell - 1, height: cell - 1, rx: 2, stroke: 'var(--grid)',
                       fill: p.kept ? p.gate < 0 ? 'var(--second)' : 'var(--first)' : 'transparent', 'fill-opacity': p.kept ? .12 + .88 * size : 1});
      if (!p.kept) make(g, 'circle', {cx: x + cell / 2, cy: y + cell / 2, r: 1.3, fill: 'var(--soft)'});
      make(g, 'title', {}, `${nameOf(p)}\n${p.kept ? 'gate ' + short(p.gate) : run.curves ? 'left out, gate ' + short(p.gate) : 'closed'}`);
    }
  }
  for (let i = 0; i <= 20; ++i) {
    make(svg, 'rect', {x: left + n * cell + 14, y: top + (20 - i) * 6, width: 12, height: 6.3, fill: 'var(--first)', 'fill-opacity': .12 + .88 * i / 20});
  }
  make(svg, 'text', {x: left + n * cell + 30, y: top + 8}, short(+largest.toPrecision(2)));
  make(svg, 'text', {x: left + n * cell + 30, y: top + 126}, '0');
}
function ranking(parent) {
  const most = 300, ranked = kept.slice().sort((a, b) => Math.abs(b.gate) - Math.abs(a.gate));
  for (const order of orders) {
    const rows = ranked.filter(i => i.order === order).slice(0, most).map((i, n) => ({...i, rank: n + 1, name: nameOf(i)}));
    if (!rows.length) continue;
    const all = ranked.filter(i => i.order === order).length;
    const c = card(parent, `${setName(order)[0].toUpperCase() + setName(order).slice(1)} by gate`,
                   all > most ? `The ${most} largest of ${group(all)}; all of them are in search.json.` : 'Those that are kept, the largest first.');
    table(c, [{title: 'fields', get: r => r.name}, {title: 'rank', get: r => r.rank}, {title: 'gate', get: r => r.gate, show: short}], rows);
  }
}

// Curves of the gates of one stage; the threshold is drawn on both sides of 0, for a gate is open beyond either.
function course(c, stage) {
  const last = stage.values[stage.values.length - 1], end = stage.threshold, asRun = stage.thresholds[stage.thresholds.length - 1];
  const thresholds = stage.thresholds.map(t => asRun > 0 ? t * end / asRun : t);
  const isOpen = k => stage.kept ? stage.kept[k] : Math.abs(last[k]) > end;
  const order = last.map((_, k) => k).sort((a, b) => Math.abs(last[b]) - Math.abs(last[a]));
  const colors = ['#1f6feb', '#c2570c', '#14804a', '#6f42c1', '#b8860b', '#d1337f', '#0e8a8a', '#7a5230'];
  const strongest = order.filter(isOpen).slice(0, colors.length);
  const high = stage.values.flat().concat(thresholds).reduce((a, b) => Math.max(a, b)), low = stage.values.flat().reduce((a, b) => Math.min(a, b), 0);
  const pad = (high - low) * .05 || 1;
  const f = frame(c, {x0: stage.steps[0], x1: stage.steps[stage.steps.length - 1] || 1, y0: low - (low < 0 ? pad : 0), y1: high + pad,
                      x: 'step', y: 'accumulated by the gate', height: 420, w: 1100});
  const line = (values, attributes) => make(f.svg, 'polyline', {points: values.map((v, t) => f.sx(stage.steps[t]) + ',' + f.sy(v)).join(' '), fill: 'none', ...attributes});
  const draw = k => {
    const place = strongest.indexOf(k);
    const drawn = line(stage.values.map(v => v[k]), {stroke: place >= 0 ? colors[place] : isOpen(k) ? 'var(--first)' : 'var(--soft)',
                       'stroke-width': place >= 0 ? 2.2 : 1, 'stroke-opacity': place >= 0 ? 1 : isOpen(k) ? .35 : .28, 'stroke-linejoin': 'round'});
    make(drawn, 'title', {}, `${stage.names[k]}\n${isOpen(k) ? 'kept, gate ' + short(Math.sign(last[k]) * (Math.abs(last[k]) - end)) : stage.kept ? 'left out' : 'closed'}`);
  };
  order.slice().reverse().forEach(draw);
  if (end > 0) {
    line(thresholds, {stroke: 'var(--text)', 'stroke-width': 2.2, 'stroke-dasharray': '7 4'});
    if (low < 0) {
      const below = thresholds.map((t, i) => [t, i]).filter(([t]) => -t >= low - pad);
      make(f.svg, 'polyline', {points: below.map(([t, i]) => f.sx(stage.steps[i]) + ',' + f.sy(-t)).join(' '), fill: 'none', stroke: 'var(--text)', 'stroke-width': 2.2, 'stroke-dasharray': '7 4'});
    }
  }
  legend(c, [['threshold (dashed)', 'var(--text)'], ...strongest.map((k, place) => [stage.names[k], colors[place]]), ['kept, others', 'var(--first)', true], [stage.kept ? 'left out' : 'closed', 'var(--soft)', true]]);
}

// Loss on valid rows over the number of gates kept; the slider and a click on a point say which ones these are.
function keptCurve(curve) {
  const things = curve.gates === 'dimensions' ? 'numbers of embeddings' : 'interactions';
  make(page, 'h2', {}, `What valid says of stage ${curve.stage}: how many ${things} to keep`);
  const c = card(page, '', `The trained search model on ${group(curve.rows)} valid rows with its strongest ${things} alone, all others masked; nothing is trained anew for it. ` +
                 'The smallest number is kept whose log loss is within one standard error (of the difference, over these rows) of the least.');
  const points = curve.points, best = points.find(p => p.kept === curve.best), chosen = points.find(p => p.kept === curve.chosen);
  const near = points.filter(p => p.kept >= curve.chosen), all = points.map(p => p.loss + p.standard_error);
  let close = false;
  const place = make(c, 'div'), line = make(c, 'p', {class: 'note', 'aria-live': 'polite'});
  const slider = make(c, 'input', {type: 'range', min: 0, max: points.length - 1, value: points.indexOf(chosen), style: 'width:100%', 'aria-label': `${things} kept`});
  const names = make(c, 'p', {class: 'note', style: 'max-width:none'});
  const tell = n => {
    const p = points[n], shown = curve.ranking.slice(0, Math.min(p.kept, 60));
    line.textContent = `${group(p.kept)} of ${group(curve.ranking.length)} kept: log loss ${fixed(6)(p.loss)}, ${p === best ? 'the least' : `${p.above.toExponential(2)} above the least, standard error ${p.standard_error.toExponential(2)}`}${p === chosen ? ' \u2013 chosen' : ''}`;
    names.textContent = shown.join(', ') + (p.kept > shown.length ? `, and ${group(p.kept - shown.length)} more` : '');
  };
  const draw = () => {
    place.replaceChildren();
    const high = close ? Math.max(...near.map(p => p.loss + p.standard_error)) : Math.max(...all), low = best.loss - Math.max(...near.map(p => p.standard_error));
    const pad = (high - low) * .06 || 1e-6, most = points[points.length - 1].kept || 1;
    const f = frame(place, {x0: 0, x1: most, y0: low - pad, y1: high + pad, x: `${things} kept`, y: 'log loss on valid', whole: true, height: 340, w: 1100});
    const inside = v => Math.max(low - pad, Math.min(high + pad, v));
    const drawn = points.filter(p => !close || p.kept >= curve.chosen);
    const edge = sign => drawn.map(p => f.sx(p.kept) + ',' + f.sy(inside(p.loss + sign * p.standard_error)));
    make(f.svg, 'polygon', {points: edge(1).concat(edge(-1).reverse()).join(' '), fill: 'var(--first)', 'fill-opacity': .16});
    make(f.svg, 'polyline', {points: drawn.map(p => f.sx(p.kept) + ',' + f.sy(p.loss)).join(' '), fill: 'none', stroke: 'var(--first)', 'stroke-width': 2, 'stroke-linejoin': 'round'});
    drawn.forEach(p => {
      point(f, p.kept, p.loss, p === chosen ? 'var(--best)' : p === best ? 'var(--second)' : 'var(--first)', `${p.kept} kept: ${fixed(6)(p.loss)}`, p === chosen || p === best ? 6 : 2.5);
      f.svg.lastChild.addEventListener('click', () => { slider.value = points.indexOf(p); tell(+slider.value); });
    });
  };
  legend(c, [['chosen', 'var(--best)'], ['least loss', 'var(--second)'], ['one standard error of the difference from it', 'var(--first)', true]]);
  const near_only = make(make(c, 'label', {class: 'note'}), 'input', {type: 'checkbox'});
  near_only.parentNode.append(' from the chosen number on');
  near_only.addEventListener('change', () => { close = near_only.checked; draw(); });
  slider.addEventListener('input', () => tell(+slider.value));
  draw();
  tell(+slider.value);
}
function courses() {
  for (const stage of run.courses) {
    if (stage.values.length < 2) continue;
    make(page, 'h2', {}, `Gates of ${stage.of} over the steps of stage ${stage.stage}`);
    const c = card(page, '', (stage.names.length < stage.gates ? `${group(stage.names.length)} of ${group(stage.gates)} gates: the largest, and some of the others. ` : '') +
                   (stage.threshold > 0
                     ? 'What GRDA has accumulated for each gate. The gate itself is the part beyond the dashed threshold, which grows with the steps: a curve that ends within it is closed, and its ' + (stage.of === 'dimensions' ? 'number' : 'interaction') + ' is left out.' +
                       (Math.abs(stage.threshold - stage.thresholds[stage.thresholds.length - 1]) > 1e-3 * stage.threshold
                         ? ' It is drawn as chosen by the share or number to keep, not as the gates were trained.' : '')
                     : 'The gates as they were trained.' + (stage.kept ? ' Which are kept, valid rows chose, with the weights of the best evaluation.' : '')));
    course(c, stage);
  }
}
function widths() {
  if (!run.widths) return;
  make(page, 'h2', {}, 'Embedding widths');
  const names = Object.keys(run.widths), most = Math.max(...Object.values(run.widths), 1);
  const c = card(page, '', `Numbers that a row of each field\u2019s table keeps; ${most} at most.`);
  const rowHeight = 22, left = 8 + 7.2 * Math.max(...names.map(n => n.length));
  const svg = make(c, 'svg', {viewBox: `0 0 900 ${names.length * rowHeight + 6}`, role: 'img', 'aria-label': 'width by field'});
  names.forEach((n, i) => {
    const w = run.widths[n], y = 4 + i * rowHeight, length = w / most * (900 - left - 60);
    make(svg, 'text', {x: left - 6, y: y + 13, 'text-anchor': 'end'}, n);
    make(svg, 'rect', {x: left, y: y + 2, width: length, height: rowHeight - 7, rx: 2, fill: 'var(--first)'});
    make(svg, 'text', {x: left + length + 6, y: y + 13}, w);
  });
}
summary();
stages();
if (found.length) {
  shares();
  make(page, 'h2', {}, 'Gates');
  for (const f of functions) heatMap(page, f);
  ranking(make(page, 'div', {class: 'grid', style: 'margin-top:16px'}));
}
(run.curves ?? []).forEach(keptCurve);
courses();
widths();
configuration(run.config);
)html";

}  // namespace interplay
