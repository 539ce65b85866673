#include <interplay/core/objective.h>

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

namespace interplay {
namespace {

/// Losses by label, and not one loss: a loss has a name.
bool is_by_label(const Config& loss) { return loss.is_map() && !loss.has("name"); }

struct WeightOption {
  double weight = 1;
  void visit(auto&& field) { field("weight", weight, "of this label's loss", Range{0, 1e9}); }
};

/// {name: bce, weight: 0.5} without the weight, which is the label's and not the loss's.
Config without_weight(const Config& loss) {
  if (!loss.is_map()) return loss;
  Config out = loss;
  out.erase("weight");
  return out;
}

double weight_of(const Config& loss) {
  if (!loss.is_map() || !loss.has("weight")) return 1;
  Config given;
  given.set("weight", loss["weight"]);
  WeightOption option;
  read_options(option, given);
  return option.weight;
}

bool any_missing(const at::Tensor& label) {
  if (label.device().is_cpu() && label.is_contiguous() && label.scalar_type() == at::kFloat) {
    const float* const y = label.const_data_ptr<float>();
    bool missing = false;
    for (int64_t i = 0; i < label.numel(); ++i) missing |= std::isnan(y[i]);
    return missing;
  }
  return label.isnan().any().item<bool>();
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b) {  // an undefined one is 1
  return !a.defined() ? b : !b.defined() ? a : a * b;
}

void check_rows(const Term& term, const char* what, const at::Tensor& t, int64_t rows) {
  INTERPLAY_CHECK(!t.defined() || (t.dim() == 1 && t.size(0) == rows),
                  "term '{}': its {} is [{}] for {} rows; expected [{}]", term.name, what, fmt::join(t.sizes(), ", "),
                  rows, rows);
}

/// A batch in which nothing of the term is found.
bool has_none(const Term& term) { return term.rows.defined() && term.rows.numel() == 0; }

}  // namespace

void check_logit_shape(const at::Tensor& logit, const at::Tensor& labels) {
  const bool one = logit.dim() == 1 && labels.size(1) == 1;
  const at::IntArrayRef expected = one ? labels.sizes().slice(0, 1) : labels.sizes();
  INTERPLAY_CHECK(logit.sizes() == expected,
                  "the model gives logits [{}] for labels [{}]; a model's logit is [B], or [B, T] for T labels; one of "
                  "several labels is chosen by fields.labels",
                  fmt::join(logit.sizes(), ", "), fmt::join(expected, ", "));
}

LossInput loss_input(const at::Tensor& logit, const Batch& batch, int64_t label) {
  LossInput in{logit, batch.labels.select(1, label), batch.weight, batch.group};
  if (batch.labels.size(1) > 1) in.label = in.label.contiguous();
  if (!any_missing(in.label)) return in;
  const auto present = in.label.isnan().logical_not();
  in.weight = in.weight.defined() ? in.weight * present : present.to(at::kFloat);
  in.label = in.label.nan_to_num(0);
  return in;
}

Config Objective::resolve(const Config& loss) {
  if (!is_by_label(loss)) {
    if (loss.is_map() && loss.has("weight")) {
      loss["weight"].fail("only losses by label have weights, as in {click: bce, buy: {name: bce, weight: 0.5}}");
    }
    return losses().resolve(loss);
  }
  Config out;
  for (const auto& label : loss.keys()) {
    Config one = losses().resolve(without_weight(loss[label]));
    one.set("weight", detail::to_config(weight_of(loss[label])));
    out.set_key(label, one);
  }
  return out;
}

Objective::Objective(const Config& loss, std::map<std::string, double> scales, std::vector<std::string> labels)
    : scales_(std::move(scales)), labels_(std::move(labels)) {
  if (!is_by_label(loss)) {
    losses_.push_back({losses().make(loss), 1});
    return;
  }
  for (const auto& name : loss.keys()) {
    if (std::find(labels_.begin(), labels_.end(), name) != labels_.end()) continue;
    loss[name].fail(fmt::format("there is no label '{}' (labels: {})", name, fmt::join(labels_, ", ")));
  }
  for (const auto& label : labels_) {
    if (!loss.has(label)) {
      loss.fail(fmt::format("label '{}' has no loss; give it one, or choose what is learnt by fields.labels", label));
    }
    losses_.push_back({losses().make(without_weight(loss[label])), weight_of(loss[label])});
  }
}

size_t Objective::place(const Term& term, int64_t count) const {
  if (term.label.empty()) {
    INTERPLAY_CHECK(count == 1,
                    "term '{}' does not say which of the {} labels it is judged by; the model has to name one of its "
                    "schema's",
                    term.name, count);
    return 0;
  }
  const auto found = std::find(labels_.begin(), labels_.end(), term.label);
  INTERPLAY_CHECK(found != labels_.end(), "term '{}': there is no label '{}' (labels: {})", term.name, term.label,
                  fmt::join(labels_, ", "));
  return size_t(found - labels_.begin());
}

at::Tensor Objective::value_of(const Term& term, const Batch& batch) const {
  const int64_t rows = batch.rows(), count = batch.labels.defined() ? batch.labels.size(1) : 0;
  INTERPLAY_CHECK(term.logit.defined() != term.value.defined(), "term '{}': expected either a logit or a value",
                  term.name);
  const int64_t entries = term.rows.defined() ? term.rows.numel() : rows;
  INTERPLAY_CHECK(!term.rows.defined() || term.value.defined(), "term '{}': `rows` belongs to a value, not to a logit",
                  term.name);
  check_rows(term, "weight", term.weight, entries);
  if (term.value.defined()) {
    if (term.value.dim() == 0) return term.value;
    check_rows(term, "value", term.value, entries);
    auto weight = batch.weight;
    if (!term.label.empty()) {
      const auto in = loss_input(term.value, batch, int64_t(place(term, count)));
      weight = product(in.weight, in.label);
    }
    if (weight.defined() && term.rows.defined()) weight = weight.index_select(0, term.rows);
    return weighted_mean(term.value, product(weight, term.weight));
  }
  check_rows(term, "logit", term.logit, rows);
  if (term.target.defined()) {
    check_rows(term, "target", term.target, rows);
    const auto& judge = losses_.size() == 1 ? losses_[0].loss : losses().make(Config::scalar("bce", true));
    return judge->forward({term.logit, term.target, product(batch.weight, term.weight), batch.group});
  }
  const size_t label = place(term, count);
  auto in = loss_input(term.logit, batch, int64_t(label));
  in.weight = product(in.weight, term.weight);
  return of(label).loss->forward(in);
}

std::vector<Objective::Part> Objective::terms(const Output& out, const Batch& batch) const {
  std::vector<Part> parts;
  for (const auto& term : out.terms) {
    if (!has_none(term)) parts.push_back({term.name, value_of(term, batch)});
  }
  return parts;
}

Objective::Value Objective::operator()(const Output& out, const Batch& batch) {
  INTERPLAY_CHECK(out.logit.defined() || !out.terms.empty(),
                  "the model gives neither logits nor terms; there is nothing to learn");
  Value value;
  if (out.logit.defined()) {
    check_logit_shape(out.logit, batch.labels);
    const bool one = out.logit.dim() == 1;
    const int64_t count = one ? 1 : out.logit.size(1);
    INTERPLAY_CHECK(losses_.size() == 1 || int64_t(losses_.size()) == count,
                    "there are losses for {} labels, the rows have {}", losses_.size(), count);
    for (int64_t t = 0; t < count; ++t) {
      const auto part = of(size_t(t)).loss->forward(loss_input(one ? out.logit : out.logit.select(1, t), batch, t));
      const double weight = of(size_t(t)).weight;
      const auto weighted = weight == 1 ? part : weight * part;
      value.total = value.total.defined() ? value.total + weighted : weighted;
      if (count > 1 || !out.terms.empty())
        value.parts.push_back({size_t(t) < labels_.size() ? labels_[size_t(t)] : fmt::format("label {}", t + 1), part});
    }
  }
  for (const auto& term : out.terms) {
    if (has_none(term)) continue;
    const auto part = value_of(term, batch);
    const auto own = scales_.find(term.name);
    const auto scaled = (own == scales_.end() ? term.scale : own->second) * part;
    value.total = value.total.defined() ? value.total + scaled : scaled;
    value.parts.push_back({term.name, part});
  }
  if (!value.total.defined()) value.total = at::zeros({}).requires_grad_();  // a batch that has none of its terms
  if (!std::exchange(checked_, true)) check_names(out), check_scales(out);
  return value;
}

/// A curve is of one thing.
void Objective::check_names(const Output& out) const {
  std::vector<std::string> names;
  if (out.logit.defined() && out.logit.dim() > 1) names = labels_;
  for (const auto& term : out.terms) {
    INTERPLAY_CHECK(std::find(names.begin(), names.end(), term.name) == names.end(),
                    "the model gives two terms '{}', or one that is called as a label is; each needs a name of its own",
                    term.name);
    names.push_back(term.name);
  }
}

void Objective::check_scales(const Output& out) const {
  std::vector<std::string> names;
  for (const auto& term : out.terms) names.push_back(term.name);
  for (const auto& [name, scale] : scales_) {
    INTERPLAY_CHECK(std::find(names.begin(), names.end(), name) != names.end(),
                    "train.terms: the model has no term '{}' ({})", name,
                    names.empty() ? "it has none" : fmt::format("terms: {}", fmt::join(names, ", ")));
  }
}

}  // namespace interplay
