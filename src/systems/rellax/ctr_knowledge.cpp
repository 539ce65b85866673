#include "systems/rellax/ctr_knowledge.h"

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/with_place.h>

namespace interplay {

CtrKnowledge::CtrKnowledge(Model& owner, const CtrOptions& options, const Schema& schema)
    : run_(with_place("model.ctr", [&] { return FrozenRun(options.ctr, schema); })),
      body_(dynamic_cast<Represents*>(&run_.model())),
      item_(options.item),
      place_(options.ctr.path().string()) {
  INTERPLAY_CHECK(body_, "model.ctr: {}: its model has no hidden state of a row; take another, as din", place_);
  checksum_ = owner.register_buffer("ctr_checksum", at::tensor({int64_t(run_.checksum())}));
}

void CtrKnowledge::check() const {
  const auto expected = uint64_t(checksum_.item<int64_t>());
  INTERPLAY_CHECK_DATA(run_.checksum() == expected,
                       "model.ctr: {}: its weights are not those that this run was trained with (checksum {:016x}, "
                       "expected {:016x})",
                       place_, run_.checksum(), expected);
}

const Field& CtrKnowledge::events_of(const Schema& schema, const std::string& prompt) {
  const Field* const items = schema.find(prompt + "_items");
  INTERPLAY_CHECK(items && items->kind == FieldKind::sequence,
                  "the prompts '{}' come without the items that they tell of (a sequence '{}_items'); make them with "
                  "`interplay lm prompts --vectors`, and leave these fields in",
                  prompt, prompt);
  return *items;
}

void CtrKnowledge::read_events_of(const Schema& schema, const std::string& prompt) {
  auto& replaced = events_[prompt];
  const auto histories = histories_of(run_.schema());
  if (histories.empty() || !replaced.empty()) return;
  const Field& items = events_of(schema, prompt);
  for (const auto& history : histories) {
    for (const auto& name : history.sequences) {
      const Field& own = run_.schema().field(name);
      const Field* by = nullptr;
      for (const Field* f : schema.of(FieldKind::sequence)) {
        if ((f == &items || f->paired_with == items.name) && f->table == own.table) by = f;
      }
      INTERPLAY_CHECK(by,
                      "model.mix_history: no sequence that is paired with '{}' has the table '{}' of the CTR run's "
                      "'{}'; make the prompts of a history with the same columns, or say mix_history: false",
                      items.name, own.table, name);
      replaced.push_back({own.column, by->column});
    }
  }
}

at::Tensor CtrKnowledge::state(const Features& x, const std::string& prompt) const {
  const at::NoGradGuard no_grad;
  Features of = run_.features(x);
  const auto replaced = events_.find(prompt);
  if (replaced != events_.end()) {
    for (const auto& [column, by] : replaced->second) of.sequences[size_t(column)] = x.sequences[size_t(by)];
  }
  return body_->represent(of);
}

void CtrKnowledge::find_vectors(const Schema& schema) {
  if (item_.empty()) {
    const auto histories = histories_of(run_.schema());
    INTERPLAY_CHECK(!histories.empty(),
                    "model.item: missing; which field is the row's own item? The CTR run has no history that says so");
    item_ = histories.front().target;
  }
  const Field& item = with_place("model.item", [&]() -> const Field& { return run_.schema().field(item_); });
  INTERPLAY_CHECK(item.kind == FieldKind::categorical, "model.item: '{}' is {}; expected a categorical field", item_,
                  to_string(item.kind));
  item_column_ = schema.field(item_).column;
  for (const auto& module : run_.model().modules()) {
    auto* const fields = dynamic_cast<FieldEmbeddingImpl*>(module.get());
    if (!fields || std::find(fields->names().begin(), fields->names().end(), item_) == fields->names().end()) continue;
    embedding_ = fields;
    break;
  }
  INTERPLAY_CHECK(embedding_, "model.ctr: {}: no part of its model embeds '{}'", place_, item_);
}

at::Tensor CtrKnowledge::item_vectors(const at::Tensor& ids) const {
  const at::NoGradGuard no_grad;
  return embedding_->rows(item_, ids);
}

at::Tensor CtrKnowledge::own_items(const Features& x) const { return x.ids.select(1, item_column_).contiguous(); }

}  // namespace interplay
