#include "explain/explain_page.h"

namespace interplay {

const std::string_view kBarTools = R"html(
const signed = digits => v => known(v) ? (v >= 0 ? '+' : '\u2212') + Math.abs(v).toFixed(digits) : 'n/a';
const shortened = (text, most) => text.length > most ? text.slice(0, most - 1) + '\u2026' : text;

// Horizontal bars from 0, each with its 95% interval. bars: [{name, value, low, high}]; low and high may be left out.
function bars(parent, list, axis, digits = 5) {
  const rowHeight = 22, w = 900, foot = 40;
  const left = 14 + 7.2 * Math.max(...list.map(b => Math.min(b.name.length, 34))), right = 92;
  const ends = list.flatMap(b => [b.value, b.low ?? b.value, b.high ?? b.value]);
  let x0 = Math.min(0, ...ends), x1 = Math.max(0, ...ends);
  if (x0 === x1) x1 = 1;
  const height = list.length * rowHeight + 8 + foot;
  const svg = make(parent, 'svg', {viewBox: `0 0 ${w} ${height}`, role: 'img', 'aria-label': axis});
  const sx = v => left + (v - x0) / (x1 - x0) * (w - left - right);
  const grid = ticks(x0, x1, 6), bottom = height - foot;
  for (const v of grid.at) {
    make(svg, 'line', {x1: sx(v), x2: sx(v), y1: 4, y2: bottom, stroke: 'var(--grid)'});
    make(svg, 'text', {x: sx(v), y: bottom + 16, 'text-anchor': 'middle'}, grid.show(v));
  }
  list.forEach((b, i) => {
    const y = 4 + i * rowHeight, from = sx(Math.min(0, b.value)), to = sx(Math.max(0, b.value));
    make(svg, 'text', {x: left - 8, y: y + 15, 'text-anchor': 'end'}, shortened(b.name, 34));
    make(svg, 'rect', {x: from, y: y + 4, width: Math.max(1, to - from), height: rowHeight - 9, rx: 2, fill: b.value < 0 ? 'var(--second)' : 'var(--first)'});
    if (known(b.low)) {
      const edge = {stroke: 'var(--text)', 'stroke-width': 1.4};
      make(svg, 'line', {x1: sx(b.low), x2: sx(b.high), y1: y + 10.5, y2: y + 10.5, ...edge});
      for (const v of [b.low, b.high]) make(svg, 'line', {x1: sx(v), x2: sx(v), y1: y + 6.5, y2: y + 14.5, ...edge});
    }
    make(svg, 'text', {x: w - 4, y: y + 15, 'text-anchor': 'end'}, signed(digits)(b.value));
    const hit = make(svg, 'rect', {x: 0, y, width: w, height: rowHeight, fill: 'transparent'});
    make(hit, 'title', {}, `${b.name}\n${signed(6)(b.value)}` + (known(b.low) ? `, 95% interval ${signed(6)(b.low)} to ${signed(6)(b.high)}` : ''));
  });
  make(svg, 'line', {x1: sx(0), x2: sx(0), y1: 4, y2: bottom, stroke: 'var(--text)'});
  make(svg, 'text', {x: (left + w - right) / 2, y: height - 6, 'text-anchor': 'middle'}, axis);
}
const barOf = (name, i) => ({name, value: i.value, low: i.low, high: i.high});
const between = (i, show) => `${show(i.low)} to ${show(i.high)}`;
function more(parent, all, shown) {
  if (all > shown) make(parent, 'p', {class: 'note'}, `The first ${shown} of ${group(all)}; all of them are in the JSON beside this page.`);
}
)html";

const std::string_view kExplainScript = R"html(
const most = 40;
function summary() {
  make(page, 'h1', {}, run.title);
  const tiles = make(page, 'div', {class: 'tiles'});
  const tile = (title, value, tip = '') => {
    const t = make(tiles, 'div', {class: 'tile', title: tip});
    make(t, 'span', {}, title);
    make(t, 'b', {}, value);
  };
  tile(`AUC on ${run.split}`, fixed(5)(run.auc.value), `95% interval ${between(run.auc, fixed(5))}`);
  tile(`logloss on ${run.split}`, fixed(5)(run.logloss.value), `95% interval ${between(run.logloss, fixed(5))}`);
  tile('rows looked at', run.rows === run.of_rows ? group(run.rows) : `${group(run.rows)} of ${group(run.of_rows)}`);
  tile('label', run.label);
  tile('run', run.run);
}
function importances(list, title, note) {
  if (!list?.length) return;
  make(page, 'h2', {}, title);
  const shown = list.slice(0, most);
  const c = card(page, 'Log loss gained', note);
  bars(c, shown.map(i => barOf(i.name, i.logloss_gained)), 'mean log loss gained where the values are shuffled among the rows');
  const auc = card(page, 'AUC lost', 'The same shuffles, by the AUC.');
  auc.style.marginTop = '16px';
  bars(auc, shown.map(i => barOf(i.name, i.auc_lost)), 'AUC lost');
  more(auc, list.length, most);
  const t = make(page, 'div', {class: 'card', style: 'margin-top:16px'});
  table(t, [{title: 'field', get: i => i.fields.length > 1 && i.fields[0] === i.name ? i.fields.join(' + ') : i.name},
            ...(list.some(i => i.fields[0] !== i.name) ? [{title: 'fields', get: i => i.fields.join(', ')}] : []),
            {title: 'log loss gained', get: i => i.logloss_gained.value, show: signed(6)}, {title: '95% interval', get: i => between(i.logloss_gained, signed(6))},
            {title: 'AUC lost', get: i => i.auc_lost.value, show: signed(6)}, {title: '95% interval', get: i => between(i.auc_lost, signed(6))}], list);
}
function pairs() {
  if (!run.pairs) return;
  const own = run.pairs.by === 'model', list = run.pairs.pairs, largest = list.slice(0, most);
  make(page, 'h2', {}, 'Pairs of fields');
  const c = card(page, own ? 'What the model keeps for each pair' : 'What two fields say together that neither says alone',
                 own ? 'Gates or weights of pairs, as the model learnt them; the larger by size, the more a pair counts.'
                     : 'Friedman and Popescu\u2019s statistic on logits. Strength is its numerator, in logits: how far the logit departs from a sum of the two. H is its share of all that the two say, from 0 to 1, and may be large where they say next to nothing.');
  bars(c, largest.map(p => ({name: p.fields.join(' \u00d7 '), value: p.strength})), own ? 'gate or weight' : 'strength, logits', 4);
  more(c, list.length, most);
  const t = make(page, 'div', {class: 'card', style: 'margin-top:16px'});
  table(t, [{title: 'pair', get: p => p.fields.join(' \u00d7 ')}, {title: own ? 'gate or weight' : 'strength', get: p => p.strength, show: fixed(5)},
            ...(own ? [] : [{title: 'H', get: p => p.h, show: fixed(4)}])], list.slice(0, 300));
}
function rows() {
  if (!run.rows_explained) return;
  make(page, 'h2', {}, 'Single rows');
  for (const r of run.rows_explained) {
    const c = card(page, `Row ${group(r.row)}: p ${fixed(4)(r.p)}, ${known(r.label) ? `observed ${short(r.label)}` : 'label missing'}`,
                   `Integrated gradients from the mean vector of every field, whose logit is ${fixed(4)(r.baseline)}, to this row, whose logit is ${fixed(4)(r.logit)}: the bars add up to the difference within ${Math.abs(r.error).toExponential(1)}, in ${r.steps} steps.` +
                   (r.complete ? '' : ' That is more than the tolerance: take them as approximate.'));
    c.style.marginBottom = '16px';
    const list = r.fields.slice().sort((a, b) => Math.abs(b.attribution) - Math.abs(a.attribution)).slice(0, most);
    bars(c, list.map(f => ({name: f.value ? `${f.name} = ${f.value}` : f.name, value: f.attribution})), 'part of the logit', 4);
  }
}
function effects() {
  if (!run.curves?.length) return;
  make(page, 'h2', {}, 'Numeric fields');
  const grid = make(page, 'div', {class: 'grid'});
  for (const c of run.curves) {
    const points = c.points, values = points.flatMap(p => [p.p.low, p.p.high]);
    const x0 = points[0].value, x1 = points[points.length - 1].value;
    const box = card(grid, c.field, 'Mean probability where every row has this value; the band is the 95% interval of the mean.');
    if (x0 === x1) { make(box, 'p', {class: 'note'}, `One value, ${short(x0)}: there is no curve.`); continue; }
    let y0 = Math.min(...values), y1 = Math.max(...values);
    const pad = (y1 - y0) * .08 || .01;
    const f = frame(box, {x0, x1, y0: y0 - pad, y1: y1 + pad, x: c.field, y: 'mean probability'});
    const edge = end => points.map(p => f.sx(p.value) + ',' + f.sy(p.p[end]));
    make(f.svg, 'polygon', {points: edge('high').concat(edge('low').reverse()).join(' '), fill: 'var(--first)', 'fill-opacity': .16});
    make(f.svg, 'polyline', {points: edge('value').join(' '), fill: 'none', stroke: 'var(--first)', 'stroke-width': 2, 'stroke-linejoin': 'round'});
    for (const p of points) point(f, p.value, p.p.value, 'var(--first)', `${c.field} ${short(p.value)}\np ${fixed(4)(p.p.value)}, ${between(p.p, fixed(4))}`);
  }
}
function slices() {
  const s = run.slices;
  if (!s) return;
  make(page, 'h2', {}, 'Where the model does worst');
  const columns = [{title: 'slice', get: r => `${r.field} = ${r.value}`}, {title: 'rows', get: r => r.rows, show: count}];
  const note = `${group(s.looked_at)} slices were looked at; intervals are of 95% for all of them together (Bonferroni).`;
  const loss = card(page, 'Log loss above that of all other rows', note + ' Ranked by the lower end.');
  table(loss, [...columns, {title: 'excess', get: r => r.logloss_excess.value, show: signed(5)}, {title: 'interval', get: r => between(r.logloss_excess, signed(5))}], s.by_logloss);
  const gap = card(page, 'Mean probability less what was observed', note + ' Above 0 the model says too much.');
  gap.style.marginTop = '16px';
  table(gap, [...columns, {title: 'mean p', get: r => r.mean_p, show: fixed(4)}, {title: 'observed', get: r => r.observed, show: fixed(4)},
              {title: 'gap', get: r => r.calibration_gap.value, show: signed(4)}, {title: 'interval', get: r => between(r.calibration_gap, signed(4))}], s.by_calibration);
}
summary();
importances(run.fields, 'Fields', `What the model loses where a row no longer says what this field is: its values are shuffled among the rows, ${run.repeats} times. Bars are means, lines 95% intervals over rows (paired bootstrap, ${run.replicates} replicates). A field whose interval holds 0 may say nothing that the others do not.`);
importances(run.groups, 'Groups of fields', 'All fields of a group are shuffled together.');
pairs();
rows();
effects();
slices();
)html";

}  // namespace interplay
