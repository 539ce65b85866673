#include "train/page_tools.h"

namespace interplay {

const std::string_view kPageCharts = R"html(
function ticks(low, high, wanted = 5) {
  const raw = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find(f => f * power >= raw * 0.999);
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) out.push(i * step);
  return {at: out, show: v => v.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)))};
}

// As wide as there is room, so that texts of a drawing keep their size on a narrow screen.
const widthIn = (parent, least, most) => Math.max(least, Math.min(most, (parent.clientWidth || most + 32) - 32));

// Axes over [x0, x1] x [y0, y1]; returns the drawing and its scales.
function frame(parent, {x0, x1, y0, y1, x, y, whole = false, height = 270, w = widthIn(parent, 320, 520)}) {
  const left = 62, right = 14, top = 12, bottom = 44;
  const svg = make(parent, 'svg', {viewBox: `0 0 ${w} ${height}`, role: 'img', 'aria-label': `${y} over ${x}`});
  const sx = v => left + (v - x0) / (x1 - x0) * (w - left - right);
  const sy = v => height - bottom - (v - y0) / (y1 - y0) * (height - top - bottom);
  const ty = ticks(y0, y1, 7), tx = ticks(x0, x1, whole ? Math.min(8, x1 - x0) : w < 420 ? 4 : 6);
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
  return {svg, sx, sy, w};
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
// Horizontal bars from 0, each with its 95% interval. bars: [{name, value, low, high}]; low and high may be left out.
function bars(parent, list, axis, digits = 5) {
  const rowHeight = 22, w = widthIn(parent, 320, 900), foot = 40, longest = w < 600 ? 16 : 34;
  const left = 14 + 7.2 * Math.max(...list.map(b => Math.min(b.name.length, longest))), right = w < 600 ? 76 : 92;
  const ends = list.flatMap(b => [b.value, b.low ?? b.value, b.high ?? b.value]);
  let x0 = Math.min(0, ...ends), x1 = Math.max(0, ...ends);
  if (x0 === x1) x1 = 1;
  const height = list.length * rowHeight + 8 + foot;
  const svg = make(parent, 'svg', {viewBox: `0 0 ${w} ${height}`, role: 'img', 'aria-label': axis});
  const sx = v => left + (v - x0) / (x1 - x0) * (w - left - right);
  const grid = ticks(x0, x1, w < 600 ? 3 : 6), bottom = height - foot;
  for (const v of grid.at) {
    make(svg, 'line', {x1: sx(v), x2: sx(v), y1: 4, y2: bottom, stroke: 'var(--grid)'});
    make(svg, 'text', {x: sx(v), y: bottom + 16, 'text-anchor': 'middle'}, grid.show(v));
  }
  list.forEach((b, i) => {
    const y = 4 + i * rowHeight, from = sx(Math.min(0, b.value)), to = sx(Math.max(0, b.value));
    make(svg, 'text', {x: left - 8, y: y + 15, 'text-anchor': 'end'}, shortened(b.name, longest));
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

}  // namespace interplay
