#include <interplay/explain/sampled_rows.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/random.h>
#include <interplay/base/with_place.h>
#include <interplay/data/row_facts.h>

namespace interplay {
namespace {

/// Entries of a ragged batch, of rows in any order.
struct Ragged {
  Ragged(const at::Tensor& from, const at::Tensor& rows) {
    const auto first = from.index_select(0, rows), length = from.index_select(0, rows + 1) - first;  // [n]
    offsets = at::cat({at::zeros({1}, from.options()), length.cumsum(0)});                           // [n + 1]
    const int64_t total = offsets[-1].item<int64_t>();
    const auto shift = (first - offsets.narrow(0, 0, rows.size(0))).repeat_interleave(length, 0, total);
    entries = at::arange(total, from.options()) + shift;
  }
  at::Tensor offsets;  // i64 [n + 1]
  at::Tensor entries;  // i64 [total]
};

at::Tensor of(const at::Tensor& values, const at::Tensor& rows) {
  return values.defined() ? values.index_select(0, rows) : values;
}

/// Rows of a batch, some of whose fields are of others.
struct Mixture {
  const Features& from;
  at::Tensor rows, donors;                            // i64 [n]
  std::set<std::pair<FieldKind, int64_t>> exchanged;  // kinds and columns that donors give

  const at::Tensor& source(FieldKind kind, size_t column) const {
    return exchanged.contains({kind, int64_t(column)}) ? donors : rows;
  }
  at::Tensor columns(const at::Tensor& values, FieldKind kind) const {  // [B, fields]
    const at::Tensor out = of(values, rows);
    for (int64_t c = 0; out.defined() && c < out.size(1); ++c) {
      if (exchanged.contains({kind, c})) out.select(1, c).copy_(of(values.select(1, c), donors));
    }
    return out;
  }
  Features features() const;
};

Features Mixture::features() const {
  Features x;
  x.rows = rows.size(0);
  x.ids = columns(from.ids, FieldKind::categorical);
  x.dense = columns(from.dense, FieldKind::numeric);
  std::map<std::pair<const void*, const void*>, Ragged> known;  // sequences that are paired share their offsets
  for (size_t i = 0; i < from.sequences.size(); ++i) {
    const Sequence& s = from.sequences[i];
    const at::Tensor& by = source(FieldKind::sequence, i);
    const auto key = std::pair<const void*, const void*>(s.offsets.unsafeGetTensorImpl(), by.unsafeGetTensorImpl());
    const Ragged& r = known.try_emplace(key, s.offsets, by).first->second;
    x.sequences.push_back({of(s.ids, r.entries), r.offsets, of(s.weights, r.entries)});
  }
  for (size_t i = 0; i < from.vectors.size(); ++i)
    x.vectors.push_back(of(from.vectors[i], source(FieldKind::vector, i)));
  for (size_t i = 0; i < from.tokens.size(); ++i) {
    const Tokens& t = from.tokens[i];
    const Ragged r(t.offsets, source(FieldKind::text, i));
    x.tokens.push_back({of(t.ids, r.entries), r.offsets, of(t.columns, r.entries)});
  }
  return x;
}

/// Those rows that have the label, of them at most as many as wanted.
std::vector<int64_t> drawn_places(const std::vector<float>& label, size_t labels, const SampledRows::Options& o) {
  std::vector<int64_t> places;
  for (size_t i = 0; i < label.size() / labels; ++i) {
    if (!std::isnan(label[i * labels + size_t(o.label)])) places.push_back(int64_t(i));
  }
  if (o.most <= 0 || int64_t(places.size()) <= o.most) return places;
  const Permutation order(places.size(), o.seed);
  std::vector<int64_t> out;
  for (int64_t i = 0; i < o.most; ++i) out.push_back(places[order.at(uint64_t(i))]);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

at::Tensor LabelLogit::operator()(const Features& x) const {
  INTERPLAY_CHECK(!model.is_training(), "the model is in training mode; call eval() first");
  const at::Tensor all = model.forward(x).logit;
  INTERPLAY_CHECK(all.defined(), "the model gives no logits yet: it was pre-trained, and no rows can be scored by it");
  const at::Tensor one = all.dim() == 1 ? all : all.select(1, label);
  return offset == 0 ? one : one + offset;
}

SampledRows::SampledRows(const Dataset& dataset, const Options& options) : schema_(dataset.schema()) {
  INTERPLAY_CHECK_DATA(dataset.has_labels(), "{}: has no labels; expected rows whose outcome is known", dataset.name());
  const auto labels = schema_.labels().size();
  INTERPLAY_CHECK(options.label >= 0 && size_t(options.label) < labels, "label {} of {}", options.label, labels);
  places_ = drawn_places(row_facts(dataset).label, labels, options);
  INTERPLAY_CHECK_DATA(!places_.empty(), "{}: has no row with label '{}'", dataset.name(),
                       schema_.labels()[size_t(options.label)]);
  Batch batch = dataset.gather(places_);
  RowFacts facts;
  facts.add(batch);
  for (size_t i = size_t(options.label); i < facts.label.size(); i += labels) label_.push_back(facts.label[i]);
  weight_ = std::move(facts.weight);
  features_ = std::move(batch.features);
}

Features take_rows(const Features& x, const at::Tensor& rows) { return Mixture{x, rows, rows, {}}.features(); }

Features SampledRows::take(const at::Tensor& rows, const std::vector<std::string>& fields,
                           const at::Tensor& donors) const {
  Mixture mixture{features_, rows, donors, {}};
  for (const auto& name : fields) {
    const Field& f = schema_.field(name);
    mixture.exchanged.emplace(f.kind, f.column);
  }
  return mixture.features();
}

std::vector<float> SampledRows::logits(const LabelLogit& logit, const std::vector<std::string>& fields,
                                       const at::Tensor& donors) const {
  const at::NoGradGuard no_grad;
  std::vector<float> out;
  out.reserve(size_t(rows()));
  for (int64_t first = 0; first < rows(); first += kBatchRows) {
    const int64_t count = std::min(kBatchRows, rows() - first);
    const auto here = at::arange(first, first + count);
    const auto z = logit(take(here, fields, fields.empty() ? here : donors.narrow(0, first, count))).contiguous();
    INTERPLAY_CHECK(z.isfinite().all().item<bool>(), "a logit among the rows {} to {} of the sample is not finite",
                    first, first + count - 1);
    out.insert(out.end(), z.const_data_ptr<float>(), z.const_data_ptr<float>() + count);
  }
  return out;
}

std::vector<FieldGroup> each_field(const Schema& schema) {
  std::vector<FieldGroup> out;
  for (const Field& f : schema.fields()) {
    if (!f.paired_with.empty()) continue;
    FieldGroup& group = out.emplace_back(FieldGroup{f.name, {f.name}});
    for (const Field& other : schema.fields()) {
      if (other.paired_with == f.name) group.fields.push_back(other.name);
    }
  }
  return out;
}

namespace {

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> out;
  for (size_t first = 0; first <= text.size();) {
    const size_t end = std::min(text.find(by, first), text.size());
    if (end > first) out.push_back(text.substr(first, end - first));
    first = end + 1;
  }
  return out;
}

void check_group(const FieldGroup& group, const Schema& schema) {
  INTERPLAY_CHECK(!group.fields.empty(), "--groups: '{}' has no fields; expected as in item=item_id,genre", group.name);
  const auto holds = [&](const std::string& name) {
    return std::find(group.fields.begin(), group.fields.end(), name) != group.fields.end();
  };
  with_place("--groups: " + group.name, [&] {
    for (const auto& name : group.fields) schema.field(name);
  });
  for (const Field& f : schema.fields()) {
    INTERPLAY_CHECK(f.paired_with.empty() || holds(f.name) == holds(f.paired_with),
                    "--groups: '{}' has one of '{}' and '{}', whose entries belong together; name both", group.name,
                    f.paired_with, f.name);
  }
}

}  // namespace

std::vector<FieldGroup> read_groups(const std::string& text, const Schema& schema) {
  std::vector<FieldGroup> out;
  if (std::filesystem::is_regular_file(text)) {
    const Config file = Config::load(text);
    if (!file.is_map()) file.fail("expected a map from the name of a group to its fields, as item: [item_id, genre]");
    for (const auto& name : file.keys()) {
      FieldGroup& group = out.emplace_back(FieldGroup{name, {}});
      for (const Config& field : file[name].items()) group.fields.push_back(field.as<std::string>());
    }
  } else {
    for (const auto& part : split(text, ';')) {
      const size_t equals = part.find('=');
      INTERPLAY_CHECK(equals != part.npos && equals > 0,
                      "--groups: '{}' is neither a file nor a group; expected NAME=FIELD,FIELD;NAME=...", part);
      out.push_back({part.substr(0, equals), split(part.substr(equals + 1), ',')});
    }
  }
  for (const auto& group : out) check_group(group, schema);
  return out;
}

}  // namespace interplay
