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

/// What a model computes from categorical and numeric fields, in evaluation mode: steps that each give every row of a
/// batch n numbers, from those that earlier steps gave the same row. Found by watching one forward pass, so that no
/// model has to say it twice. Immutable.
struct INTERPLAY_API ForwardGraph {
  enum class Op {
    dense,      ///< the numeric fields
    lookup,     ///< rows of tables, side by side
    linear,     ///< W x + b
    unary,      ///< f(x)
    binary,     ///< x + y, x - y, x * y or x / y; an operand may be constant
    scale,      ///< a x + b, number by number
    normalise,  ///< layer norm over the row
    sum,        ///< x [outer, reduced, inner] over `reduced`
    copy,       ///< numbers of the inputs in another order, or zeros
  };
  enum class Unary { relu, leaky_relu, sigmoid, tanh, gelu, silu, exp, abs, prelu };
  enum class Binary { add, subtract, multiply, divide };

  struct Table {
    int64_t column;                      ///< of Features::ids
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
    int64_t n = 0;               ///< numbers a row
    std::vector<int64_t> shape;  ///< of a row, as the model sees it
    std::vector<int> inputs;     ///< earlier nodes
    std::vector<Table> tables;   ///< lookup
    std::vector<float> weight;   ///< linear: [n, n of input]; scale: a [n]; normalise: gain [n]; prelu: slope [n]
    std::vector<float> bias;     ///< linear, scale, normalise: [n]
    double parameter = 0;        ///< leaky_relu: slope; normalise: epsilon
    Unary unary = Unary::relu;
    Binary binary = Binary::add;
    Operand left, right;                        ///< binary
    int64_t outer = 1, reduced = 1, inner = 1;  ///< sum
    bool relu = false;                          ///< linear: max(0, .) of the result
    double factor = 1;                          ///< sum: of the result
    std::vector<Run> runs;                      ///< copy
  };

  std::vector<Node> nodes;
  int output = -1;               ///< the node that gives the logits
  int64_t ids = 0, dense = 0;    ///< widths of Features::ids and ::dense
  std::vector<at::Tensor> held;  ///< what the tables point into
  std::vector<std::shared_ptr<const PackedRows>> packed;

  /// Has lookups read these rows in place of those of a model's tables, by where these begin: what both give is the
  /// same. The rows of the model are let go of.
  void read_packed(const std::map<const float*, std::shared_ptr<const PackedRows>>& by_rows);

  /// Watches model.forward(probe), a batch of at least 2 rows. Empty, with the reason in `why`, where the model does
  /// something that no step says: then it can only be run as it is.
  static std::optional<ForwardGraph> record(Model& model, const Features& probe, std::string& why);
};

}  // namespace interplay
