#include "serve/simplify.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace interplay {
namespace {

using Node = ForwardGraph::Node;
using Op = ForwardGraph::Op;

bool is_whole_copy(const Node& node, const ForwardGraph& graph) {
  return node.op == Op::copy && node.runs.size() == 1 && node.runs[0].input >= 0 && node.runs[0].from == 0 &&
         node.n == graph.nodes[size_t(node.inputs[size_t(node.runs[0].input)])].n;
}

/// A copy that puts looked-up rows side by side is itself a lookup, of several tables.
void join_lookups(ForwardGraph& graph) {
  for (Node& node : graph.nodes) {
    if (node.op != Op::copy) continue;
    std::vector<ForwardGraph::Table> tables;
    bool joined = true;
    for (const auto& run : node.runs) {
      const Node* const from = run.input < 0 ? nullptr : &graph.nodes[size_t(node.inputs[size_t(run.input)])];
      if (from && (from->op != Op::lookup || run.from != 0 || run.count != from->n)) joined = false;
      if (!joined || !from) {
        joined = false;
        break;
      }
      for (auto t : from->tables) {
        t.to += run.to;
        tables.push_back(t);
      }
    }
    if (!joined) continue;
    node.op = Op::lookup;
    node.tables = std::move(tables);
    node.inputs.clear();
    node.runs.clear();
  }
}

/// Whether number j of an operand of n numbers is number j h / n of h.
bool is_broadcast(const ForwardGraph::Operand& operand, int64_t h) {
  const auto n = int64_t(operand.index.size());
  if (n == 0 || n % h != 0) return false;
  for (int64_t j = 0; j < n; ++j)
    if (operand.index[size_t(j)] != j / (n / h)) return false;
  return true;
}

const Node* product_of(const ForwardGraph& graph, int node) {
  const Node& found = graph.nodes[size_t(node)];
  const bool product = found.op == Op::binary && found.binary == ForwardGraph::Binary::multiply &&
                       found.left.node >= 0 && found.right.node >= 0;
  return product ? &found : nullptr;
}

/// The sum over entries of a x, where each entry has one number a for all of x or for each head's part of it, is one
/// step; so is the sum of the products of two nodes' numbers.
void join_products(ForwardGraph& graph) {
  for (Node& node : graph.nodes) {
    if ((node.op != Op::pool || node.inputs.size() != 1) && node.op != Op::sum) continue;
    const Node* const product = product_of(graph, node.inputs[0]);
    if (!product) continue;
    const auto &x = product->left, &y = product->right;
    if (node.op == Op::sum) {
      if (node.inner != 1 || node.factor != 1 || !x.index.empty() || !y.index.empty()) continue;
      node.op = Op::dot;
      node.inputs = {x.node, y.node};
      continue;
    }
    for (const auto& [of, a] : {std::pair{&x, &y}, std::pair{&y, &x}}) {
      if (!of->index.empty() || !is_broadcast(*a, graph.nodes[size_t(a->node)].n)) continue;
      node.inputs = {of->node, a->node};
      break;
    }
  }
}

/// A linear step that only a relu reads takes it along.
void join_relus(ForwardGraph& graph) {
  std::vector<int> readers(graph.nodes.size());
  for (const Node& node : graph.nodes)
    for (const int input : node.inputs) ++readers[size_t(input)];
  for (Node& node : graph.nodes) {
    if (node.op != Op::unary || node.unary != ForwardGraph::Unary::relu) continue;
    Node& from = graph.nodes[size_t(node.inputs[0])];
    if (from.op != Op::linear || readers[size_t(node.inputs[0])] != 1) continue;
    from.relu = true;
    node.op = Op::copy;
    node.runs = {{0, 0, 0, node.n}};
  }
}

void remove_unread(ForwardGraph& graph) {
  std::vector<bool> read(graph.nodes.size());
  read[size_t(graph.output)] = true;
  for (size_t i = graph.nodes.size(); i-- > 0;) {
    if (read[i])
      for (const int input : graph.nodes[i].inputs) read[size_t(input)] = true;
  }
  std::vector<Node> kept;
  std::vector<int> place(graph.nodes.size(), -1);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!read[i]) continue;
    Node node = std::move(graph.nodes[i]);
    renumber(node, place);
    place[i] = int(kept.size());
    kept.push_back(std::move(node));
  }
  graph.output = place[size_t(graph.output)];
  graph.nodes = std::move(kept);
}

}  // namespace

void renumber(ForwardGraph::Node& node, const std::vector<int>& place) {
  for (int& input : node.inputs) input = place[size_t(input)];
  for (auto* o : {&node.left, &node.right})
    if (o->node >= 0) o->node = place[size_t(o->node)];
}

void simplify(ForwardGraph& graph) {
  separate_entries(graph);
  join_lookups(graph);
  join_relus(graph);
  std::vector<int> same(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    renumber(node, same);
    same[i] = is_whole_copy(node, graph) ? node.inputs[size_t(node.runs[0].input)] : int(i);
    if (node.op != Op::lookup) continue;
    for (size_t j = 0; j < i && same[i] == int(i); ++j) {
      const Node& other = graph.nodes[j];
      const bool equal = other.op == Op::lookup && other.n == node.n && other.list == node.list &&
                         std::equal(other.tables.begin(), other.tables.end(), node.tables.begin(), node.tables.end(),
                                    [](const auto& a, const auto& b) {
                                      return a.column == b.column && a.rows == b.rows && a.to == b.to;
                                    });
      if (equal) same[i] = int(j);
    }
  }
  graph.output = same[size_t(graph.output)];
  join_products(graph);
  remove_unread(graph);
}

ForwardGraph multiply_before_picks(const ForwardGraph& graph, const std::vector<bool>& lists) {
  ForwardGraph out = graph;
  out.nodes.clear();
  std::vector<int> place;
  for (Node node : graph.nodes) {
    renumber(node, place);
    const Node* const pick = node.op == Op::linear && node.inputs.size() == 1 && node.outer == 1
                                 ? &out.nodes[size_t(node.inputs[0])]
                                 : nullptr;
    const bool moves = pick && pick->op == Op::pick && lists[size_t(out.nodes[size_t(pick->inputs[0])].list)];
    if (moves) {
      Node after = *pick;
      after.n = node.n;
      after.shape = node.shape;
      node.inputs = {pick->inputs[0]};
      node.list = out.nodes[size_t(pick->inputs[0])].list;
      after.inputs[0] = int(out.nodes.size());
      out.nodes.push_back(std::move(node));
      node = std::move(after);
    }
    place.push_back(int(out.nodes.size()));
    out.nodes.push_back(std::move(node));
  }
  out.output = place[size_t(out.output)];
  remove_unread(out);
  return out;
}

}  // namespace interplay
