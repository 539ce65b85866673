#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include <ATen/ATen.h>

#include "serve/known_calls.h"

namespace interplay {

/// What is known of a tensor of the watched pass.
struct KnownValue {
  enum class Kind {
    numbers,  ///< what a node gives
    ids,      ///< which columns of Features::ids, in its order
    entries,  ///< ids of a sequence's entries
    offsets,  ///< where the entries of each row begin
    lengths,  ///< how many entries each row has
    rows,     ///< which row each entry is of
    places,   ///< where entries that were chosen lie among those that they were chosen from
    text,
  };
  Kind kind = Kind::numbers;
  int node = -1;                 ///< of numbers, or of the choice of places
  int list = -1;                 ///< of whose entries there is one each; -1: of rows. Of places: the new list
  std::vector<int64_t> columns;  ///< of ids
  std::vector<int64_t> shape;    ///< of a row or an entry
  int64_t sequence = -1;         ///< of entries
  int64_t size() const {
    int64_t n = 1;
    for (const int64_t s : shape) n *= s;
    return n;
  }
};

class KnownCalls::State {
 public:
  using Node = ForwardGraph::Node;
  using Op = ForwardGraph::Op;
  using Value = KnownValue;
  using Kind = KnownValue::Kind;
  using Arguments = std::vector<c10::IValue>;

  State(ForwardGraph& graph, const Features& probe);
  void take(const at::RecordFunction& call, const Arguments& in, const Arguments& out);
  at::Tensor before(const at::Tensor& tensor);
  int node_of(const at::Tensor& output) const;

 private:
  void bind(const at::Tensor& tensor, Value value);
  const Value* find(const at::Tensor& tensor) const;
  const Value* find(const c10::IValue& argument, Kind kind) const;  // null where it is of another kind
  Value add(Node node);
  int64_t count() const { return list_ < 0 ? batch_ : counts_[size_t(list_)]; }
  std::vector<int64_t> shape_of(const at::Tensor& result) const;
  std::vector<const Value*> read_by(const Arguments& in) const;
  Value understand(const Arguments& in, const at::Tensor& out);
  double number_of(const c10::IValue& v) const { return v.toScalar().toDouble(); }
  int numbers(const c10::IValue& argument) const;
  at::Tensor constant(const at::Tensor& t) const;

  // known_moves.cpp
  Value lookup(const Arguments& in, const at::Tensor& out);
  Value move(const Arguments& in, const at::Tensor& out);
  ForwardGraph::Operand operand(const at::Tensor& t, const at::Tensor& out);

  // known_entries.cpp
  bool understand_entries(const Arguments& in, const at::Tensor& out, Value& value);
  Value choose(const c10::IValue& rows, const c10::IValue* scores, int64_t most, int64_t kept);
  Value spread(const Arguments& in, const at::Tensor& out, const Value& rows);
  Value pick(const Arguments& in, const at::Tensor& out, const Value& places);
  Value pool(const Arguments& in, const at::Tensor& out, const Value& rows);
  int list_of(const c10::IValue& rows) const;

  Value unary(ForwardGraph::Unary which, const Arguments& in, const at::Tensor& out);
  Value apply(ForwardGraph::Binary which, ForwardGraph::Operand left, ForwardGraph::Operand right,
              const at::Tensor& out);
  Value binary(ForwardGraph::Binary which, const Arguments& in, const at::Tensor& out);
  Value addcmul(const Arguments& in, const at::Tensor& out);
  Value linear(const c10::IValue& x, const at::Tensor& weight, const c10::IValue& bias, const at::Tensor& out);
  Value scale(int input, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out);
  Value batch_norm(const Arguments& in, const at::Tensor& out);
  Value dice(const Arguments& in, const at::Tensor& out);
  Value layer_norm(const Arguments& in, const at::Tensor& out);
  Value sum(const Arguments& in, const at::Tensor& out, bool mean);
  Value products(const Arguments& in, const at::Tensor& out, bool summed);
  Value ffm(const Arguments& in, const at::Tensor& out);
  Value attention(const Arguments& in, const at::Tensor& out);

  ForwardGraph& graph_;
  int64_t batch_;
  std::vector<int64_t> counts_;  // entries of each list
  std::vector<int> maker_;       // of each list, the node that chose its entries, or -1
  std::string name_, overload_;  // of the call, and
  int list_ = -1;                // of whose entries its numbers are
  std::unordered_map<const c10::TensorImpl*, Value> values_;
};

/// As floats, in order.
std::vector<float> floats_of(const at::Tensor& t);

}  // namespace interplay
