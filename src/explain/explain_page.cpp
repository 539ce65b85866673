#include "explain/explain_page.h"

namespace interplay {

const std::string_view kExplainScript = R"html(
const most = 40;
function summary() {
  make(page, 'h1', {}, run.title);
  const tiles = make(page, 'div', {class: 'tiles'});
  tile(tiles, `AUC on ${run.split}`, fixed(5)(run.auc.value), between(run.auc, fixed(5)));
  tile(tiles, `logloss on ${run.split}`, fixed(5)(run.logloss.value), between(run.logloss, fixed(5)));
  tile(tiles, 'rows looked at', run.rows === run.of_rows ? group(run.rows) : `${group(run.rows)} of ${group(run.of_rows)}`);
  tile(tiles, 'label', run.label);
  tile(tiles, 'run', run.run);
}
function importances(list, title, note) {
  if (!list?.length) return;
  make(page, 'h2', {}, title);
  const shown = list.slice(0, most);
  const c = card(page, 'Log loss gained', note);
  bars(c, shown.map(i => barOf(i.name, i.logloss_gained)), 'mean log loss gained');
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
