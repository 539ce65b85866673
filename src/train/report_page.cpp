#include <interplay/train/report_page.h>

namespace interplay {
namespace {

constexpr std::string_view kHead = R"html(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>)html";

constexpr std::string_view kStyle = R"html(</title>
<style>
:root {
  --page: #f6f7f9; --card: #ffffff; --text: #1c2430; --soft: #5b6675; --line: #dfe3e8; --grid: #e9ecf0;
  --first: #1f6feb; --second: #c2570c; --best: #14804a; --mark: #e7f4ec;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1318; --card: #181e26; --text: #e4e8ee; --soft: #98a4b3; --line: #2c3541; --grid: #252d38;
    --first: #6cb0ff; --second: #ffa25c; --best: #5fd08f; --mark: #173325;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 25px; margin: 0 0 14px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 34px 0 10px; }
h3 { font-size: 15px; margin: 0 0 2px; }
p.note { color: var(--soft); font-size: 13.5px; margin: 0 0 8px; max-width: 80ch; }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px; min-width: 0; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; }
.tile b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 8px 20px; margin: 0; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll + p.note { margin-top: 8px; }
.scroll { overflow: auto; max-height: 560px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { position: sticky; top: 0; background: var(--card); }
th:first-child, td:first-child { text-align: left; }
th button { all: unset; cursor: pointer; font-weight: 600; font-size: 13.5px; }
th button:hover, th button:focus-visible { text-decoration: underline; }
th[aria-sort=ascending] button::after { content: " \25B2"; }
th[aria-sort=descending] button::after { content: " \25BC"; }
tr.best td { background: var(--mark); }
tr.best td:first-child::after { content: " kept"; color: var(--best); font-weight: 600; }
pre { margin: 0; overflow: auto; font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace; }
summary { cursor: pointer; font-weight: 600; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; }
main > .card + .card { margin-top: 16px; }
.bar { display: flex; height: 26px; margin: 8px 0; border-radius: 5px; overflow: hidden; }
.bar span { min-width: 1px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px; color: var(--soft); }
.legend i { display: inline-block; width: 18px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: 3px; }
.legend i.band { height: 11px; opacity: .55; vertical-align: -1px; }
@media print { .scroll { max-height: none; } .card { break-inside: avoid; } }
</style>
</head>
<body>
<main id="page"><noscript>This page draws itself with a script, which is switched off here. Its numbers are in its source, as JSON.</noscript></main>
<script type="application/json" id="report-data">)html";

// Plain DOM and SVG. Every text of the run enters through textContent, never as markup.
constexpr std::string_view kTools = R"html(</script>
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
const short = v => known(v) ? String(+v.toPrecision(4)) : 'n/a';
const count = v => known(v) ? group(v) : 'n/a';
function duration(s) {
  if (!known(s)) return 'n/a';
  if (s < 60) return s.toFixed(1) + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min ' + Math.round(s % 60) + ' s';
  return Math.floor(s / 3600) + ' h ' + Math.round(s % 3600 / 60) + ' min';
}

// Columns: {title, get(row) -> number or text, show(value) -> text}. A click sorts, a second click turns the order.
function table(parent, columns, rows, best = () => false) {
  const scroll = make(parent, 'div', {class: 'scroll'});
  const t = make(scroll, 'table');
  const head = make(make(t, 'thead'), 'tr');
  const body = make(t, 'tbody');
  const fill = () => {
    body.replaceChildren();
    for (const row of rows) {
      const tr = make(body, 'tr', best(row) ? {class: 'best'} : {});
      for (const c of columns) {
        const td = make(tr, 'td', {}, c.show ? c.show(c.get(row)) : c.get(row));
        if (c.why && c.why(row)) td.title = c.why(row);
      }
    }
  };
  for (const c of columns) {
    const th = make(head, 'th', {scope: 'col'});
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

function ticks(low, high, wanted = 5) {
  const raw = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find(f => f * power >= raw * 0.999);
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) out.push(i * step);
  return {at: out, show: v => v.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)))};
}

// Axes over [x0, x1] x [y0, y1]; returns the drawing and its scales.
function frame(parent, {x0, x1, y0, y1, x, y, whole = false, height = 270, w = 520}) {
  const left = 62, right = 14, top = 12, bottom = 44;
  const svg = make(parent, 'svg', {viewBox: `0 0 ${w} ${height}`, role: 'img', 'aria-label': `${y} over ${x}`});
  const sx = v => left + (v - x0) / (x1 - x0) * (w - left - right);
  const sy = v => height - bottom - (v - y0) / (y1 - y0) * (height - top - bottom);
  const ty = ticks(y0, y1, 7), tx = ticks(x0, x1, whole ? Math.min(8, x1 - x0) : 6);
  for (const v of ty.at) {
    make(svg, 'line', {x1: left, x2: w - right, y1: sy(v), y2: sy(v), stroke: 'var(--grid)'});
    make(svg, 'text', {x: left - 7, y: sy(v) + 4, 'text-anchor': 'end'}, ty.show(v));
  }
  for (const v of tx.at) {
    make(svg, 'line', {x1: sx(v), x2: sx(v), y1: height - bottom, y2: height - bottom + 4, stroke: 'var(--soft)'});
    make(svg, 'text', {x: sx(v), y: height - bottom + 18, 'text-anchor': 'middle'}, tx.show(v));
  }
  make(svg, 'line', {x1: left, x2: w - right, y1: height - bottom, y2: height - bottom, stroke: 'var(--soft)'});
  make(svg, 'text', {x: (left + w - right) / 2, y: height - 7, 'text-anchor': 'middle'}, x);
  const mid = (top + height - bottom) / 2;
  make(svg, 'text', {x: 14, y: mid, 'text-anchor': 'middle', transform: `rotate(-90 14 ${mid})`}, y);
  return {svg, sx, sy};
}
function legend(parent, entries) {
  const box = make(parent, 'div', {class: 'legend'});
  for (const [name, color, band] of entries) {
    const span = make(box, 'span');
    make(span, 'i', {style: `background:${color}`, class: band ? 'band' : ''});
    span.append(name);
  }
}
function point(f, x, y, color, tip, r = 3.5) {
  make(f.svg, 'circle', {cx: f.sx(x), cy: f.sy(y), r, fill: color});
  make(make(f.svg, 'circle', {cx: f.sx(x), cy: f.sy(y), r: 11, fill: 'transparent'}), 'title', {}, tip);
}
// Wilson's 95% interval of a share seen in n rows.
function interval(share, n) {
  const z = 1.96, d = 1 + z * z / n, mid = (share + z * z / (2 * n)) / d;
  const half = z / d * Math.sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  return [Math.max(0, mid - half), Math.min(1, mid + half)];
}
// series: [{name, color, bins}], each drawn over the others.
function reliability(parent, title, note, series) {
  const shown = series.map(s => ({...s, bins: s.bins.filter(b => b.weight > 0)})).filter(s => s.bins.length);
  if (!shown.length) return;
  const c = card(parent, title, note);
  const top = Math.min(1, 1.05 * Math.max(...shown.flatMap(s => s.bins).map(b => Math.max(b.mean_p, interval(b.observed, b.rows)[1]))));
  const f = frame(c, {x0: 0, x1: top, y0: 0, y1: top, x: 'predicted probability, mean', y: 'observed rate', height: 330});
  make(f.svg, 'line', {x1: f.sx(0), y1: f.sy(0), x2: f.sx(top), y2: f.sy(top), stroke: 'var(--soft)', 'stroke-dasharray': '4 4'});
  for (const s of shown) {
    for (const b of s.bins) {
      const [low, high] = interval(b.observed, b.rows);
      make(f.svg, 'line', {x1: f.sx(b.mean_p), x2: f.sx(b.mean_p), y1: f.sy(low), y2: f.sy(high), stroke: s.color, 'stroke-width': 1.5});
      point(f, b.mean_p, b.observed, s.color,
            `predicted ${fixed(4)(b.mean_p)} (${fixed(4)(b.low_p)} to ${fixed(4)(b.high_p)})\nobserved ${fixed(4)(b.observed)}\n${group(b.rows)} rows`);
    }
  }
  if (shown.length > 1) legend(c, shown.map(s => [s.name, s.color]));
}
function configuration(text) {
  if (!text) return;
  make(page, 'h2', {}, 'Configuration');
  const details = make(make(page, 'div', {class: 'card'}), 'details');
  make(details, 'summary', {}, 'every option as resolved');
  make(details, 'pre', {}, text);
}
function card(parent, title, note) {
  const c = make(parent, 'div', {class: 'card'});
  make(c, 'h3', {}, title);
  if (note) make(c, 'p', {class: 'note'}, note);
  return c;
}
)html";

constexpr std::string_view kEnd = R"html(</script>
</body>
</html>
)html";

std::string replaced(std::string_view text, char what, std::string_view by) {
  std::string out;
  for (const char c : text) c == what ? out.append(by) : out.append(1, c);
  return out;
}

}  // namespace

std::string page_html(std::string_view title, std::string_view json, std::string_view script) {
  std::string page(kHead);
  // `<` may only end or hide the script element it stands in, so it is written as an escape.
  page.append(replaced(replaced(title, '&', "&amp;"), '<', "&lt;")).append(kStyle);
  page.append(replaced(json, '<', "\\u003c")).append(kTools).append(script).append(kEnd);
  return page;
}

}  // namespace interplay
