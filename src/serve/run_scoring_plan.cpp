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

constexpr int64_t kSlack = simd::kLanes;  // numbers are read in whole vectors, past the last row's last

Target at(const Target& out, int64_t number) { return {out.data + number, out.stride, out.rows}; }

}  // namespace

ScoringPlan::Workspace ScoringPlan::workspace() const {
  Workspace w;
  w.user.resize(size_t(user_size_ + kSlack));
  w.rows.resize(size_t(row_size_ * kChunk + kSlack));
  w.user_lists.resize(user_lists_.size());
  w.lists.resize(user_lists_.size());
  w.scratch.resize(size_t(scratch_ + kSlack));
  return w;
}

Source ScoringPlan::source(int node, bool for_user, const Workspace& w) const {
  const Step& step = step_of(node);
  if (for_user || step.all_user) return {w.user.data() + step.user_at, 0};
  return {w.rows.data() + step.row_at * kChunk, step.width};
}

const ScoringPlan::List& ScoringPlan::list(int which, bool for_user, const Workspace& w) const {
  return (for_user ? w.user_lists : w.lists)[size_t(which)];
}

/// What a node has for the entries of a row of the part; of all its rows where `row` is below 0.
Source ScoringPlan::entries_of(int node, int64_t row, const Part& part, const Workspace& w) const {
  const Step& step = step_of(node);
  if (step.node->op == Op::spread) {
    const Source from = source(step.node->inputs[0], part.for_user, w);
    return {from.data + (part.begin + row) * from.stride, 0};
  }
  if (part.for_user || step.all_user) return {w.user_entries.data() + step.user_at * w.user_room, step.width};
  const int64_t first = row < 0 ? 0 : list(step.node->list, false, w).first(row);
  return {w.entries.data() + step.row_at * w.room + first * step.width, step.width};
}

void ScoringPlan::run_linear(const Step& step, Source x, bool for_user, Target out, Workspace& w) const {
  if (step.node->outer > 1) return run_parts(step, x, for_user, out, w);
  const bool relu = step.node->relu;
  float* const user_part = w.user.data() + step.bias_at;
  if (for_user) {
    const bool both = step.row_weight.has_value();
    step.user_weight->multiply(x.data, 0, 1, step.bias.data(), both ? user_part : out.data, step.width, relu && !both);
  } else {
    step.row_weight->multiply(x.data, x.stride, out.rows, step.user_weight ? user_part : step.bias.data(), out.data,
                              out.stride, relu);
  }
}

/// A linear step of several parts of x, each of which is a row to the matrix.
void ScoringPlan::run_parts(const Step& step, Source x, bool for_user, Target out, Workspace& w) const {
  const PackedMatrix& weight = for_user ? *step.user_weight : *step.row_weight;
  const auto& parts = for_user ? step.user_parts : step.row_parts;
  const int64_t n = weight.out(), in = step_of(step.node->inputs[0]).node->n / step.node->outer;
  const int64_t wide = PackedMatrix::padded(n);
  for (size_t begin = 0, end = 0; begin < parts.size(); begin = end) {
    while (end < parts.size() && parts[end] == parts[begin] + int32_t(end - begin)) ++end;
    const int64_t first = parts[begin], count = int64_t(end - begin);
    for (int64_t r = 0; r < out.rows; ++r) {
      float* const to = out.data + r * out.stride + first * n;
      weight.multiply(x.data + r * x.stride + first * in, in, count, step.bias.data(), w.scratch.data(), wide,
                      step.node->relu);
      scoring::copy_run({w.scratch.data(), wide}, n, {to, n, count});
    }
  }
}

void ScoringPlan::run_rows(const Step& step, const Request& request, const Part& part, Workspace& w) const {
  const Graph::Node& node = *step.node;
  const bool for_user = part.for_user;
  float* const user = w.user.data() + step.user_at;
  const Target out =
      for_user ? Target{user, 0, 1} : Target{w.rows.data() + step.row_at * kChunk, step.width, part.rows};
  const auto input = [&](size_t i) { return source(node.inputs[i], for_user, w); };
  // In every row also what is the user's.
  const auto spread = [&] {
    if (for_user || !step.whole) return;
    for (const ColumnRun& run : step.user_columns)
      scoring::copy_run({user + run.begin, 0}, run.count, at(out, run.begin));
  };
  switch (node.op) {
    case Op::dense: {
      const float* const from = for_user ? request.user_dense : request.dense + part.first * graph_->dense;
      for (const auto& run : for_user ? step.user_runs : step.row_runs)
        scoring::copy_run({from + run.from, graph_->dense}, run.count, at(out, run.to));
      return spread();
    }
    case Op::vector: {
      const auto& from = (for_user ? request.user_vectors : request.vectors)[size_t(node.source)];
      return scoring::copy_run({from.data() + part.first * node.n, node.n}, node.n, out);
    }
    case Op::lookup:
      scoring::look_up(for_user ? step.user_tables : step.row_tables,
                       for_user ? request.user_ids : request.ids + part.first * graph_->ids, graph_->ids, out);
      return spread();
    case Op::copy:
      for (const auto& run : for_user ? step.user_runs : step.row_runs) {
        const Source from = run.input < 0 ? Source{nullptr, 0} : input(size_t(run.input));
        scoring::copy_run({from.data ? from.data + run.from : nullptr, from.stride}, run.count, at(out, run.to));
      }
      return spread();
    case Op::linear: run_linear(step, input(0), for_user, out, w); return spread();
    case Op::products:
      scoring::products(node, for_user ? step.user_parts : step.row_parts, input(0), w.scratch.data(), out);
      return spread();
    case Op::ffm: {
      float* const user_sum = w.user.data() + step.bias_at;
      if (for_user) {
        const Target to{step.runs_twice() ? user_sum : out.data, 0, 1};
        scoring::copy_run({nullptr, 0}, 1, to);
        return scoring::add_pairs(node.inner, step.user_parts, input(0), input(0), to);
      }
      scoring::copy_run({step.user_parts.empty() ? nullptr : user_sum, 0}, 1, out);
      scoring::add_pairs(node.inner, step.row_parts, input(0), input(0), out);
      return scoring::add_pairs(node.inner, step.both_parts, source(node.inputs[0], true, w), input(0), out);
    }
    case Op::attention: return scoring::attention(node, input(0), input(1), input(2), w.scratch.data(), out);
    default: break;
  }
  Source inputs[2];
  for (size_t i = 0; i < std::min<size_t>(2, node.inputs.size()); ++i) inputs[i] = input(i);
  scoring::apply(node, inputs, out);
}

void ScoringPlan::run(const Request& request, Workspace& w, float* logits) const {
  open_user_lists(request, w);
  const Part of_user{true, 0, 1, 0};
  for (const Step& step : steps_) {
    if (step.of_entries ? !step.all_user : !step.any_user && !step.runs_twice()) continue;
    step.of_entries ? run_entries(step, request, of_user, w) : run_rows(step, request, of_user, w);
  }
  const int64_t T = labels();
  for (int64_t first = 0; first < request.rows; first += kChunk) {
    const int64_t rows = std::min(kChunk, request.rows - first);
    size_t i = 0;
    for (size_t stage = 0; stage < stage_ends_.size(); ++stage) {
      const size_t begin = i;
      Part part{false, first, rows, 0};
      for (int64_t done = 0; done < rows; done += part.rows) {
        if (stage % 2 == 1) {
          part.begin = done;
          part.rows = open_lists(request, part, rows - done, w);
        }
        for (i = begin; i < stage_ends_[stage]; ++i) {
          if (steps_[i].all_user) continue;
          stage % 2 == 1 ? run_entries(steps_[i], request, part, w) : run_rows(steps_[i], request, part, w);
        }
      }
    }
    const Source output = source(graph_->output, false, w);
    scoring::copy_run(output, T, {logits + first * T, T, rows});
  }
}

}  // namespace interplay
