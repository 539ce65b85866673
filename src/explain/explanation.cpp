#include <interplay/explain/explanation.h>

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/log.h>
#include <interplay/core/bundle.h>
#include <interplay/data/encoder.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

/// The place of the label that is explained.
int64_t label_place(const std::vector<std::string>& labels, const std::string& wanted, const fs::path& run) {
  INTERPLAY_CHECK(!wanted.empty() || labels.size() == 1,
                  "{} learnt the labels {}; say which one is meant: --label NAME", run.string(),
                  fmt::join(labels, ", "));
  if (wanted.empty()) return 0;
  const auto found = std::find(labels.begin(), labels.end(), wanted);
  INTERPLAY_CHECK(found != labels.end(), "--label {}: {} learnt no such label (labels: {})", wanted, run.string(),
                  fmt::join(labels, ", "));
  return found - labels.begin();
}

void check_rows(const std::vector<int64_t>& rows, const Dataset& dataset) {
  for (const int64_t row : rows) {
    INTERPLAY_CHECK(row >= 0 && row < dataset.rows(), "--row {}: {} has {} rows, 0 to {}", row, dataset.name(),
                    dataset.rows(), dataset.rows() - 1);
  }
}

std::string value_of(const Encoder& encoder, const Field& field, int64_t id) {
  const std::string token = encoder.token(field.table, id);
  if (!token.empty()) return token;
  return id == 0 ? "(missing)" : id + 1 == field.rows ? "(unseen)" : fmt::format("id {}", id);
}

/// What a field says in one row, in a few words. Fields that an experiment adds have no cell.
std::string cell(const Encoder& encoder, const Schema& schema, const Features& x, const std::string& name) {
  const Field* const f = schema.find(name);
  if (!f) return "";
  if (f->kind == FieldKind::categorical) return value_of(encoder, *f, x.ids[0][f->column].item<int64_t>());
  if (f->kind == FieldKind::numeric) return fmt::format("{:.6g}", raw_number(*f, x.dense[0][f->column].item<double>()));
  if (f->kind != FieldKind::sequence) return "";
  constexpr int64_t kShown = 5;
  const at::Tensor& ids = x.sequences[size_t(f->column)].ids;
  std::vector<std::string> entries;
  for (int64_t i = 0; i < std::min(kShown, ids.size(0)); ++i)
    entries.push_back(value_of(encoder, *f, ids[i].item<int64_t>()));
  if (ids.size(0) > kShown) entries.push_back(fmt::format("... ({} in all)", ids.size(0)));
  return fmt::format("{}", fmt::join(entries, ", "));
}

void sort_by_loss(std::vector<Importance>& importances) {
  std::stable_sort(importances.begin(), importances.end(),
                   [](const Importance& a, const Importance& b) { return a.loss.value > b.loss.value; });
}

/// A run, opened, with the rows that it is explained on.
struct Explained {
  Explained(const fs::path& run, const ExplainOptions& o)
      : bundle(Bundle::open(run)),
        label(label_place(bundle.schema().labels(), o.label, run)),
        whole(open(o, bundle)),
        dataset(whole.select(bundle.schema())),
        groups(o.groups.empty() ? std::vector<FieldGroup>() : read_groups(o.groups, bundle.schema())),
        model(bundle.model()),
        logit{*model, label, offset()},
        rows(dataset, sample(o)) {}

  static Dataset open(const ExplainOptions& o, const Bundle& bundle) {
    bundle.check_data(o.data);
    const Dataset rows = Dataset::open(o.data, o.split);
    check_rows(o.explained, rows);
    return rows;
  }
  double offset() const {
    const auto offsets = bundle.logit_offsets();
    return offsets.empty() ? 0 : offsets[size_t(label)];
  }
  SampledRows::Options sample(const ExplainOptions& o) const { return {o.rows, label, o.importance.seed}; }

  Bundle bundle;
  int64_t label;
  Dataset whole, dataset;
  std::vector<FieldGroup> groups;
  std::shared_ptr<Model> model;
  LabelLogit logit;
  SampledRows rows;
};

void explain_pairs(Explanation& out, const Explained& e, const ExplainOptions& o) {
  out.pairs = own_pair_strengths(*e.model);
  out.pairs_by = out.pairs.empty() ? "H" : "model";
  if (!out.pairs.empty()) return;
  PairOptions options = o.pair;
  options.seed = o.importance.seed;
  if (o.progress) options.progress = "pairs";
  out.pairs = h_statistics(e.logit, e.rows, each_field(e.rows.schema()), options);
}

void explain_rows(Explanation& out, const Explained& e, const ExplainOptions& o, const Encoder& encoder) {
  const Attributor attribute(e.logit, e.rows, o.attribution);
  for (const int64_t row : o.explained) {
    const Batch batch = e.dataset.gather(std::vector<int64_t>{row});
    ExplainedRow& one = out.attributions.emplace_back();
    one.row = row;
    one.label = batch.labels[0][e.label].item<double>();
    one.attribution = attribute(batch.features);
    one.p = 1 / (1 + std::exp(-one.attribution.logit));
    for (const auto& field : one.attribution.fields)
      one.values.push_back(cell(encoder, e.bundle.schema(), batch.features, field.first));
    if (!one.attribution.complete) {
      log::warning(
          "row {}: the fields' attributions add up to {:.3g} more than the difference of the logits, after {} "
          "steps; take them as approximate",
          row, one.attribution.error, one.attribution.steps);
    }
  }
}

void explain_slices(Explanation& out, const Explained& e, const ExplainOptions& o, const Encoder& encoder) {
  const SampledRows fields(e.whole.select(e.whole.schema().with_labels(e.bundle.schema().labels())), e.sample(o));
  out.slices = worst_slices(fields, e.rows.logits(e.logit), o.slice);
  for (const auto& s : out.slices->by_loss)
    out.by_loss_values.push_back(value_of(encoder, fields.schema().field(s.field), s.id));
  for (const auto& s : out.slices->by_gap)
    out.by_gap_values.push_back(value_of(encoder, fields.schema().field(s.field), s.id));
}

}  // namespace

Explanation explain_run(const fs::path& run, const ExplainOptions& o) {
  const Explained e(run, o);
  Explanation out;
  out.run = run.string(), out.data = o.data.string(), out.split = o.split;
  out.model = e.bundle.config()["model"]["name"].as<std::string>();
  out.label = e.bundle.schema().labels()[size_t(e.label)];
  out.rows = e.rows.rows(), out.of_rows = e.dataset.rows();
  out.repeats = o.importance.repeats, out.replicates = o.importance.replicates, out.seed = o.importance.seed;
  out.standing = standing(e.logit, e.rows, o.importance);
  ImportanceOptions how = o.importance;
  if (o.progress) how.progress = "fields";
  out.fields = permutation_importance(e.logit, e.rows, each_field(e.rows.schema()), how);
  if (!e.groups.empty()) out.groups = permutation_importance(e.logit, e.rows, e.groups, how);
  sort_by_loss(out.fields);
  sort_by_loss(out.groups);
  if (o.pairs) explain_pairs(out, e, o);
  if (o.curves) out.curves = effect_curves(e.logit, e.rows, {.progress = o.progress ? "curves" : ""});
  if (o.explained.empty() && !o.slices) return out;
  const Encoder encoder = Encoder::load(o.data);
  if (!o.explained.empty()) explain_rows(out, e, o, encoder);
  if (o.slices) explain_slices(out, e, o, encoder);
  return out;
}

}  // namespace interplay
