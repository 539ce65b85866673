#include <interplay/core/retrieval_model.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/nn/sampled_softmax.h>

namespace interplay {
namespace {

at::Tensor to_unit(const at::Tensor& x) { return x / x.norm(2, 1, true).clamp_min(1e-12); }

bool is_among(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// `mlp` with widths of layers that follow from how wide its input is.
nn::MlpOptions halved(nn::MlpOptions mlp, int64_t in, const std::vector<int64_t>& shares, bool wanted) {
  if (!wanted || !mlp.hidden.empty()) return mlp;
  for (const int64_t share : shares) mlp.hidden.push_back(std::max<int64_t>(1, in / share));
  return mlp;
}

}  // namespace

std::string item_field_of(const Schema& schema, const std::string& given, const std::string& model) {
  if (!given.empty()) return given;
  const auto histories = histories_of(schema);
  INTERPLAY_CHECK(!histories.empty(), "{}: which field says what a row's item is? Name it: model.item (fields: {})",
                  model, [&] {
                    std::vector<std::string> names;
                    for (const auto& f : schema.fields()) names.push_back(f.name);
                    return fmt::format("{}", fmt::join(names, ", "));
                  }());
  return histories.front().target;
}

namespace {

History history_of(const Schema& schema, const SequenceTowerOptions& o, const std::string& model) {
  const auto histories = histories_of(schema);
  std::vector<std::string> names;
  for (const auto& h : histories) {
    names.push_back(h.sequences.front());
    if (o.history.empty() || o.history == names.back()) return h;
  }
  INTERPLAY_CHECK(!names.empty(), "{}: the fields have no history, as one of `kind: history` in data.yaml is", model);
  throw Error(fmt::format("{}: model.history '{}' is no history of the data (histories: {})", model, o.history,
                          fmt::join(names, ", ")));
}

}  // namespace

SequenceRetrievalModel::SequenceRetrievalModel(const Schema& schema, const SequenceTowerOptions& o,
                                               const std::string& name, int64_t vectors)
    : RetrievalModel(schema, o,
                     [&] {
                       const History h = history_of(schema, o, name);
                       return Towers{.name = name,
                                     .left_out = h.sequences,
                                     .beside = vectors * int64_t(h.sequences.size()) * o.embedding_dim,
                                     .unit = false,
                                     .halves = true};
                     }()),
      history_(history_of(schema, o, name)),
      width_(int64_t(history_.sequences.size()) * o.embedding_dim) {}

SequenceRetrievalModel::~SequenceRetrievalModel() = default;

at::Tensor SequenceRetrievalModel::beside(const Features& x) { return encode(query_fields_->sequence(x, history_)); }

RetrievalModel::RetrievalModel(const Schema& schema, const TowerOptions& o, const Towers& towers)
    : item_(item_field_of(schema, o.item, towers.name)),
      label_(schema.labels().empty() ? "" : schema.labels().front()),
      temperature_(o.temperature),
      correct_(o.sampling_correction && o.negatives == 0),
      unit_(towers.unit),
      negatives_(o.negatives),
      beside_(towers.beside) {
  const Field& item = schema.field(item_);
  INTERPLAY_CHECK(item.kind == FieldKind::categorical, "{}: model.item '{}' is {}; expected a categorical field",
                  towers.name, item_, to_string(item.kind));
  column_ = item.column;
  std::vector<std::string> of_item = o.item_fields, of_query;
  of_item.push_back(item_);
  for (const auto& name : o.item_fields) schema.field(name);
  for (const auto& f : schema.fields()) {
    if (!is_among(of_item, f.name)) of_query.push_back(f.name);
  }
  INTERPLAY_CHECK(!of_query.empty(), "{}: every field is the item's; leave some for the query", towers.name);
  auto mlp = o.mlp;
  mlp.output = o.output_dim;
  query_fields_ = register_module(
      "query_fields", FieldEmbedding(schema, o, FieldChoice{.only = of_query, .leave_out = towers.left_out}));
  item_fields_ = register_module("item_fields", FieldEmbedding(schema, o, FieldChoice{.only = of_item}));
  const int64_t asked = query_fields_->flat_width() + beside_, told = item_fields_->flat_width();
  query_mlp_ = register_module("query", nn::Mlp(asked, halved(mlp, asked, {2, 4}, towers.halves)));
  item_mlp_ = register_module("item", nn::Mlp(told, halved(mlp, told, {2}, towers.halves)));
  if (negatives_ == 0) {
    seen_ = register_buffer("seen", at::zeros({item.rows}, at::kLong));
    return;
  }
  for (const auto& name : of_item) {
    const Field& f = schema.field(name);
    INTERPLAY_CHECK(f.kind == FieldKind::categorical || f.kind == FieldKind::numeric,
                    "{}: with negatives, fields of the item are categorical or numeric; '{}' is {}", towers.name, name,
                    to_string(f.kind));
    (f.kind == FieldKind::numeric ? item_dense_ : item_ids_).push_back(f.column);
  }
  catalogue_ids_ =
      register_buffer("catalogue_ids", at::zeros({item.rows, schema.count(FieldKind::categorical)}, at::kInt));
  catalogue_dense_ = register_buffer("catalogue_dense", at::zeros({item.rows, schema.count(FieldKind::numeric)}));
  known_ = register_buffer("known", at::zeros({item.rows}, at::kBool));
}

RetrievalModel::~RetrievalModel() = default;

at::Tensor RetrievalModel::beside(const Features&) { return {}; }

at::Tensor RetrievalModel::queries(const Features& x) {
  auto in = beside_ > 0 && query_fields_->count() == 0 ? at::Tensor() : query_fields_(x).flat();
  if (beside_ > 0) in = in.defined() ? at::cat({in, beside(x)}, 1) : beside(x);
  const auto q = query_mlp_(in);
  return unit_ ? to_unit(q) : q;
}

at::Tensor RetrievalModel::items(const Features& x) {
  const auto v = item_mlp_(item_fields_(x).flat());
  return unit_ ? to_unit(v) : v;
}

Output RetrievalModel::forward(const Features& x) {
  const auto q = queries(x);  // [B, K]
  if (!is_training()) return Output((q * items(x)).sum(1) / temperature_);
  const auto id = x.ids.select(1, column_).to(at::kLong);
  const bool drawn = negatives_ > 0 && known_.sum().item<int64_t>() > 1;
  Output out;
  out.terms.push_back({.name = "softmax",
                       .label = label_,
                       .value = drawn ? against_catalogue(x, q, id)
                                      : nn::in_batch_softmax(q, items(x), id, temperature_, log_probability(id))});
  return out;
}

/// log of each row's item's share of all rows seen in training, this batch's among them.
at::Tensor RetrievalModel::log_probability(const at::Tensor& id) {
  if (!correct_) return {};
  const at::NoGradGuard no_grad;
  seen_.index_add_(0, id, at::ones_like(id));
  const auto share = seen_.index_select(0, id).to(at::kDouble) / seen_.sum().to(at::kDouble);
  return share.log().to(at::kFloat);
}

at::Tensor RetrievalModel::against_catalogue(const Features& x, const at::Tensor& query, const at::Tensor& id) {
  const auto all = known_.nonzero().squeeze(1);                            // i64 [N]
  const auto drawn = nn::draw_negatives(id.cpu(), all.cpu(), negatives_);  // i64 [B, n]: ids
  const auto [which, place] = at::_unique(drawn.to(id.device()), /*sorted=*/true, /*return_inverse=*/true);
  Features both;  // the rows' own items, then those that were drawn
  both.rows = x.rows + which.size(0);
  both.ids = at::cat({x.ids, catalogue_ids_.index_select(0, which)});
  both.dense = at::cat({x.dense, catalogue_dense_.index_select(0, which)});
  const auto v = items(both);
  return nn::sampled_softmax(query, v.narrow(0, 0, x.rows), v.narrow(0, x.rows, which.size(0)), place, temperature_);
}

bool RetrievalModel::wants_rows() const { return negatives_ > 0 && !known_.any().item<bool>(); }

void RetrievalModel::see_rows(const Features& x) {
  const at::NoGradGuard no_grad;
  const auto ids = x.ids.cpu().contiguous(), dense = x.dense.cpu().contiguous();
  const auto* const id = ids.const_data_ptr<int32_t>();
  const int64_t F = ids.size(1), D = dense.size(1);
  const auto cpu = known_.cpu(), to_ids = catalogue_ids_.cpu(), to_dense = catalogue_dense_.cpu();
  auto* const known = cpu.mutable_data_ptr<bool>();
  for (int64_t b = 0; b < x.rows; ++b) {
    const int64_t item = id[b * F + column_];
    if (item <= 0 || item >= known_.size(0) - 1 || known[item]) continue;  // padding, unseen
    known[item] = true;
    for (const int64_t c : item_ids_) to_ids.mutable_data_ptr<int32_t>()[item * F + c] = id[b * F + c];
    for (const int64_t c : item_dense_)
      to_dense.mutable_data_ptr<float>()[item * D + c] = dense.const_data_ptr<float>()[b * D + c];
  }
  known_.copy_(cpu), catalogue_ids_.copy_(to_ids), catalogue_dense_.copy_(to_dense);
}

void RetrievalModel::saw_all_rows() {}

}  // namespace interplay
