#include <interplay/train/report_page.h>

#include "train/page_tools.h"

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
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 430px), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px; min-width: 0; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 8px 14px; }
.tile b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.tile small { display: block; color: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.lead { font-size: 16px; margin: 0 0 12px; max-width: 90ch; }
.warn { color: var(--second); font-weight: 600; margin: 10px 0 0; }
.meter { height: 12px; margin: 10px 0 12px; border-radius: 6px; background: var(--grid); overflow: hidden; }
.meter i { display: block; height: 100%; background: var(--first); }
.tiles + p.note { margin: 10px 0 0; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 8px 20px; margin: 0; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll + p.note { margin-top: 8px; }
.scroll { overflow: auto; max-height: 560px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { position: sticky; top: 0; background: var(--card); }
th:first-child, td:first-child, .words { text-align: left; }
td.words:not(:first-child) { white-space: normal; min-width: 12ch; }
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
  page.append(replaced(json, '<', "\\u003c")).append(kPageTools).append(kPageCharts).append(script).append(kEnd);
  return page;
}

}  // namespace interplay
