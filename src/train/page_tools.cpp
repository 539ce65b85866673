#include "train/page_tools.h"

namespace interplay {

// Plain DOM and SVG. Every text of the run enters through textContent, never as markup.
const std::string_view kPageTools = R"html(</script>
<script>
'use strict';
const run = JSON.parse(document.getElementById('report-data').textContent);
const page = document.getElementById('page');
const SVG = 'http://www.w3.org/2000/svg';

function make(parent, tag, attributes = {}, text = null) {
  const drawn = parent instanceof SVGElement || tag === 'svg';
  const e = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text !== null) e.textContent = text;
  parent.append(e);
  return e;
}
const known = v => typeof v === 'number' && isFinite(v);
const group = n => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, '\u202f');
const fixed = digits => v => known(v) ? v.toFixed(digits) : 'n/a';
const signed = digits => v => known(v) ? (v >= 0 ? '+' : '\u2212') + Math.abs(v).toFixed(digits) : 'n/a';
const shortened = (text, most) => text.length > most ? text.slice(0, most - 1) + '\u2026' : text;
const short = v => known(v) ? String(+v.toPrecision(4)) : 'n/a';
const count = v => known(v) ? group(v) : 'n/a';
function duration(s) {
  if (!known(s)) return 'n/a';
  if (s < 60) return s.toFixed(s < 10 ? 2 : 1) + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min ' + Math.round(s % 60) + ' s';
  return Math.floor(s / 3600) + ' h ' + Math.round(s % 3600 / 60) + ' min';
}

// Columns: {title, get(row) -> number or text, show(value, row) -> text}. A click sorts, a second click turns the order.
// Words stand at the left and go on in the next line, numbers and ranges of numbers at the right.
function table(parent, columns, rows, best = () => false) {
  const scroll = make(parent, 'div', {class: 'scroll'});
  const t = make(scroll, 'table');
  const head = make(make(t, 'thead'), 'tr');
  const body = make(t, 'tbody');
  const words = columns.map(c => !c.show && rows.some(r => /\p{L}{3}/u.test(c.get(r) ?? '')));
  const cell = i => words[i] ? {class: 'words'} : {};
  const fill = () => {
    body.replaceChildren();
    for (const row of rows) {
      const tr = make(body, 'tr', best(row) ? {class: 'best'} : {});
      for (const [i, c] of columns.entries()) {
        const td = make(tr, 'td', cell(i), c.show ? c.show(c.get(row), row) : c.get(row));
        if (c.why && c.why(row)) td.title = c.why(row);
      }
    }
  };
  for (const [i, c] of columns.entries()) {
    const th = make(head, 'th', {scope: 'col', ...cell(i)});
    make(th, 'button', {type: 'button', title: 'sort'}, c.title).onclick = () => {
      const down = th.getAttribute('aria-sort') !== 'descending';
      for (const other of head.children) other.removeAttribute('aria-sort');
      th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      rows = rows.slice().sort((a, b) => {
        const x = c.get(a), y = c.get(b);
        if (typeof x === 'string' && typeof y === 'string') return (down ? -1 : 1) * x.localeCompare(y);
        if (!known(x) || !known(y)) return known(y) - known(x);  // unknown values stay last
        return down ? y - x : x - y;
      });
      fill();
    };
  }
  fill();
}
const metric = (row, name) => row.metrics.find(m => m.name === name);
function metricNames(rows) {
  const seen = new Map();
  for (const row of rows) for (const m of row.metrics) seen.set(m.name, m.display);
  return [...seen];
}
const metricColumns = rows => metricNames(rows).map(([name, display]) => ({
  title: display, get: r => metric(r, name)?.value, show: fixed(6), why: r => metric(r, name)?.reason}));

function configuration(text) {
  if (!text) return;
  make(page, 'h2', {}, 'Configuration');
  const details = make(make(page, 'div', {class: 'card'}), 'details');
  make(details, 'summary', {}, 'every option as resolved');
  make(details, 'pre', {}, text);
}
function facts(parent, list) {
  const terms = make(parent, 'dl');
  for (const [name, value] of list) {
    const item = make(terms, 'div');
    make(item, 'dt', {}, name);
    make(item, 'dd', {}, value);
  }
}
function tile(parent, title, value, below = '', tip = '') {
  const t = make(parent, 'div', {class: 'tile', title: tip ?? ''});
  make(t, 'span', {}, title);
  make(t, 'b', {}, value);
  if (below) make(t, 'small', {}, below);
}
function card(parent, title, note) {
  const c = make(parent, 'div', {class: 'card'});
  make(c, 'h3', {}, title);
  if (note) make(c, 'p', {class: 'note'}, note);
  return c;
}
)html";

}  // namespace interplay
