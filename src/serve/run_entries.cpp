// The stages of a ScoringPlan that work on the entries of sequences.
#include <algorithm>
#include <numeric>

#include <interplay/base/simd.h>

#include "serve/scoring_plan.h"

namespace interplay {
namespace {

using Graph = ForwardGraph;
using Op = Graph::Op;
using scoring::Source;
using scoring::Target;

/// Which `most` of these scores are the largest, of equal ones the last; ascending.
void largest(Source scores, int64_t count, int64_t most, std::vector<int32_t>& order) {
  order.resize(size_t(count));
  std::iota(order.begin(), order.end(), 0);
  if (most >= count) return;
  const auto score = [&](int32_t e) { return scores.data[e * scores.stride]; };
  std::nth_element(order.begin(), order.begin() + most, order.end(),
                   [&](int32_t a, int32_t b) { return score(a) != score(b) ? score(a) > score(b) : a > b; });
  order.resize(size_t(most));
  std::sort(order.begin(), order.end());
}

}  // namespace

void ScoringPlan::open_user_lists(const Request& request, Workspace& w) const {
  w.user_room = 0;
  for (size_t l = 0; l < user_lists_.size(); ++l) {
    const int64_t sequence = graph_->lists[l].sequence;
    if (!user_lists_[l] || sequence < 0) continue;
    const int64_t* const offsets = request.user_sequences[size_t(sequence)].offsets;
    w.user_lists[l].offsets.assign({0, offsets[1] - offsets[0]});
    w.user_room = std::max(w.user_room, offsets[1] - offsets[0]);
  }
  const auto wanted = size_t(user_entry_size_ * w.user_room + simd::kLanes);
  if (w.user_entries.size() < wanted) w.user_entries.resize(wanted);
}

/// Finds where the entries begin of the first of `left` rows, as many as are worked on at once, and how many they are.
int64_t ScoringPlan::open_lists(const Request& request, const Part& part, int64_t left, Workspace& w) const {
  const int64_t begin = part.first + part.begin;
  const auto count = [&](size_t l, int64_t row) {
    if (user_lists_[l]) return w.user_lists[l].count(0);
    const int64_t* const offsets = request.sequences[size_t(graph_->lists[l].sequence)].offsets + begin + row;
    return offsets[1] - offsets[0];
  };
  const auto is_open = [&](size_t l) { return user_lists_[l] || graph_->lists[l].sequence >= 0; };
  for (size_t l = 0; l < w.lists.size(); ++l)
    if (is_open(l)) w.lists[l].offsets.assign(1, 0);
  int64_t rows = 0, total = 0;
  for (; rows < left; ++rows) {
    int64_t most = total;
    for (size_t l = 0; l < w.lists.size(); ++l)
      if (is_open(l)) most = std::max(most, w.lists[l].offsets.back() + count(l, rows));
    if (rows > 0 && most > kEntries) break;
    total = most;
    for (size_t l = 0; l < w.lists.size(); ++l)
      if (is_open(l)) w.lists[l].offsets.push_back(w.lists[l].offsets.back() + count(l, rows));
  }
  w.room = std::max(w.room, total);
  const auto wanted = size_t(entry_size_ * w.room + simd::kLanes);
  if (w.entries.size() < wanted) w.entries.resize(wanted);
  return rows;
}

void ScoringPlan::look_up_entries(const Step& step, const Request& request, const Part& part, Workspace& w) const {
  const Graph::Node& node = *step.node;
  const Source to = entries_of(int(&node - graph_->nodes.data()), -1, part, w);
  const Target out{const_cast<float*>(to.data), to.stride, list(node.list, part.for_user, w).offsets.back()};
  const auto& sequences = part.for_user ? request.user_sequences : request.sequences;
  const auto first = [&](int64_t s) { return sequences[size_t(s)].offsets[part.first + part.begin]; };
  for (const auto& table : node.tables)
    scoring::look_up(table, sequences[size_t(table.column)].ids + first(table.column), 1, out);
  if (node.op == Op::weight)
    scoring::copy_run({sequences[size_t(node.source)].weights + first(node.source), 1}, 1, out);
}

void ScoringPlan::choose(const Step& step, const Part& part, Workspace& w) const {
  const Graph::Node& node = *step.node;
  const int of = graph_->lists[size_t(node.list)].of;
  List& to = (part.for_user ? w.user_lists : w.lists)[size_t(node.list)];
  to.offsets.assign(1, 0);
  to.chosen.clear();
  for (int64_t r = 0; r < part.rows; ++r) {
    const int64_t count = list(of, part.for_user, w).count(r);
    if (node.by_score) {
      largest(entries_of(node.inputs.back(), r, part, w), count, node.most, w.order);
      to.chosen.insert(to.chosen.end(), w.order.begin(), w.order.end());
    } else {
      for (int64_t e = std::max<int64_t>(0, count - node.most); e < count; ++e) to.chosen.push_back(int32_t(e));
    }
    to.offsets.push_back(int64_t(to.chosen.size()));
  }
}

void ScoringPlan::run_entries(const Step& step, const Request& request, const Part& part, Workspace& w) const {
  const Graph::Node& node = *step.node;
  switch (node.op) {
    case Op::spread: return;  // read where its row lies
    case Op::lookup:
    case Op::weight: return look_up_entries(step, request, part, w);
    case Op::choose: return choose(step, part, w);
    case Op::count:
    case Op::pool:
    case Op::softmax:
    case Op::pick:
      for (int64_t r = 0; r < part.rows; ++r) run_entries_of(step, r, part, w);
      return;
    default: break;
  }
  // All rows at once, where no input is the row's or the user's alone.
  const bool at_once = !part.for_user && std::all_of(node.inputs.begin(), node.inputs.end(), [&](int i) {
    const Step& x = step_of(i);
    return x.node->list == node.list && !x.all_user && x.node->op != Op::spread;
  });
  if (at_once) return run_entries_of(step, -1, part, w);
  for (int64_t r = 0; r < part.rows; ++r) run_entries_of(step, r, part, w);
}

/// The entries of one row of the part; of all of them where `row` is below 0.
void ScoringPlan::run_entries_of(const Step& step, int64_t row, const Part& part, Workspace& w) const {
  const Graph::Node& node = *step.node;
  const auto input = [&](size_t i) { return entries_of(node.inputs[i], row, part, w); };
  if (node.op == Op::pool || node.op == Op::count) {
    float* const to = part.for_user ? w.user.data() + step.user_at
                                    : w.rows.data() + step.row_at * kChunk + (part.begin + row) * step.width;
    const int of = node.op == Op::count ? int(node.source) : graph_->nodes[size_t(node.inputs[0])].list;
    const int64_t count = list(of, part.for_user, w).count(row);
    if (node.op == Op::count) return void(*to = float(count));
    if (node.inputs.size() == 1) return scoring::pool(input(0), {nullptr, 0}, 1, count, node.n, to);
    return scoring::pool(input(0), input(1), step_of(node.inputs[1]).node->n, count, node.n, to);
  }
  const List& own = list(node.list, part.for_user, w);
  const Source to = entries_of(int(&node - graph_->nodes.data()), row, part, w);
  const Target out{const_cast<float*>(to.data), to.stride, row < 0 ? own.offsets.back() : own.count(row)};
  switch (node.op) {
    case Op::linear: {
      const PackedMatrix& weight = part.for_user ? *step.user_weight : *step.row_weight;
      const float* bias = step.bias.data();
      if (node.inputs.size() > 1) {
        const Source of_row = source(node.inputs[1], part.for_user, w);
        bias = of_row.data + (part.begin + row) * of_row.stride;
      }
      return weight.multiply(input(0).data, input(0).stride, out.rows, bias, out.data, out.stride, node.relu);
    }
    case Op::copy:
      for (const auto& run : node.runs) {
        const Source from = run.input < 0 ? Source{nullptr, 0} : input(size_t(run.input));
        scoring::copy_run({from.data ? from.data + run.from : nullptr, from.stride}, run.count,
                          {out.data + run.to, out.stride, out.rows});
      }
      return;
    case Op::pick: {
      const Source from = input(0);
      for (int64_t e = 0; e < out.rows; ++e) {
        const int32_t chosen = own.chosen[size_t(own.first(row) + e)];
        scoring::copy_run({from.data + chosen * from.stride, 0}, node.n, {out.data + e * out.stride, 0, 1});
      }
      return;
    }
    case Op::softmax: return scoring::softmax(input(0), node.n, out);
    default: break;
  }
  Source inputs[2];
  for (size_t i = 0; i < std::min<size_t>(2, node.inputs.size()); ++i) inputs[i] = input(i);
  scoring::apply(node, inputs, out);
}

}  // namespace interplay
