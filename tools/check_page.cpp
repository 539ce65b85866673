#include "check_page.h"

namespace interplay::tool {

const std::string_view kCheckScript = R"html(
const colors = {severe: '#c0392b', warning: 'var(--second)', note: 'var(--first)'};
const shown = f => f.unit === 'share' ? (100 * f.value).toFixed(1) + '%' : f.unit === 'count' ? count(f.value) : fixed(4)(f.value);

function summary() {
  make(page, 'h1', {}, run.data);
  const tiles = make(page, 'div', {class: 'tiles'});
  for (const severity of Object.keys(colors)) tile(tiles, severity, count(run.findings.filter(f => f.severity === severity).length));
  for (const s of run.splits) tile(tiles, `${s.name} rows`, count(s.rows));
  if (run.unusable_rows) tile(tiles, 'rows that cannot be used', count(run.unusable_rows));
  if (run.left_out_rows) tile(tiles, 'rows left out', count(run.left_out_rows));
}
function rowsOf(parent, finding) {
  const heads = [...new Set(finding.rows.flatMap(r => Object.keys(r.cells)))];
  table(parent, [{title: 'row', get: r => r.place}, ...heads.map(h => ({title: h, get: r => r.cells[h] ?? ''}))], finding.rows);
}
function findings() {
  make(page, 'h2', {}, 'What was found');
  if (!run.findings.length) make(page, 'p', {class: 'note'}, 'Nothing.');
  for (const f of run.findings) {
    const c = make(page, 'div', {class: 'card', style: `border-left: 5px solid ${colors[f.severity]}`});
    make(c, 'h3', {}, `${f.severity}: ${f.check}${f.field ? ', ' + f.field : ''}`);
    make(c, 'p', {}, f.text);
    if (f.rows.length) rowsOf(c, f);
    if (f.remedy) make(c, 'p', {class: 'note'}, f.remedy);
    if (f.yaml) make(c, 'pre', {}, f.yaml);
  }
}
function fields() {
  make(page, 'h2', {}, 'Fields');
  const heads = [...new Set(run.fields.flatMap(f => f.figures.map(x => x.name)))];
  const figure = (f, name) => f.figures.find(x => x.name === name);
  const c = make(page, 'div', {class: 'card'});
  table(c, [{title: 'field', get: f => f.name}, {title: 'kind', get: f => f.kind},
            ...heads.map(h => ({title: h, get: f => figure(f, h)?.value ?? NaN,
                                show: v => known(v) ? shown({...run.fields.flatMap(f => f.figures).find(x => x.name === h), value: v}) : ''}))], run.fields);
}
function splits() {
  make(page, 'h2', {}, 'Splits');
  const c = make(page, 'div', {class: 'card'});
  table(c, [{title: 'split', get: s => s.name}, {title: 'rows', get: s => s.rows, show: count},
            ...run.labels.map((l, i) => ({title: `${l} is 1`, get: s => s.label_rates[i], show: v => known(v) ? (100 * v).toFixed(2) + '%' : 'n/a'}))], run.splits);
}
summary();
findings();
fields();
splits();
)html";

}  // namespace interplay::tool
