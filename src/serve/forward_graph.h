#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/core/model.h>
#include <interplay/nn/quantised_rows.h>

namespace interplay {

/// A quantised table as a lookup reads it.
struct PackedRows {
  enum class Type { int8, fp16, bf16 };
  explicit PackedRows(nn::QuantisedRows of);

  nn::QuantisedRows held;
  Type type;
  const void* rows;       // [R, width]
  const uint16_t* scale;  // bf16, of int8
  int64_t rows_a_scale;
};

/// What a model computes from its fields, in evaluation mode: steps that each give every row of a batch n numbers, or
/// every entry of the rows' sequences, from those that earlier steps gave. Found by watching one forward pass, so that
/// no model has to say it twice. Immutable.
struct INTERPLAY_API ForwardGraph {
  enum class Op {
    dense,   ///< the numeric fields
    vector,  ///< a vector field
    lookup,  ///< rows of tables, side by side
    weight,  ///< of an entry: the weight it has
    linear,  ///< W x + b, of each of the `outer` parts of x; of entries with a second input: W x + this one of the row
    unary,   ///< f(x)
    binary,  ///< x + y, x - y, x * y or x / y; an operand may be constant
    scale,   ///< a x + b, number by number
    dice,    ///< x (c + (1 - c) sigmoid(a x + b)), number by number
    normalise,  ///< layer norm over each of the `outer` parts
    sum,        ///< x [outer, reduced, inner] over `reduced`
    dot,        ///< sum of x y, both [outer, reduced], over `reduced`
    copy,       ///< numbers of the inputs in another order, or zeros
    products,   ///< of sets of vectors x [F, inner]: [P, inner], or where `summed` [P]
    ffm,        ///< sum over i < j of <x_ij, x_ji> of x [F, F, inner]
    attention,  ///< softmax over j of factor <q_i, k_j> weighs v_j; q, k, v [outer, F, inner]
    spread,     ///< of an entry: what its row has
    pool,       ///< of a row: the sum over its entries; with a second input, of h numbers, each is a factor of n / h
    count,      ///< of a row: how many entries it has
    softmax,    ///< over the entries of a row
    choose,     ///< makes a list: entries of another one. No numbers
    pick,       ///< of an entry: what it has in the list that it was chosen from
  };
  enum class Unary { relu, leaky_relu, sigmoid, tanh, gelu, silu, exp, abs, prelu, at_least };
  enum class Binary { add, subtract, multiply, divide };

  struct Table {
    int64_t column;                      ///< of Features::ids; of entries: of Features::sequences
    const float* rows;                   ///< of the table: row r lies at rows + r * stride
    int64_t stride, width, to;           ///< `to`: where the row begins in the result
    const PackedRows* packed = nullptr;  ///< where they are quantised, in place of `rows`
  };
  /// An operand of `binary`: number j of the result reads number index[j] of node `node` (index empty: number j), or
  /// constant[j].
  struct Operand {
    int node = -1;
    std::vector<int32_t> index;
    std::vector<float> constant;
  };
  /// [to, to + count) of the result come from [from, from + count) of input `input`; -1: zeros.
  struct Run {
    int input;
    int64_t from, to, count;
  };
  struct Node {
    Op op;
    int64_t n = 0;               ///< numbers of a row or an entry
    int list = -1;               ///< of whose entries it has numbers; -1: of rows
    std::vector<int64_t> shape;  ///< of a row or an entry, as the model sees it
    std::vector<int> inputs;     ///< earlier nodes
    std::vector<Table> tables;   ///< lookup
    std::vector<float> weight;   ///< linear: [out, in]; scale, dice: a [n]; normalise: gain; prelu: slope [n]
    std::vector<float> bias;     ///< linear: [out]; scale, dice: b [n]; normalise: [n / outer]
    std::vector<float> share;    ///< dice: c [n]
    std::vector<int32_t> sets;   ///< products: [P, reduced]
    double parameter = 0;        ///< leaky_relu: slope; at_least: bound; normalise: epsilon
    Unary unary = Unary::relu;
    Binary binary = Binary::add;
    Operand left, right;                        ///< binary
    int64_t outer = 1, reduced = 1, inner = 1;  ///< products: sets of `reduced`; attention: F is `reduced`
    bool relu = false;                          ///< linear: max(0, .) of the result
    bool summed = false;                        ///< products
    double factor = 1;                          ///< sum: of the result; attention
    std::vector<Run> runs;                      ///< copy
    int64_t source = -1;                        ///< vector, weight: which of the batch's; count: list
    int64_t most = 0;                           ///< choose: at most so many of a row
    bool by_score = false;  ///< choose: those with the largest numbers of the last input, of equals the last ones; else
                            ///< the last ones
  };
  /// Entries of sequences, a list for each row.
  struct List {
    int64_t sequence = -1;  ///< whose offsets they have; -1: a node `choose` makes it
    int of = -1;            ///< then the list that they are chosen from
  };

  std::vector<Node> nodes;
  std::vector<List> lists;
  std::vector<int64_t> vectors;  ///< widths of Features::vectors
  int64_t sequences = 0;         ///< how many Features::sequences there are
  int output = -1;               ///< the node that gives the logits
  int64_t ids = 0, dense = 0;    ///< widths of Features::ids and ::dense
  std::vector<at::Tensor> held;  ///< what the tables point into
  std::vector<std::shared_ptr<const PackedRows>> packed;

  /// Has lookups read these rows in place of those of a model's tables, by where these begin: what both give is the
  /// same. The rows of the model are let go of.
  void read_packed(const std::map<const float*, std::shared_ptr<const PackedRows>>& by_rows);

  /// When each node runs: even stages are of rows; in the odd ones between them entries are worked on, some rows at a
  /// time, and forgotten. Throws Unknown where a later stage would read them.
  std::vector<int64_t> stages() const;
  bool is_of_entries(const Node& node) const { return node.list >= 0 || node.op == Op::pool || node.op == Op::count; }

  /// Watches model.forward(probe), a batch of at least 2 rows. Empty, with the reason in `why`, where the model does
  /// something that no step says: then it can only be run as it is.
  static std::optional<ForwardGraph> record(Model& model, const Features& probe, std::string& why);
};

}  // namespace interplay
