#include "serve/known_calls.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <interplay/base/error.h>

namespace interplay {
namespace {

using Node = ForwardGraph::Node;
using Op = ForwardGraph::Op;
using Arguments = std::vector<c10::IValue>;

/// What is known of a tensor of the watched pass.
struct Value {
  int node = -1;                 // of floats, or
  std::vector<int64_t> columns;  // of ids: which columns of Features::ids, in its order
  std::vector<int64_t> shape;    // of a row
  bool ragged = false;           // of a sequence
  bool is_ids() const { return node < 0; }
  int64_t size() const {
    int64_t n = 1;
    for (const int64_t s : shape) n *= s;
    return n;
  }
};

std::vector<float> floats_of(const at::Tensor& t) {
  const auto flat = t.to(at::kFloat).contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

}  // namespace

class KnownCalls::State {
 public:
  State(ForwardGraph& graph, const Features& probe) : graph_(graph), batch_(probe.rows) {
    graph_.ids = probe.ids.size(1);
    graph_.dense = probe.dense.size(1);
    Value ids;
    for (int64_t c = 0; c < graph_.ids; ++c) ids.columns.push_back(c);
    ids.shape = {graph_.ids};
    bind(probe.ids, ids);
    Node dense;
    dense.op = Op::dense;
    dense.shape = {graph_.dense};
    if (graph_.dense > 0) bind(probe.dense, add(std::move(dense)));
    Value ragged;
    ragged.ragged = true;
    for (const auto& s : probe.sequences) {
      for (const auto* t : {&s.ids, &s.offsets, &s.weights})
        if (t->defined()) bind(*t, ragged);
    }
    for (const auto& v : probe.vectors) bind(v, ragged);
    for (const auto& text : probe.tokens) {
      for (const auto* t : {&text.ids, &text.offsets, &text.columns}) bind(*t, ragged);
    }
  }

  void take(const at::RecordFunction& fn, const Arguments& in, const std::vector<c10::IValue>& out) {
    bool known = false;
    for (const auto& argument : in) known = known || depends(argument);
    if (!known) return;  // a constant
    name_ = fn.name();
    static const std::set<std::string> shapes{"aten::empty_like", "aten::zeros_like", "aten::ones_like",
                                              "aten::full_like",  "aten::new_empty",  "aten::new_zeros",
                                              "aten::new_ones",   "aten::new_full"};
    if (shapes.contains(name_)) return;  // a constant too: only the shape was read
    if (out.size() != 1 || !out[0].isTensor()) throw Unknown{name_ + " gives no single tensor"};
    const auto schema = fn.operator_schema();
    const bool in_place = is_in_place(name_);
    if (!schema || (schema->is_mutable() && !in_place)) throw Unknown{name_ + " writes to a tensor"};
    overload_ = schema->overload_name();
    if (in_place) {
      name_.pop_back();
    } else if (find(out[0].toTensor())) {
      return;  // gives back what it got
    }
    bind(out[0].toTensor(), understand(in, out[0].toTensor()));
  }
  /// A tensor that a call is about to overwrite, as it was.
  at::Tensor before(const at::Tensor& tensor) {
    auto copy = tensor.clone();
    if (const Value* const value = find(tensor)) bind(copy, Value(*value));
    return copy;
  }
  int node_of(const at::Tensor& output) const {
    const Value* const value = find(output);
    if (!value || value->is_ids()) throw Unknown{"its logits do not depend on the fields"};
    return value->node;
  }

 private:
  static bool is_in_place(std::string_view name) { return name.ends_with('_'); }
  void bind(const at::Tensor& tensor, Value value) {
    graph_.held.push_back(tensor);  // while it lives, no other tensor has its address
    values_[tensor.unsafeGetTensorImpl()] = std::move(value);
  }
  const Value* find(const at::Tensor& tensor) const {
    const auto found = values_.find(tensor.unsafeGetTensorImpl());
    return found == values_.end() ? nullptr : &found->second;
  }
  Value add(Node node) {
    Value value;
    value.shape = node.shape;
    node.n = value.size();
    value.node = int(graph_.nodes.size());
    graph_.nodes.push_back(std::move(node));
    return value;
  }
  /// The shape of a row of `result`, whose first dimension must be the batch.
  std::vector<int64_t> row_shape(const at::Tensor& result) const {
    if (result.dim() == 0 || result.size(0) != batch_) throw Unknown{name_ + " leaves the rows of the batch"};
    return result.sizes().slice(1).vec();
  }

  bool depends(const c10::IValue& argument) const {
    bool found = false;
    const auto look = [&](const at::Tensor& t) {
      const Value* const value = t.defined() ? find(t) : nullptr;
      if (value && value->ragged) throw Unknown{"it reads a sequence, a vector or a text"};
      found = found || value;
    };
    if (argument.isTensor()) look(argument.toTensor());
    if (argument.isTensorList())
      for (const at::Tensor& t : argument.toTensorVector()) look(t);
    if (argument.isOptionalTensorList())
      for (const std::optional<at::Tensor>& t : argument.toOptionalTensorVector())
        if (t) look(*t);
    return found;
  }

  Value understand(const Arguments& in, const at::Tensor& out) {
    static const std::set<std::string> moves{
        "aten::view",        "aten::reshape", "aten::flatten",    "aten::unflatten",    "aten::unsqueeze",
        "aten::squeeze",     "aten::select",  "aten::narrow",     "aten::slice",        "aten::transpose",
        "aten::permute",     "aten::expand",  "aten::contiguous", "aten::clone",        "aten::cat",
        "aten::stack",       "aten::alias",   "aten::detach",     "aten::index_select", "aten::constant_pad_nd",
        "aten::expand_as",   "aten::view_as", "aten::movedim",    "aten::flip",         "aten::repeat",
        "aten::_unsafe_view"};
    static const std::map<std::string, ForwardGraph::Unary> unaries{
        {"aten::relu", ForwardGraph::Unary::relu},  {"aten::sigmoid", ForwardGraph::Unary::sigmoid},
        {"aten::tanh", ForwardGraph::Unary::tanh},  {"aten::gelu", ForwardGraph::Unary::gelu},
        {"aten::silu", ForwardGraph::Unary::silu},  {"aten::leaky_relu", ForwardGraph::Unary::leaky_relu},
        {"aten::exp", ForwardGraph::Unary::exp},    {"aten::abs", ForwardGraph::Unary::abs},
        {"aten::prelu", ForwardGraph::Unary::prelu}};
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
    if (name_ == "aten::sum" && overload_ == "dim_IntList") return sum(in, out, false);
    if (name_ == "aten::mean" && overload_ == "dim") return sum(in, out, true);
    throw Unknown{name_ + (overload_.empty() ? "" : "." + overload_) + " has no step"};
  }

  double number_of(const c10::IValue& v) const { return v.toScalar().toDouble(); }

  int floats(const c10::IValue& argument) const {
    const Value* const value = argument.isTensor() ? find(argument.toTensor()) : nullptr;
    if (!value || value->is_ids()) throw Unknown{name_ + " reads ids, or a constant where fields are expected"};
    return value->node;
  }
  /// A parameter: of no row.
  at::Tensor constant(const at::Tensor& t) const {
    if (t.defined() && find(t)) throw Unknown{name_ + " multiplies rows by rows"};
    return t;
  }

  Value lookup(const Arguments& in, const at::Tensor& out) {
    const at::Tensor table = in[0].toTensor();
    const Value* const ids = find(in[2].toTensor());
    if (in[1].toInt() != 0 || !ids || !ids->is_ids() || ids->size() != 1 || table.dim() != 2 ||
        table.scalar_type() != at::kFloat || table.stride(1) != 1)
      throw Unknown{name_ + " is no lookup of a field's rows"};
    graph_.held.push_back(table);
    Node node;
    node.op = Op::lookup;
    node.shape = row_shape(out);
    node.tables = {{ids->columns[0], table.const_data_ptr<float>(), table.stride(0), table.size(1), 0}};
    return add(std::move(node));
  }

  /// A call that only moves numbers is made once more, with the places of the numbers in their stead.
  Value move(const Arguments& in, const at::Tensor& out) {
    std::vector<const Value*> sources;
    std::vector<int64_t> first;  // of each source's numbers; 0 is zero
    int64_t total = 1;
    const auto places = [&](const at::Tensor& t) {
      const Value* const value = find(t);
      if (!value) throw Unknown{name_ + " mixes fields with a constant"};
      sources.push_back(value);
      first.push_back(total);
      auto shape = value->shape;
      shape.insert(shape.begin(), batch_);
      const int64_t count = batch_ * value->size();
      total += count;
      return at::arange(total - count, total, at::kLong).view(shape);
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
    const auto shape = row_shape(out);
    const int64_t n = index.numel() / batch_;
    const int64_t* const at_row = index.const_data_ptr<int64_t>();
    const bool ids = sources[0]->is_ids();
    Node node;
    node.op = Op::copy;
    node.shape = shape;
    for (const Value* s : sources) {
      if (s->is_ids() != ids) throw Unknown{name_ + " mixes ids with numbers"};
      if (!ids) node.inputs.push_back(s->node);
    }
    Value moved;
    moved.shape = shape;
    for (int64_t j = 0; j < n; ++j) {
      const int64_t place = at_row[j];
      const auto source = std::upper_bound(first.begin(), first.end(), place) - first.begin() - 1;
      const int64_t from = source < 0 ? 0 : place - first[size_t(source)];
      const int64_t width = source < 0 ? 0 : sources[size_t(source)]->size();
      for (int64_t b = 0; b < batch_; ++b) {
        if (at_row[b * n + j] != (source < 0 ? 0 : place + b * width) || (source >= 0 && from >= width))
          throw Unknown{name_ + " moves numbers between rows"};
      }
      if (ids) {
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
    return ids ? moved : add(std::move(node));
  }

  Value unary(ForwardGraph::Unary which, const Arguments& in, const at::Tensor& out) {
    Node node;
    node.op = Op::unary;
    node.unary = which;
    node.inputs = {floats(in[0])};
    node.shape = row_shape(out);
    if (which == ForwardGraph::Unary::gelu && in[1].toStringRef() != "none") throw Unknown{"gelu by tanh has no step"};
    if (which == ForwardGraph::Unary::leaky_relu) node.parameter = number_of(in[1]);
    if (which == ForwardGraph::Unary::prelu) {
      if (node.shape.size() != 1) throw Unknown{"prelu of more than one dimension has no step"};
      node.weight = floats_of(constant(in[1].toTensor()).expand(node.shape));
    }
    return add(std::move(node));
  }

  /// `t` as it takes part in a result shaped as `out`.
  ForwardGraph::Operand operand(const at::Tensor& t, const at::Tensor& out) {
    ForwardGraph::Operand operand;
    const int64_t n = out.numel() / batch_;
    const Value* const value = find(t);
    if (!value) {
      const auto all = t.to(at::kFloat).expand(out.sizes()).contiguous().view({batch_, n});
      if (!all.eq(all[0]).all().item<bool>()) throw Unknown{name_ + " has a constant that differs between rows"};
      operand.constant = floats_of(all[0]);
      return operand;
    }
    operand.node = floats(t);
    auto shape = value->shape;
    shape.insert(shape.begin(), batch_);
    const int64_t width = value->size();
    const auto index = at::arange(batch_ * width, at::kLong).view(shape).expand(out.sizes()).contiguous();
    const int64_t* const from = index.const_data_ptr<int64_t>();
    bool same = width == n;
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t b = 0; b < batch_; ++b) {
        if (from[b * n + j] != from[j] + b * width || from[j] >= width) throw Unknown{name_ + " mixes rows"};
      }
      same = same && from[j] == j;
      operand.index.push_back(int32_t(from[j]));
    }
    if (same) operand.index.clear();
    return operand;
  }
  Value apply(ForwardGraph::Binary which, ForwardGraph::Operand left, ForwardGraph::Operand right,
              const at::Tensor& out) {
    Node node;
    node.op = Op::binary;
    node.binary = which;
    node.shape = row_shape(out);
    for (const auto* o : {&left, &right})
      if (o->node >= 0) node.inputs.push_back(o->node);
    node.left = std::move(left);
    node.right = std::move(right);
    return add(std::move(node));
  }
  at::Tensor tensor_or_scalar(const c10::IValue& v) const {
    return v.isTensor() ? v.toTensor() : at::scalar_tensor(v.toScalar());
  }
  Value binary(ForwardGraph::Binary which, const Arguments& in, const at::Tensor& out) {
    if (overload_ != "Tensor" && overload_ != "Scalar") throw Unknown{name_ + "." + overload_ + " has no step"};
    const bool has_factor = which == ForwardGraph::Binary::add || which == ForwardGraph::Binary::subtract;
    if (has_factor && in.size() > 2 && number_of(in[2]) != 1) throw Unknown{name_ + " with a factor has no step"};
    return apply(which, operand(tensor_or_scalar(in[0]), out), operand(tensor_or_scalar(in[1]), out), out);
  }
  Value addcmul(const Arguments& in, const at::Tensor& out) {
    const Value product =
        apply(ForwardGraph::Binary::multiply, operand(in[1].toTensor(), out), operand(in[2].toTensor(), out), out);
    ForwardGraph::Operand right;
    right.node = product.node;
    return apply(ForwardGraph::Binary::add, operand(in[0].toTensor(), out), std::move(right), out);
  }

  Value linear(const c10::IValue& x, const at::Tensor& weight, const c10::IValue& bias, const at::Tensor& out) {
    Node node;
    node.op = Op::linear;
    node.inputs = {floats(x)};
    node.shape = row_shape(out);
    const auto w = constant(weight);
    if (x.toTensor().dim() != 2 || w.dim() != 2) throw Unknown{name_ + " of more than two dimensions has no step"};
    node.weight = floats_of(w);
    const bool has_bias = bias.isTensor() && bias.toTensor().defined();
    node.bias = has_bias ? floats_of(constant(bias.toTensor()).expand({w.size(0)}))
                         : std::vector<float>(size_t(w.size(0)), 0.f);
    return add(std::move(node));
  }

  Value scale(int input, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out) {
    Node node;
    node.op = Op::scale;
    node.inputs = {input};
    node.shape = row_shape(out);
    node.weight = floats_of(a);
    node.bias = floats_of(b);
    return add(std::move(node));
  }
  Value batch_norm(const Arguments& in, const at::Tensor& out) {
    if (out.dim() != 2) throw Unknown{"batch norm of more than two dimensions has no step"};
    const auto mean = constant(in[3].toTensor()), variance = constant(in[4].toTensor());
    auto a = at::rsqrt(variance + number_of(in[7]));
    if (in[1].isTensor() && in[1].toTensor().defined()) a = a * constant(in[1].toTensor());
    auto b = -mean * a;
    if (in[2].isTensor() && in[2].toTensor().defined()) b = b + constant(in[2].toTensor());
    return scale(floats(in[0]), a, b, out);
  }
  Value layer_norm(const Arguments& in, const at::Tensor& out) {
    Node node;
    node.op = Op::normalise;
    node.inputs = {floats(in[0])};
    node.shape = row_shape(out);
    if (in[1].toIntVector() != node.shape) throw Unknown{"layer norm of a part of the row has no step"};
    node.weight = floats_of(in[2].isTensor() ? constant(in[2].toTensor()) : at::ones(node.shape));
    node.bias = floats_of(in[3].isTensor() ? constant(in[3].toTensor()) : at::zeros(node.shape));
    node.parameter = number_of(in[4]);
    return add(std::move(node));
  }

  Value sum(const Arguments& in, const at::Tensor& out, bool mean) {
    Node node;
    node.op = Op::sum;
    node.inputs = {floats(in[0])};
    node.shape = row_shape(out);
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

  ForwardGraph& graph_;
  int64_t batch_;
  std::string name_, overload_;
  std::unordered_map<const c10::TensorImpl*, Value> values_;
};

KnownCalls::KnownCalls(ForwardGraph& graph, const Features& probe) : state_(std::make_unique<State>(graph, probe)) {}
KnownCalls::~KnownCalls() = default;

void KnownCalls::take(const at::RecordFunction& call, const Arguments& in, const Arguments& out) {
  state_->take(call, in, out);
}

at::Tensor KnownCalls::before(const at::Tensor& tensor) { return state_->before(tensor); }
int KnownCalls::node_of(const at::Tensor& output) const { return state_->node_of(output); }

}  // namespace interplay
