#include <map>
#include <utility>

#include "serve/simplify.h"

namespace interplay {
namespace {

using Graph = ForwardGraph;
using Node = Graph::Node;
using Op = Graph::Op;

/// What a linear step of entries reads: of each node of the new graph its columns of W, [out, n] column by column.
using Columns = std::map<int, std::vector<float>>;

class Separation {
 public:
  explicit Separation(Graph& graph) : graph_(graph) {}

  void run() {
    for (Node& node : graph_.nodes) {
      renumber(node, place_);
      const bool of_entries = node.op == Op::linear && node.list >= 0 && node.outer == 1;
      if (!of_entries || !separate(node)) add(std::move(node));
      place_.push_back(int(nodes_.size()) - 1);
    }
    graph_.output = place_[size_t(graph_.output)];
    graph_.nodes = std::move(nodes_);
  }

 private:
  int add(Node node) {
    bool varies = node.op == Op::spread;
    for (const int input : node.inputs) varies = varies || (nodes_[size_t(input)].list >= 0 && of_both_[size_t(input)]);
    of_both_.push_back(varies);
    nodes_.push_back(std::move(node));
    return int(nodes_.size()) - 1;
  }

  /// Column `column` of W, times `sign`, for number `number` of node `from`.
  void collect(const Node& linear, int64_t column, int from, int64_t number, float sign, Columns& to) const {
    const Node& node = nodes_[size_t(from)];
    if (node.op == Op::copy) {
      for (const auto& run : node.runs) {
        if (number < run.to || number >= run.to + run.count || run.input < 0) continue;
        collect(linear, column, node.inputs[size_t(run.input)], run.from + number - run.to, sign, to);
      }
      return;
    }
    const bool sum = node.op == Op::binary &&
                     (node.binary == Graph::Binary::add || node.binary == Graph::Binary::subtract) &&
                     node.left.node >= 0 && node.right.node >= 0;
    if (sum) {
      const auto place = [&](const Graph::Operand& o) {
        return o.index.empty() ? number : int64_t(o.index[size_t(number)]);
      };
      collect(linear, column, node.left.node, place(node.left), sign, to);
      collect(linear, column, node.right.node, place(node.right), node.binary == Graph::Binary::add ? sign : -sign, to);
      return;
    }
    const int64_t in = width(linear);
    auto& weight = to[from];
    weight.resize(size_t(linear.n * node.n));
    for (int64_t o = 0; o < linear.n; ++o)
      weight[size_t(number * linear.n + o)] += sign * linear.weight[size_t(o * in + column)];
  }
  int64_t width(const Node& linear) const { return nodes_[size_t(linear.inputs[0])].n; }

  /// A linear step of all these nodes side by side. `of_rows`: of what they spread.
  int multiply(const Node& like, const Columns& columns, bool of_rows) {
    Node side, linear;
    side.op = Op::copy;
    linear.op = Op::linear;
    side.list = linear.list = of_rows ? -1 : like.list;
    for (const auto& [from, weight] : columns) {
      const int input = of_rows ? nodes_[size_t(from)].inputs[0] : from;
      const int64_t n = nodes_[size_t(from)].n;
      side.runs.push_back({int(side.inputs.size()), 0, side.n, n});
      side.inputs.push_back(input);
      side.n += n;
    }
    side.shape = {side.n};
    linear.n = like.n;
    linear.shape = like.shape;
    linear.weight.resize(size_t(linear.n * side.n));
    int64_t first = 0;
    for (const auto& [from, weight] : columns) {
      const int64_t n = nodes_[size_t(from)].n;
      for (int64_t k = 0; k < n; ++k)
        for (int64_t o = 0; o < linear.n; ++o)
          linear.weight[size_t(o * side.n + first + k)] = weight[size_t(k * linear.n + o)];
      first += n;
    }
    linear.bias.assign(size_t(linear.n), 0.f);
    const bool alone = columns.size() == 1;
    const int input = alone ? side.inputs[0] : add(std::move(side));
    linear.inputs = {input};
    return add(std::move(linear));
  }

  /// W [x of the row, x of the entry, x of both] + b as a sum of three: each is computed as often as it differs.
  bool separate(const Node& node) {
    Columns all, of_row, of_entry, of_both;
    for (int64_t c = 0; c < width(node); ++c) collect(node, c, node.inputs[0], c, 1, all);
    for (auto& [from, weight] : all) {
      const bool spread = nodes_[size_t(from)].op == Op::spread;
      (spread ? of_row : of_both_[size_t(from)] ? of_both : of_entry)[from] = std::move(weight);
    }
    if (of_row.empty() || (of_entry.empty() && of_both.empty())) return false;
    const int row = multiply(node, of_row, true);
    nodes_[size_t(row)].bias = node.bias;
    int result = -1;
    if (!of_both.empty()) {
      result = multiply(node, of_both, false);
      nodes_[size_t(result)].inputs.push_back(row);  // in place of a bias
      of_both_[size_t(result)] = true;
    }
    if (of_entry.empty()) return true;
    const int entry = multiply(node, of_entry, false);
    if (result < 0) {
      Node spread = nodes_[size_t(of_row.begin()->first)];  // of the same list
      spread.inputs[0] = row;
      spread.n = node.n;
      spread.shape = node.shape;
      result = add(std::move(spread));
    }
    Node sum;
    sum.op = Op::binary;
    sum.list = node.list;
    sum.n = node.n;
    sum.shape = node.shape;
    sum.inputs = {result, entry};
    sum.left.node = result;
    sum.right.node = entry;
    add(std::move(sum));
    return true;
  }

  Graph& graph_;
  std::vector<Node> nodes_;
  std::vector<bool> of_both_;  // of a node of entries: it depends on what the row has, too
  std::vector<int> place_;     // of the old nodes
};

}  // namespace

void separate_entries(ForwardGraph& graph) { Separation(graph).run(); }

}  // namespace interplay
