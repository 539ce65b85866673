// Calls on the entries of sequences, of which each row of a batch has as many as it has.
#include <interplay/base/error.h>

#include "serve/known_state.h"

namespace interplay {

int KnownCalls::State::list_of(const c10::IValue& rows) const {
  const Value* const value = find(rows, Kind::rows);
  if (!value) throw Unknown{name_ + " reads no rows of entries"};
  return value->list;
}

/// A new list, of the entries of another one. With scores, those with the largest.
KnownValue KnownCalls::State::choose(const c10::IValue& rows, const c10::IValue* scores, int64_t most, int64_t kept) {
  const int from = list_of(rows);
  graph_.lists.push_back({.sequence = -1, .of = from});
  counts_.push_back(kept);
  Node node;
  node.op = Op::choose;
  node.list = int(graph_.lists.size()) - 1;
  node.most = most;
  node.by_score = scores != nullptr;
  if (maker_[size_t(from)] >= 0) node.inputs.push_back(maker_[size_t(from)]);
  if (scores) {
    const Value* const value = find(*scores, Kind::numbers);
    if (!value || value->list != from || value->size() != 1) throw Unknown{name_ + " reads no scores of entries"};
    node.inputs.push_back(value->node);
  }
  Value places;
  places.kind = Kind::places;
  places.list = node.list;
  places.node = int(graph_.nodes.size());
  maker_.push_back(places.node);
  graph_.nodes.push_back(std::move(node));
  return places;
}

KnownValue KnownCalls::State::spread(const Arguments& in, const at::Tensor& out, const Value& rows) {
  if (in[1].toInt() != 0) throw Unknown{name_ + " over these dimensions has no step"};
  const Value* const value = find(in[0].toTensor());
  if (!value || value->kind != Kind::numbers || value->list >= 0) throw Unknown{name_ + " of no row's numbers"};
  Node node;
  node.op = Op::spread;
  node.inputs = {value->node};
  if (maker_[size_t(rows.list)] >= 0) node.inputs.push_back(maker_[size_t(rows.list)]);
  list_ = rows.list;
  node.shape = shape_of(out);
  return add(std::move(node));
}

KnownValue KnownCalls::State::pick(const Arguments& in, const at::Tensor& out, const Value& places) {
  const Value* const value = find(in[0].toTensor());
  const int from = graph_.lists[size_t(places.list)].of;
  if (in[1].toInt() != 0 || !value || value->list != from) throw Unknown{name_ + " of other entries"};
  list_ = places.list;
  if (value->kind == Kind::rows) {
    Value rows = *value;
    rows.list = places.list;
    return rows;
  }
  if (value->kind != Kind::numbers) throw Unknown{name_ + " of no numbers"};
  Node node;
  node.op = Op::pick;
  node.inputs = {value->node, places.node};
  node.shape = shape_of(out);
  return add(std::move(node));
}

KnownValue KnownCalls::State::pool(const Arguments& in, const at::Tensor& out, const Value& rows) {
  const at::Tensor start = in[0].toTensor();
  const Value* const value = find(in[3].toTensor());
  const bool zero = !find(start) && start.eq(0).all().item<bool>();
  if (!zero || in[1].toInt() != 0 || number_of(in[4]) != 1 || !value || value->kind != Kind::numbers ||
      value->list != rows.list)
    throw Unknown{name_ + " is no sum over a row's entries"};
  Node node;
  node.op = Op::pool;
  node.inputs = {value->node};
  list_ = -1;
  node.shape = shape_of(out);
  return add(std::move(node));
}

bool KnownCalls::State::understand_entries(const Arguments& in, const at::Tensor& out, Value& value) {
  const auto is = [&](size_t i, Kind kind) { return i < in.size() ? find(in[i], kind) : nullptr; };
  if (name_ == "aten::index_select") {
    if (const Value* const rows = is(2, Kind::rows)) return value = spread(in, out, *rows), true;
    if (const Value* const places = is(2, Kind::places)) return value = pick(in, out, *places), true;
  }
  if (name_ == "aten::index_add") {
    if (const Value* const rows = is(2, Kind::rows)) return value = pool(in, out, *rows), true;
  }
  if (const Value* const offsets = is(0, Kind::offsets); offsets && name_ == "aten::diff") {
    value = *offsets;
    value.kind = Kind::lengths;
    return true;
  }
  if (const Value* const lengths = is(1, Kind::lengths); lengths && name_ == "aten::repeat_interleave") {
    if (find(in[0].toTensor()) || !in[0].toTensor().equal(at::arange(batch_, at::kLong)))
      throw Unknown{name_ + " repeats no numbers of rows"};
    value = *lengths;
    value.kind = Kind::rows;
    return true;
  }
  if (const Value* const lengths = is(0, Kind::lengths);
      lengths && name_ == "aten::to" && out.scalar_type() == at::kFloat) {
    Node node;
    node.op = Op::count;
    node.source = lengths->list;
    if (maker_[size_t(lengths->list)] >= 0) node.inputs.push_back(maker_[size_t(lengths->list)]);
    value = add(std::move(node));
    return true;
  }
  if (name_ == "interplay::offsets_of") {
    value.kind = Kind::offsets;
    value.list = list_of(in[0]);
    return true;
  }
  if (name_ == "interplay::places_of_last") return value = choose(in[0], nullptr, in[2].toInt(), out.size(0)), true;
  if (name_ == "interplay::places_of_top") return value = choose(in[1], &in[0], in[3].toInt(), out.size(0)), true;
  if (name_ == "interplay::segment_softmax") {
    list_ = list_of(in[1]);
    Node node;
    node.op = Op::softmax;
    node.inputs = {numbers(in[0])};
    node.shape = shape_of(out);
    value = add(std::move(node));
    return true;
  }
  return false;
}

}  // namespace interplay
