#include "serve/known_calls.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

#include "serve/known_state.h"

namespace interplay {

std::vector<float> floats_of(const at::Tensor& t) {
  const auto flat = t.to(at::kFloat).contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

KnownCalls::State::State(ForwardGraph& graph, const Features& probe) : graph_(graph), batch_(probe.rows) {
  graph_.ids = probe.ids.size(1);
  graph_.dense = probe.dense.size(1);
  Value ids;
  ids.kind = Kind::ids;
  for (int64_t c = 0; c < graph_.ids; ++c) ids.columns.push_back(c);
  ids.shape = {graph_.ids};
  bind(probe.ids, ids);
  Node dense;
  dense.op = Op::dense;
  dense.shape = {graph_.dense};
  if (graph_.dense > 0) bind(probe.dense, add(std::move(dense)));
  for (size_t v = 0; v < probe.vectors.size(); ++v) {
    Node node;
    node.op = Op::vector;
    node.source = int64_t(v);
    node.shape = {probe.vectors[v].size(1)};
    graph_.vectors.push_back(node.shape[0]);
    bind(probe.vectors[v], add(std::move(node)));
  }
  for (size_t s = 0; s < probe.sequences.size(); ++s) {
    const Sequence& sequence = probe.sequences[s];
    if (const Value* const known = find(sequence.offsets)) {
      list_ = known->list;  // of paired sequences
    } else {
      list_ = int(graph_.lists.size());
      graph_.lists.push_back({.sequence = int64_t(s)});
      counts_.push_back(sequence.ids.size(0));
      maker_.push_back(-1);
      Value offsets;
      offsets.kind = Kind::offsets;
      offsets.list = list_;
      bind(sequence.offsets, offsets);
    }
    Value entries;
    entries.kind = Kind::entries;
    entries.list = list_;
    entries.sequence = int64_t(s);
    bind(sequence.ids, entries);
    if (!sequence.weights.defined()) continue;
    Node weight;
    weight.op = Op::weight;
    weight.source = int64_t(s);
    bind(sequence.weights, add(std::move(weight)));
  }
  graph_.sequences = int64_t(probe.sequences.size());
  list_ = -1;
  Value text;
  text.kind = Kind::text;
  for (const auto& tokens : probe.tokens) {
    for (const auto* t : {&tokens.ids, &tokens.offsets, &tokens.columns}) bind(*t, text);
  }
}

void KnownCalls::State::take(const at::RecordFunction& fn, const Arguments& in, const Arguments& out) {
  const auto read = read_by(in);
  if (read.empty()) return;  // a constant
  name_ = fn.name();
  static const std::set<std::string> shapes{"aten::empty_like", "aten::zeros_like", "aten::ones_like",
                                            "aten::full_like",  "aten::new_empty",  "aten::new_zeros",
                                            "aten::new_ones",   "aten::new_full"};
  if (shapes.contains(name_)) return;  // a constant too: only the shape was read
  if (out.size() != 1 || !out[0].isTensor()) throw Unknown{name_ + " gives no single tensor"};
  const auto schema = fn.operator_schema();
  const bool in_place = name_.ends_with('_');
  if (!schema || (schema->is_mutable() && !in_place)) throw Unknown{name_ + " writes to a tensor"};
  overload_ = schema->overload_name();
  if (in_place) {
    name_.pop_back();
  } else if (find(out[0].toTensor())) {
    return;  // gives back what it got
  }
  const at::Tensor result = out[0].toTensor();
  Value value;
  list_ = -1;
  if (understand_entries(in, result, value)) return bind(result, std::move(value));
  list_ = read[0]->list;
  for (const Value* v : read) {
    if (v->list != list_) throw Unknown{name_ + " mixes rows and entries"};
  }
  bind(result, understand(in, result));
}

/// A tensor that a call is about to overwrite, as it was.
at::Tensor KnownCalls::State::before(const at::Tensor& tensor) {
  auto copy = tensor.clone();
  if (const Value* const value = find(tensor)) bind(copy, Value(*value));
  return copy;
}

int KnownCalls::State::node_of(const at::Tensor& output) const {
  const Value* const value = find(output);
  if (!value || value->kind != Kind::numbers || value->list >= 0)
    throw Unknown{"its logits do not depend on the fields"};
  return value->node;
}

void KnownCalls::State::bind(const at::Tensor& tensor, Value value) {
  graph_.held.push_back(tensor);  // while it lives, no other tensor has its address
  values_[tensor.unsafeGetTensorImpl()] = std::move(value);
}

const KnownValue* KnownCalls::State::find(const at::Tensor& tensor) const {
  const auto found = values_.find(tensor.unsafeGetTensorImpl());
  return found == values_.end() ? nullptr : &found->second;
}

const KnownValue* KnownCalls::State::find(const c10::IValue& argument, Kind kind) const {
  const Value* const value = argument.isTensor() && argument.toTensor().defined() ? find(argument.toTensor()) : nullptr;
  return value && value->kind == kind ? value : nullptr;
}

KnownValue KnownCalls::State::add(Node node) {
  Value value;
  value.shape = node.shape;
  value.list = list_;
  node.n = value.size();
  node.list = list_;
  value.node = int(graph_.nodes.size());
  graph_.nodes.push_back(std::move(node));
  return value;
}

/// The shape of a row, or an entry, of `result`, whose first dimension must be theirs.
std::vector<int64_t> KnownCalls::State::shape_of(const at::Tensor& result) const {
  if (result.dim() == 0 || result.size(0) != count()) throw Unknown{name_ + " leaves the rows of the batch"};
  return result.sizes().slice(1).vec();
}

/// What is known of the arguments that depend on the batch.
std::vector<const KnownValue*> KnownCalls::State::read_by(const Arguments& in) const {
  std::vector<const Value*> found;
  const auto look = [&](const at::Tensor& t) {
    const Value* const value = t.defined() ? find(t) : nullptr;
    if (value && value->kind == Kind::text) throw Unknown{"it reads a text"};
    if (value) found.push_back(value);
  };
  for (const c10::IValue& argument : in) {
    if (argument.isTensor()) look(argument.toTensor());
    if (argument.isTensorList())
      for (const at::Tensor& t : argument.toTensorVector()) look(t);
    if (argument.isOptionalTensorList())
      for (const std::optional<at::Tensor>& t : argument.toOptionalTensorVector())
        if (t) look(*t);
  }
  return found;
}

int KnownCalls::State::numbers(const c10::IValue& argument) const {
  const Value* const value = find(argument, Kind::numbers);
  if (!value) throw Unknown{name_ + " reads ids, or a constant where fields are expected"};
  return value->node;
}

/// A parameter: of no row.
at::Tensor KnownCalls::State::constant(const at::Tensor& t) const {
  if (t.defined() && find(t)) throw Unknown{name_ + " multiplies rows by rows"};
  return t;
}

KnownValue KnownCalls::State::understand(const Arguments& in, const at::Tensor& out) {
  static const std::set<std::string> moves{
      "aten::view",        "aten::reshape", "aten::flatten",    "aten::unflatten",    "aten::unsqueeze",
      "aten::squeeze",     "aten::select",  "aten::narrow",     "aten::slice",        "aten::transpose",
      "aten::permute",     "aten::expand",  "aten::contiguous", "aten::clone",        "aten::cat",
      "aten::stack",       "aten::alias",   "aten::detach",     "aten::index_select", "aten::constant_pad_nd",
      "aten::expand_as",   "aten::view_as", "aten::movedim",    "aten::flip",         "aten::repeat",
      "aten::_unsafe_view"};
  static const std::map<std::string, ForwardGraph::Unary> unaries{
      {"aten::relu", ForwardGraph::Unary::relu},   {"aten::sigmoid", ForwardGraph::Unary::sigmoid},
      {"aten::tanh", ForwardGraph::Unary::tanh},   {"aten::gelu", ForwardGraph::Unary::gelu},
      {"aten::silu", ForwardGraph::Unary::silu},   {"aten::leaky_relu", ForwardGraph::Unary::leaky_relu},
      {"aten::exp", ForwardGraph::Unary::exp},     {"aten::abs", ForwardGraph::Unary::abs},
      {"aten::prelu", ForwardGraph::Unary::prelu}, {"aten::clamp_min", ForwardGraph::Unary::at_least}};
  static const std::map<std::string, ForwardGraph::Binary> binaries{{"aten::add", ForwardGraph::Binary::add},
                                                                    {"aten::sub", ForwardGraph::Binary::subtract},
                                                                    {"aten::mul", ForwardGraph::Binary::multiply},
                                                                    {"aten::div", ForwardGraph::Binary::divide}};
  if (name_ == "aten::index_select" && !find(in[0].toTensor())) return lookup(in, out);
  if (moves.contains(name_)) return move(in, out);
  if (const auto it = unaries.find(name_); it != unaries.end()) return unary(it->second, in, out);
  if (const auto it = binaries.find(name_); it != binaries.end()) return binary(it->second, in, out);
  if (name_ == "aten::linear") return linear(in[0], in[1].toTensor(), in[2], out);
  if (name_ == "aten::addmm" && number_of(in[3]) == 1 && number_of(in[4]) == 1)
    return linear(in[1], in[2].toTensor().t(), in[0], out);
  if (name_ == "aten::mm" || (name_ == "aten::matmul" && in[1].toTensor().dim() == 2))
    return linear(in[0], in[1].toTensor().t(), {}, out);
  if (name_ == "aten::mv" || (name_ == "aten::matmul" && in[1].toTensor().dim() == 1))
    return linear(in[0], in[1].toTensor().unsqueeze(0), {}, out);
  if (name_ == "aten::addcmul" && number_of(in[3]) == 1) return addcmul(in, out);
  if (name_ == "aten::rsub" && overload_ == "Scalar" && number_of(in[2]) == 1)
    return apply(ForwardGraph::Binary::subtract, operand(at::scalar_tensor(in[1].toScalar()), out),
                 operand(in[0].toTensor(), out), out);
  if (name_ == "aten::batch_norm" && !in[5].toBool()) return batch_norm(in, out);
  if (name_ == "aten::layer_norm") return layer_norm(in, out);
  if (name_ == "aten::scaled_dot_product_attention") return attention(in, out);
  if (name_ == "interplay::dice") return dice(in, out);
  if (name_ == "interplay::set_products") return products(in, out, true);
  if (name_ == "interplay::elementwise_products") return products(in, out, false);
  if (name_ == "interplay::ffm") return ffm(in, out);
  if (name_ == "aten::sum" && overload_ == "dim_IntList") return sum(in, out, false);
  if (name_ == "aten::mean" && overload_ == "dim") return sum(in, out, true);
  throw Unknown{name_ + (overload_.empty() ? "" : "." + overload_) + " has no step"};
}

KnownValue KnownCalls::State::unary(ForwardGraph::Unary which, const Arguments& in, const at::Tensor& out) {
  Node node;
  node.op = Op::unary;
  node.unary = which;
  node.inputs = {numbers(in[0])};
  node.shape = shape_of(out);
  if (which == ForwardGraph::Unary::gelu && in[1].toStringRef() != "none") throw Unknown{"gelu by tanh has no step"};
  if (which == ForwardGraph::Unary::leaky_relu || which == ForwardGraph::Unary::at_least)
    node.parameter = number_of(in[1]);
  if (which == ForwardGraph::Unary::prelu) {
    if (node.shape.size() != 1) throw Unknown{"prelu of more than one dimension has no step"};
    node.weight = floats_of(constant(in[1].toTensor()).expand(node.shape));
  }
  return add(std::move(node));
}

KnownValue KnownCalls::State::apply(ForwardGraph::Binary which, ForwardGraph::Operand left, ForwardGraph::Operand right,
                                    const at::Tensor& out) {
  Node node;
  node.op = Op::binary;
  node.binary = which;
  node.shape = shape_of(out);
  for (const auto* o : {&left, &right})
    if (o->node >= 0) node.inputs.push_back(o->node);
  node.left = std::move(left);
  node.right = std::move(right);
  return add(std::move(node));
}
static at::Tensor tensor_or_scalar(const c10::IValue& v) {
  return v.isTensor() ? v.toTensor() : at::scalar_tensor(v.toScalar());
}
KnownValue KnownCalls::State::binary(ForwardGraph::Binary which, const Arguments& in, const at::Tensor& out) {
  if (overload_ != "Tensor" && overload_ != "Scalar") throw Unknown{name_ + "." + overload_ + " has no step"};
  const bool has_factor = which == ForwardGraph::Binary::add || which == ForwardGraph::Binary::subtract;
  if (has_factor && in.size() > 2 && number_of(in[2]) != 1) throw Unknown{name_ + " with a factor has no step"};
  return apply(which, operand(tensor_or_scalar(in[0]), out), operand(tensor_or_scalar(in[1]), out), out);
}
KnownValue KnownCalls::State::addcmul(const Arguments& in, const at::Tensor& out) {
  const Value product =
      apply(ForwardGraph::Binary::multiply, operand(in[1].toTensor(), out), operand(in[2].toTensor(), out), out);
  ForwardGraph::Operand right;
  right.node = product.node;
  return apply(ForwardGraph::Binary::add, operand(in[0].toTensor(), out), std::move(right), out);
}

KnownValue KnownCalls::State::linear(const c10::IValue& x, const at::Tensor& weight, const c10::IValue& bias,
                                     const at::Tensor& out) {
  Node node;
  node.op = Op::linear;
  node.inputs = {numbers(x)};
  node.shape = shape_of(out);
  const auto w = constant(weight);
  if (x.toTensor().dim() < 2 || w.dim() != 2) throw Unknown{name_ + " of such dimensions has no step"};
  const auto& parts = find(x.toTensor())->shape;
  node.outer = std::accumulate(parts.begin(), parts.end() - 1, int64_t(1), std::multiplies<>());
  if (list_ >= 0 && node.outer > 1) throw Unknown{name_ + " of parts of an entry has no step"};
  node.weight = floats_of(w);
  const bool has_bias = bias.isTensor() && bias.toTensor().defined();
  node.bias =
      has_bias ? floats_of(constant(bias.toTensor()).expand({w.size(0)})) : std::vector<float>(size_t(w.size(0)), 0.f);
  return add(std::move(node));
}

KnownValue KnownCalls::State::scale(int input, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out) {
  Node node;
  node.op = Op::scale;
  node.inputs = {input};
  node.shape = shape_of(out);
  node.weight = floats_of(a);
  node.bias = floats_of(b);
  return add(std::move(node));
}
KnownValue KnownCalls::State::batch_norm(const Arguments& in, const at::Tensor& out) {
  if (out.dim() != 2) throw Unknown{"batch norm of more than two dimensions has no step"};
  const auto mean = constant(in[3].toTensor()), variance = constant(in[4].toTensor());
  auto a = at::rsqrt(variance + number_of(in[7]));
  if (in[1].isTensor() && in[1].toTensor().defined()) a = a * constant(in[1].toTensor());
  auto b = -mean * a;
  if (in[2].isTensor() && in[2].toTensor().defined()) b = b + constant(in[2].toTensor());
  return scale(numbers(in[0]), a, b, out);
}

KnownValue KnownCalls::State::dice(const Arguments& in, const at::Tensor& out) {
  if (out.dim() != 2) throw Unknown{"dice of more than two dimensions has no step"};
  const auto share = constant(in[1].toTensor()), mean = constant(in[2].toTensor());
  const auto a = at::rsqrt(constant(in[3].toTensor()) + number_of(in[4]));
  Node node;
  node.op = Op::dice;
  node.inputs = {numbers(in[0])};
  node.shape = shape_of(out);
  node.weight = floats_of(a);
  node.bias = floats_of(-mean * a);
  node.share = floats_of(share);
  return add(std::move(node));
}

KnownValue KnownCalls::State::layer_norm(const Arguments& in, const at::Tensor& out) {
  Node node;
  node.op = Op::normalise;
  node.inputs = {numbers(in[0])};
  node.shape = shape_of(out);
  const auto part = in[1].toIntVector();
  node.outer =
      std::accumulate(node.shape.begin(), node.shape.end() - int64_t(part.size()), int64_t(1), std::multiplies<>());
  node.weight = floats_of(in[2].isTensor() ? constant(in[2].toTensor()) : at::ones(part));
  node.bias = floats_of(in[3].isTensor() ? constant(in[3].toTensor()) : at::zeros(part));
  node.parameter = number_of(in[4]);
  return add(std::move(node));
}

KnownValue KnownCalls::State::sum(const Arguments& in, const at::Tensor& out, bool mean) {
  Node node;
  node.op = Op::sum;
  node.inputs = {numbers(in[0])};
  node.shape = shape_of(out);
  const auto shape = find(in[0].toTensor())->shape;
  auto dims = in[1].isNone() ? std::vector<int64_t>() : in[1].toIntVector();
  for (auto& d : dims) d = (d < 0 ? d + int64_t(shape.size()) + 1 : d) - 1;  // of the row
  std::sort(dims.begin(), dims.end());
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] != dims[0] + int64_t(i) || dims[0] < 0) throw Unknown{name_ + " over these dimensions has no step"};
  }
  if (dims.empty()) throw Unknown{name_ + " over the batch has no step"};
  for (int64_t d = 0; d < int64_t(shape.size()); ++d) {
    (d < dims.front() ? node.outer : d > dims.back() ? node.inner : node.reduced) *= shape[size_t(d)];
  }
  if (mean) node.factor = 1.0 / double(node.reduced);
  return add(std::move(node));
}

KnownValue KnownCalls::State::products(const Arguments& in, const at::Tensor& out, bool summed) {
  if (list_ >= 0) throw Unknown{name_ + " of entries has no step"};
  const auto sets = constant(in[1].toTensor()).to(at::kInt).contiguous();
  Node node;
  node.op = Op::products;
  node.inputs = {numbers(in[0])};
  node.shape = shape_of(out);
  node.sets = {sets.const_data_ptr<int32_t>(), sets.const_data_ptr<int32_t>() + sets.numel()};
  node.reduced = sets.size(1);
  node.inner = find(in[0].toTensor())->shape.at(1);
  node.summed = summed;
  return add(std::move(node));
}

KnownValue KnownCalls::State::ffm(const Arguments& in, const at::Tensor& out) {
  if (list_ >= 0) throw Unknown{name_ + " of entries has no step"};
  Node node;
  node.op = Op::ffm;
  node.inputs = {numbers(in[0])};
  node.shape = shape_of(out);
  const auto& shape = find(in[0].toTensor())->shape;  // [F, F K]
  node.outer = node.reduced = shape.at(0);
  node.inner = shape.at(1) / shape.at(0);
  return add(std::move(node));
}

KnownValue KnownCalls::State::attention(const Arguments& in, const at::Tensor& out) {
  if (list_ >= 0) throw Unknown{name_ + " of entries has no step"};
  const auto& shape = find(in[0].toTensor())->shape;
  for (size_t i = 0; i < 3; ++i) {
    const Value* const value = find(in[i], Kind::numbers);
    if (!value || value->shape != shape || shape.size() != 3) throw Unknown{name_ + " of such shapes has no step"};
  }
  const bool plain = in[3].isNone() && number_of(in[4]) == 0 && !in[5].toBool();
  if (!plain) throw Unknown{name_ + " with a mask or dropout has no step"};
  Node node;
  node.op = Op::attention;
  for (size_t i = 0; i < 3; ++i) node.inputs.push_back(numbers(in[i]));
  node.shape = shape_of(out);
  node.outer = shape[0];
  node.reduced = shape[1];
  node.inner = shape[2];
  node.factor = in[6].isNone() ? 1 / std::sqrt(double(node.inner)) : number_of(in[6]);
  return add(std::move(node));
}

KnownCalls::KnownCalls(ForwardGraph& graph, const Features& probe) : state_(std::make_unique<State>(graph, probe)) {}
KnownCalls::~KnownCalls() = default;

void KnownCalls::take(const at::RecordFunction& call, const std::vector<c10::IValue>& in,
                      const std::vector<c10::IValue>& out) {
  state_->take(call, in, out);
}

at::Tensor KnownCalls::before(const at::Tensor& tensor) { return state_->before(tensor); }
int KnownCalls::node_of(const at::Tensor& output) const { return state_->node_of(output); }

}  // namespace interplay
