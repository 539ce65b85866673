#include "serve/scoring_plan.h"

#include <algorithm>
#include <numeric>

#include <interplay/base/error.h>

#include "serve/simplify.h"

namespace interplay {
namespace {

using Graph = ForwardGraph;
using Op = Graph::Op;
using scoring::Source;
using scoring::Target;

int64_t padded(int64_t n) { return PackedMatrix::padded(n); }

/// The parts of a copy whose numbers are of the user, or not.
std::vector<Graph::Run> runs_where(const std::vector<Graph::Run>& runs, const std::vector<bool>& is_user, bool user) {
  std::vector<Graph::Run> out;
  for (const auto& run : runs) {
    for (int64_t i = 0; i < run.count; ++i) {
      if (is_user[size_t(run.to + i)] != user) continue;
      const bool goes_on = !out.empty() && out.back().input == run.input &&
                           out.back().to + out.back().count == run.to + i &&
                           (run.input < 0 || out.back().from + out.back().count == run.from + i);
      if (goes_on) {
        ++out.back().count;
      } else {
        out.push_back({run.input, run.from + i, run.to + i, 1});
      }
    }
  }
  return out;
}

std::vector<ColumnRun> columns_where(const std::vector<bool>& is_user, bool user) {
  std::vector<ColumnRun> out;
  for (int64_t i = 0; i < int64_t(is_user.size()); ++i) {
    if (is_user[size_t(i)] != user) continue;
    if (!out.empty() && out.back().begin + out.back().count == i) {
      ++out.back().count;
    } else {
      out.push_back({i, 1});
    }
  }
  return out;
}

/// A place for `width` numbers beside those that live: the first gap that is wide enough.
struct Placed {
  int64_t at, width;
  size_t last;
};
int64_t first_gap(std::vector<Placed>& living, size_t now, int64_t width, size_t last) {
  std::erase_if(living, [&](const Placed& other) { return other.last < now; });
  std::sort(living.begin(), living.end(), [](const Placed& a, const Placed& b) { return a.at < b.at; });
  int64_t at = 0;
  for (const Placed& other : living) {
    if (at + width <= other.at) break;
    at = std::max(at, other.at + other.width);
  }
  living.push_back({at, width, last});
  return at;
}

}  // namespace

ScoringPlan::ScoringPlan(std::shared_ptr<const ForwardGraph> graph, const UserColumns& user)
    : graph_(std::move(graph)), user_lists_(graph_->lists.size()) {
  for (size_t l = 0; l < graph_->lists.size(); ++l) {
    const int64_t sequence = graph_->lists[l].sequence;
    user_lists_[l] = sequence >= 0 && user.sequences[size_t(sequence)];
  }
  if (std::find(user_lists_.begin(), user_lists_.end(), true) != user_lists_.end())
    graph_ = std::make_shared<const ForwardGraph>(multiply_before_picks(*graph_, user_lists_));
  const auto stages = graph_->stages();
  for (const Graph::Node& node : graph_->nodes) {
    place_.push_back(int(steps_.size()));
    Step& step = steps_.emplace_back();
    step.node = &node;
    step.stage = stages[steps_.size() - 1];
    step.of_entries = graph_->is_of_entries(node);
    step.width = padded(node.n);
    divide(step, user);
    step.any_user = std::any_of(step.is_user.begin(), step.is_user.end(), [](bool b) { return b; });
    step.user_columns = columns_where(step.is_user, true);
    if (node.op == Op::linear) divide_linear(step);
  }
  want_whole();
  order_by_stage();
  place();
}

/// Which numbers are the user's, and which part of the work gives them.
void ScoringPlan::divide(Step& step, const UserColumns& user) {
  const Graph::Node& node = *step.node;
  const auto is_users = [&](int i) { return steps_[size_t(i)].all_user; };
  const bool inputs = std::all_of(node.inputs.begin(), node.inputs.end(), is_users);
  const auto all_or_none = [&](bool users) {
    step.is_user.assign(size_t(node.n), users);
    step.all_user = users;
  };
  const auto by_number = [&] {
    step.all_user = std::all_of(step.is_user.begin(), step.is_user.end(), [](bool b) { return b; });
  };
  step.is_user.assign(size_t(node.n), false);
  if (node.op == Op::choose) {
    all_or_none(user_lists_[size_t(graph_->lists[size_t(node.list)].of)] && inputs);
    user_lists_[size_t(node.list)] = step.all_user;
  } else if (node.list >= 0) {
    all_or_none(user_lists_[size_t(node.list)] && inputs);
  } else if (node.op == Op::count) {
    all_or_none(user_lists_[size_t(node.source)]);
  } else if (node.op == Op::pool) {
    all_or_none(user_lists_[size_t(steps_[size_t(node.inputs[0])].node->list)] && inputs);
  } else if (node.op == Op::vector) {
    all_or_none(user.vectors[size_t(node.source)]);
  } else if (node.op == Op::dense) {
    step.is_user = user.dense;
    const std::vector<Graph::Run> all = {{0, 0, 0, node.n}};
    step.user_runs = runs_where(all, step.is_user, true);
    step.row_runs = runs_where(all, step.is_user, false);
    by_number();
  } else if (node.op == Op::lookup) {
    for (const auto& t : node.tables) {
      const bool users = user.ids[size_t(t.column)];
      (users ? step.user_tables : step.row_tables).push_back(t);
      if (users) std::fill_n(step.is_user.begin() + t.to, t.width, true);
    }
    by_number();
  } else if (node.op == Op::copy) {
    for (const auto& run : node.runs) {
      for (int64_t i = 0; i < run.count; ++i) {
        step.is_user[size_t(run.to + i)] =
            run.input < 0 || steps_[size_t(node.inputs[size_t(run.input)])].is_user[size_t(run.from + i)];
      }
    }
    step.user_runs = runs_where(node.runs, step.is_user, true);
    step.row_runs = runs_where(node.runs, step.is_user, false);
    by_number();
  } else if (node.op == Op::products || node.op == Op::ffm || (node.op == Op::linear && node.outer > 1)) {
    divide_parts(step);
    by_number();
  } else {
    all_or_none(inputs);
  }
}

/// Parts that read the user's numbers alone: of a linear step of several, sets of fields, pairs of fields.
void ScoringPlan::divide_parts(Step& step) const {
  const Graph::Node& node = *step.node;
  const auto& x = steps_[size_t(node.inputs[0])].is_user;
  const auto is_users = [&](int64_t begin, int64_t count) {
    return std::all_of(x.begin() + begin, x.begin() + begin + count, [](bool b) { return b; });
  };
  const auto add = [&](int32_t part, bool users) { (users ? step.user_parts : step.row_parts).push_back(part); };
  if (node.op == Op::ffm) {
    const int64_t F = node.outer, row = F * node.inner;
    for (int64_t i = 0; i < F; ++i) {
      for (int64_t j = i + 1; j < F; ++j) {
        const bool first = is_users(i * row, row), second = is_users(j * row, row);
        auto& parts = first && second ? step.user_parts : first || second ? step.both_parts : step.row_parts;
        const int64_t own = (i * F + j) * node.inner, other = (j * F + i) * node.inner;
        parts.push_back(int32_t(first ? own : other));  // the user's before the row's
        parts.push_back(int32_t(first ? other : own));
      }
    }
    step.is_user[0] = step.row_parts.empty() && step.both_parts.empty();
    return;
  }
  const bool linear = node.op == Op::linear;
  const int64_t parts = linear ? node.outer : int64_t(node.sets.size()) / node.reduced;
  const int64_t in = linear ? int64_t(x.size()) / parts : node.inner, n = node.n / parts;
  for (int64_t p = 0; p < parts; ++p) {
    bool users = true;
    for (int64_t m = 0; m < (linear ? 1 : node.reduced); ++m)
      users = users && is_users((linear ? p : node.sets[size_t(p * node.reduced + m)]) * in, in);
    add(int32_t(p), users);
    if (users) std::fill_n(step.is_user.begin() + p * n, n, true);
  }
}

void ScoringPlan::divide_linear(Step& step) const {
  const Graph::Node& node = *step.node;
  const Step& x = steps_[size_t(node.inputs[0])];
  const int64_t in = x.node->n / node.outer;
  step.bias = node.bias;
  step.bias.resize(size_t(padded(int64_t(node.bias.size()))));
  const auto pack = [&](std::vector<ColumnRun> columns) {
    return PackedMatrix(node.weight.data(), int64_t(node.bias.size()), in, std::move(columns));
  };
  if (node.outer > 1 || node.list >= 0) {
    (step.all_user ? step.user_weight : step.row_weight) = pack({{0, in}});
    if (!step.user_parts.empty() && !step.all_user) step.user_weight = step.row_weight;
    return;
  }
  if (x.any_user) step.user_weight = pack(columns_where(x.is_user, true));
  if (!x.all_user) step.row_weight = pack(columns_where(x.is_user, false));
}

/// Linear steps, copies and ffm read the user's numbers apart; all others want them in every row.
void ScoringPlan::want_whole() {
  steps_[size_t(graph_->output)].whole = true;
  for (const Step& step : steps_) {
    const Op op = step.node->op;
    const bool apart = (op == Op::linear && step.node->outer == 1) || op == Op::copy || op == Op::ffm;
    if (apart && !step.of_entries) continue;
    for (const int input : step.node->inputs) steps_[size_t(input)].whole = true;
  }
}

void ScoringPlan::order_by_stage() {
  std::vector<int> order(steps_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return steps_[size_t(a)].stage < steps_[size_t(b)].stage; });
  std::vector<Step> sorted;
  for (size_t i = 0; i < order.size(); ++i) {
    place_[size_t(order[i])] = int(i);
    sorted.push_back(std::move(steps_[size_t(order[i])]));
  }
  steps_ = std::move(sorted);
  for (size_t i = 0; i < steps_.size(); ++i) {
    while (int64_t(stage_ends_.size()) <= steps_[i].stage) stage_ends_.push_back(i);
    stage_ends_.back() = i + 1;
  }
}

/// Steps whose results are no longer needed leave their memory to later ones. In a stage of entries all steps run for
/// some rows, then for others: what rows have there lives from its beginning to its end.
void ScoringPlan::place() {
  const auto begin_of = [&](size_t i) {
    const int64_t stage = steps_[i].stage;
    return stage % 2 == 0 ? i : stage_ends_[size_t(stage) - 1];
  };
  const auto end_of = [&](size_t i) { return steps_[i].stage % 2 == 0 ? i : stage_ends_[size_t(steps_[i].stage)] - 1; };
  std::vector<size_t> last(steps_.size());
  for (size_t i = 0; i < steps_.size(); ++i) {
    last[i] = std::max(last[i], i);
    for (const int input : steps_[i].node->inputs) {
      size_t& until = last[size_t(place_[size_t(input)])];
      until = std::max(until, step_of(input).node->list >= 0 ? i : end_of(i));
    }
  }
  last[size_t(place_[size_t(graph_->output)])] = steps_.size();
  std::vector<Placed> of_rows, of_entries;
  std::vector<size_t> by_birth(steps_.size());
  std::iota(by_birth.begin(), by_birth.end(), size_t(0));
  const auto birth = [&](size_t i) { return steps_[i].node->list >= 0 ? i : begin_of(i); };
  std::stable_sort(by_birth.begin(), by_birth.end(), [&](size_t a, size_t b) { return birth(a) < birth(b); });
  for (const size_t i : by_birth) {
    Step& step = steps_[i];
    const bool entries = step.node->list >= 0;
    if (step.node->op == Op::spread || step.node->op == Op::choose) continue;  // no numbers of their own
    if (step.any_user) {
      int64_t& size = entries ? user_entry_size_ : user_size_;
      step.user_at = size, size += step.width;
    }
    if (step.runs_twice()) step.bias_at = user_size_, user_size_ += step.width;
    if (step.node->op == Op::linear && step.node->outer > 1)
      scratch_ = std::max(scratch_, step.node->outer * padded(int64_t(step.node->bias.size())));
    if (step.node->op == Op::products) scratch_ = std::max(scratch_, step.node->inner);
    if (step.node->op == Op::attention)
      scratch_ = std::max(scratch_, (1 + step.node->inner) * padded(step.node->reduced));
    if (step.all_user) continue;
    step.row_at = first_gap(entries ? of_entries : of_rows, birth(i), step.width, last[i]);
    int64_t& size = entries ? entry_size_ : row_size_;
    size = std::max(size, step.row_at + step.width);
  }
}

}  // namespace interplay
