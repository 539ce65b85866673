#include <algorithm>

#include <ATen/core/dispatch/Dispatcher.h>

#include <interplay/base/error.h>

#include "serve/known_state.h"

namespace interplay {

KnownValue KnownCalls::State::lookup(const Arguments& in, const at::Tensor& out) {
  const at::Tensor table = in[0].toTensor();
  const Value* const ids = find(in[2].toTensor());
  const bool of_entries = ids && ids->kind == Kind::entries;
  if (in[1].toInt() != 0 || !ids || (!of_entries && (ids->kind != Kind::ids || ids->size() != 1)) || table.dim() != 2 ||
      table.scalar_type() != at::kFloat || table.stride(1) != 1)
    throw Unknown{name_ + " is no lookup of a field's rows"};
  graph_.held.push_back(table);
  Node node;
  node.op = Op::lookup;
  node.shape = shape_of(out);
  node.tables = {
      {of_entries ? ids->sequence : ids->columns[0], table.const_data_ptr<float>(), table.stride(0), table.size(1), 0}};
  return add(std::move(node));
}

/// A call that only moves numbers is made once more, with the places of the numbers in their stead.
KnownValue KnownCalls::State::move(const Arguments& in, const at::Tensor& out) {
  if (const Value* const entries = find(in[0], Kind::entries)) {  // one id each, in whatever shape
    if (out.numel() != count()) throw Unknown{name_ + " moves ids between entries"};
    Value same = *entries;
    same.shape = shape_of(out);
    return same;
  }
  std::vector<const Value*> sources;
  std::vector<int64_t> first;  // of each source's numbers; 0 is zero
  int64_t total = 1;
  const int64_t rows = count();
  const auto places = [&](const at::Tensor& t) {
    const Value* const value = find(t);
    if (!value) throw Unknown{name_ + " mixes fields with a constant"};
    sources.push_back(value);
    first.push_back(total);
    auto shape = value->shape;
    shape.insert(shape.begin(), rows);
    const int64_t numbers = rows * value->size();
    total += numbers;
    return at::arange(total - numbers, total, at::kLong).view(shape);
  };
  torch::jit::Stack stack;
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i].isTensor() && in[i].toTensor().defined() && (find(in[i].toTensor()) || i == 0)) {
      stack.emplace_back(places(in[i].toTensor()));
    } else if (in[i].isTensorList()) {
      std::vector<at::Tensor> list;
      for (const at::Tensor& t : in[i].toTensorVector()) list.push_back(places(t));
      stack.emplace_back(std::move(list));
    } else {
      stack.push_back(in[i]);
    }
  }
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name_.c_str(), overload_.c_str());
  op.callBoxed(stack);
  const auto index = stack.at(0).toTensor().contiguous();
  const int64_t n = rows == 0 ? 0 : index.numel() / rows;
  const int64_t* const at_row = index.const_data_ptr<int64_t>();
  const Kind kind = sources[0]->kind;
  if (kind != Kind::ids && kind != Kind::numbers) throw Unknown{name_ + " moves no numbers"};
  Node node;
  node.op = Op::copy;
  node.shape = shape_of(out);
  for (const Value* s : sources) {
    if (s->kind != kind) throw Unknown{name_ + " mixes ids with numbers"};
    if (kind == Kind::numbers) node.inputs.push_back(s->node);
  }
  Value moved;
  moved.kind = kind;
  moved.shape = node.shape;
  for (int64_t j = 0; j < n; ++j) {
    const int64_t place = at_row[j];
    const auto source = std::upper_bound(first.begin(), first.end(), place) - first.begin() - 1;
    const int64_t from = source < 0 ? 0 : place - first[size_t(source)];
    const int64_t width = source < 0 ? 0 : sources[size_t(source)]->size();
    for (int64_t b = 0; b < rows; ++b) {
      if (at_row[b * n + j] != (source < 0 ? 0 : place + b * width) || (source >= 0 && from >= width))
        throw Unknown{name_ + " moves numbers between rows"};
    }
    if (kind == Kind::ids) {
      if (source < 0) throw Unknown{name_ + " makes up ids"};
      moved.columns.push_back(sources[size_t(source)]->columns[size_t(from)]);
      continue;
    }
    if (!node.runs.empty()) {
      auto& last = node.runs.back();
      if (last.input == source && (source < 0 || last.from + last.count == from)) {
        ++last.count;
        continue;
      }
    }
    node.runs.push_back({int(source), from, j, 1});
  }
  return kind == Kind::ids ? moved : add(std::move(node));
}

/// `t` as it takes part in a result shaped as `out`.
ForwardGraph::Operand KnownCalls::State::operand(const at::Tensor& t, const at::Tensor& out) {
  ForwardGraph::Operand operand;
  const int64_t rows = count();
  const int64_t n = out.numel() / rows;
  const Value* const value = find(t);
  if (!value) {
    const auto all = t.to(at::kFloat).expand(out.sizes()).contiguous().view({rows, n});
    if (!all.eq(all[0]).all().item<bool>()) throw Unknown{name_ + " has a constant that differs between rows"};
    operand.constant = floats_of(all[0]);
    return operand;
  }
  operand.node = numbers(t);
  auto shape = value->shape;
  shape.insert(shape.begin(), rows);
  const int64_t width = value->size();
  const auto index = at::arange(rows * width, at::kLong).view(shape).expand(out.sizes()).contiguous();
  const int64_t* const from = index.const_data_ptr<int64_t>();
  bool same = width == n;
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t b = 0; b < rows; ++b) {
      if (from[b * n + j] != from[j] + b * width || from[j] >= width) throw Unknown{name_ + " mixes rows"};
    }
    same = same && from[j] == j;
    operand.index.push_back(int32_t(from[j]));
  }
  if (same) operand.index.clear();
  return operand;
}

}  // namespace interplay
