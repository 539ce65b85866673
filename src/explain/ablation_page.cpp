#include <filesystem>

#include <nlohmann/json.hpp>

#include <interplay/explain/ablation.h>
#include <interplay/train/report_page.h>

#include "explain/explain_page.h"
#include "explain/interval_json.h"

namespace interplay {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kAblationScript = R"html(
const most = 60;
make(page, 'h1', {}, run.title);
const tiles = make(page, 'div', {class: 'tiles'});
for (const [title, value] of [[`AUC on ${run.split}, all fields`, fixed(5)(run.auc)], [`logloss on ${run.split}, all fields`, fixed(5)(run.logloss)],
                              ['rows', group(run.rows)], ['seeds', run.seeds.join(', ')], ['label', run.label]]) {
  tile(tiles, title, value);
}
const named = v => v.fields.join(' + '), shown = run.values.slice(0, most);
make(page, 'h2', {}, 'Does it help?');
const over = run.seeds.length > 1 ? 'rows and seeds' : 'rows alone, for there is one seed';
const note = `Trained with all fields and without these, the same seeds on both sides: means of the differences, lines 95% intervals over ${over} (paired bootstrap, ${run.replicates} replicates). An interval that holds 0 cannot tell; of twenty fields that say nothing, one is expected to be beyond.`;
const loss = card(page, 'Log loss saved', note);
bars(loss, shown.map(v => barOf(named(v), v.logloss_saved)), 'log loss without, less log loss with');
more(loss, run.values.length, most);
const auc = card(page, 'AUC added', '');
auc.style.marginTop = '16px';
bars(auc, shown.map(v => barOf(named(v), v.auc_added)), 'AUC with, less AUC without');
const t = make(page, 'div', {class: 'card', style: 'margin-top:16px'});
table(t, [{title: 'fields', get: named}, {title: 'helps', get: v => v.helps},
          {title: 'AUC added', get: v => v.auc_added.value, show: signed(6)}, {title: '95% interval', get: v => between(v.auc_added, signed(6))},
          {title: 'log loss saved', get: v => v.logloss_saved.value, show: signed(6)}, {title: '95% interval', get: v => between(v.logloss_saved, signed(6))},
          ...run.seeds.map((s, i) => ({title: `AUC, seed ${s}`, get: v => v.auc_by_seed[i], show: signed(5)}))], run.values);
if (run.not_asked.length) {
  make(page, 'h2', {}, 'Not asked');
  const c = card(page, '', 'Fields that the model cannot do without.');
  table(c, [{title: 'field', get: n => n.field}, {title: 'why', get: n => n.why}], run.not_asked);
}
configuration(run.config);
)html";

Json to_json(const Ablation& a) {
  Json values = Json::array(), not_asked = Json::array();
  for (const auto& v : a.values) {
    values.push_back({{"fields", v.fields},
                      {"helps", does_it_help(v)},
                      {"auc_added", interval_json(v.auc)},
                      {"logloss_saved", interval_json(v.logloss)},
                      {"auc_by_seed", v.auc_by_seed},
                      {"logloss_by_seed", v.logloss_by_seed}});
  }
  for (const auto& n : a.not_asked) not_asked.push_back({{"field", n.field}, {"why", n.why}});
  return {{"model", a.model}, {"data", a.data},        {"split", a.split},
          {"label", a.label}, {"rows", a.rows},        {"seeds", a.seeds},
          {"auc", a.auc},     {"logloss", a.logloss},  {"replicates", a.replicates},
          {"values", values}, {"not_asked", not_asked}};
}

}  // namespace

std::string ablation_json(const Ablation& a) {
  return to_json(a).dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string ablation_html(const Ablation& a, const std::string& config) {
  Json page = to_json(a);
  page["title"] =
      fmt::format("Ablation: {} on {}", a.model, std::filesystem::weakly_canonical(a.data).filename().string());
  page["config"] = config;
  return page_html(page["title"].get<std::string>(), page.dump(-1, ' ', false, Json::error_handler_t::replace),
                   kAblationScript);
}

}  // namespace interplay
