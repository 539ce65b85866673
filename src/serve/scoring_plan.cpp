#include "serve/scoring_plan.h"

#include <algorithm>
#include <cmath>

#include <c10/util/Half.h>

#include <interplay/base/simd.h>
#include <interplay/nn/bf16.h>

namespace interplay {
namespace {

using Graph = ForwardGraph;
using Op = Graph::Op;

constexpr int64_t kLookAhead = 4;  // rows whose table rows are on their way from memory

int64_t padded(int64_t n) { return PackedMatrix::padded(n); }

INTERPLAY_INLINE void copy_floats(const float* from, int64_t n, float* to) {
  int64_t k = 0;
  for (; k + simd::kLanes <= n; k += simd::kLanes) simd::store(to + k, simd::load(from + k));
  for (; k < n; ++k) to[k] = from[k];
}

struct Target {
  float* data;
  int64_t stride, rows;
};

/// Row `id` of a quantised table, as nn::dequantise() gives it.
INTERPLAY_INLINE void unpack(const PackedRows& of, int64_t id, int64_t n, float* to) {
  switch (of.type) {
    case PackedRows::Type::int8: {
      const auto* const q = static_cast<const int8_t*>(of.rows) + id * n;
      const float scale = simd::widen(of.scale[id / of.rows_a_scale]);
      for (int64_t k = 0; k < n; ++k) to[k] = float(q[k]) * scale;
      return;
    }
    case PackedRows::Type::bf16: {
      const auto* const q = static_cast<const uint16_t*>(of.rows) + id * n;
      for (int64_t k = 0; k < n; ++k) to[k] = simd::widen(q[k]);
      return;
    }
    case PackedRows::Type::fp16: {
      const auto* const q = static_cast<const at::Half*>(of.rows) + id * n;
      for (int64_t k = 0; k < n; ++k) to[k] = float(q[k]);
      return;
    }
  }
}

const char* row_of(const Graph::Table& t, int64_t id) {
  if (!t.packed) return reinterpret_cast<const char*>(t.rows + id * t.stride);
  return static_cast<const char*>(t.packed->rows) + id * t.width * (t.packed->type == PackedRows::Type::int8 ? 1 : 2);
}

INTERPLAY_CLONES void look_up(const std::vector<Graph::Table>& tables, const int32_t* ids, int64_t ids_stride,
                              Target out) {
  for (int64_t r = 0; r < out.rows; ++r) {
    const int32_t* const id = ids + r * ids_stride;
    const bool ahead = r + kLookAhead < out.rows;
    for (const auto& t : tables) {
      if (ahead) __builtin_prefetch(row_of(t, id[kLookAhead * ids_stride + t.column]), 0, 2);
      float* const to = out.data + r * out.stride + t.to;
      if (t.packed) {
        unpack(*t.packed, id[t.column], t.width, to);
      } else {
        copy_floats(t.rows + int64_t(id[t.column]) * t.stride, t.width, to);
      }
    }
  }
}

INTERPLAY_CLONES void copy_run(const float* from, int64_t stride, int64_t count, Target out) {
  for (int64_t r = 0; r < out.rows; ++r) {
    if (from) {
      copy_floats(from + r * stride, count, out.data + r * out.stride);
    } else {
      std::fill_n(out.data + r * out.stride, count, 0.f);
    }
  }
}

/// to[r][j] = f(from[r][j], j)
template <class F>
INTERPLAY_INLINE void each(const float* from, int64_t stride, int64_t n, Target out, F f) {
  for (int64_t r = 0; r < out.rows; ++r) {
    const float* const x = from + r * stride;
    float* const to = out.data + r * out.stride;
    for (int64_t j = 0; j < n; ++j) to[j] = f(x[j], j);
  }
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

/// As ATen: a NaN stays one, and what is not above 0 is 0 even where it is infinite.
INTERPLAY_CLONES void relu(const float* x, int64_t stride, int64_t n, Target out) {
  each(x, stride, n, out, [](float v, int64_t) INTERPLAY_INLINE_LAMBDA { return v <= 0 ? 0.f : v; });
}

INTERPLAY_CLONES void leaky_relu(const float* x, int64_t stride, int64_t n, float slope, const float* slopes,
                                 Target out) {
  each(x, stride, n, out,
       [&](float v, int64_t j) INTERPLAY_INLINE_LAMBDA { return v > 0 ? v : v * (slopes ? slopes[j] : slope); });
}

void unary(const Graph::Node& node, const float* x, int64_t stride, Target out) {
  const int64_t n = node.n;
  const float slope = float(node.parameter);
  switch (node.unary) {
    case Graph::Unary::relu: return relu(x, stride, n, out);
    case Graph::Unary::leaky_relu: return leaky_relu(x, stride, n, slope, nullptr, out);
    case Graph::Unary::prelu: return leaky_relu(x, stride, n, 0, node.weight.data(), out);
    case Graph::Unary::sigmoid: return each(x, stride, n, out, [](float v, int64_t) { return sigmoid(v); });
    case Graph::Unary::silu: return each(x, stride, n, out, [](float v, int64_t) { return v * sigmoid(v); });
    case Graph::Unary::tanh: return each(x, stride, n, out, [](float v, int64_t) { return std::tanh(v); });
    case Graph::Unary::exp: return each(x, stride, n, out, [](float v, int64_t) { return std::exp(v); });
    case Graph::Unary::abs: return each(x, stride, n, out, [](float v, int64_t) { return std::fabs(v); });
    case Graph::Unary::gelu:
      return each(x, stride, n, out,
                  [](float v, int64_t) { return 0.5f * v * (1 + std::erf(v * 0.70710678118654752f)); });
  }
}

struct Addend {
  const float* data;
  int64_t stride;
  const int32_t* index;  // or nullptr
};

template <class F>
INTERPLAY_INLINE void combine_by(Addend l, Addend r, int64_t n, Target out, F f) {
  for (int64_t row = 0; row < out.rows; ++row) {
    const float *const x = l.data + row * l.stride, *const y = r.data + row * r.stride;
    float* const to = out.data + row * out.stride;
    if (!l.index && !r.index) {
      for (int64_t j = 0; j < n; ++j) to[j] = f(x[j], y[j]);
    } else {
      for (int64_t j = 0; j < n; ++j) to[j] = f(x[l.index ? l.index[j] : j], y[r.index ? r.index[j] : j]);
    }
  }
}
INTERPLAY_CLONES void combine(Graph::Binary how, Addend l, Addend r, int64_t n, Target out) {
  switch (how) {
    case Graph::Binary::add:
      combine_by(l, r, n, out, [](float x, float y) INTERPLAY_INLINE_LAMBDA { return x + y; });
      break;
    case Graph::Binary::subtract:
      combine_by(l, r, n, out, [](float x, float y) INTERPLAY_INLINE_LAMBDA { return x - y; });
      break;
    case Graph::Binary::multiply:
      combine_by(l, r, n, out, [](float x, float y) INTERPLAY_INLINE_LAMBDA { return x * y; });
      break;
    case Graph::Binary::divide:
      combine_by(l, r, n, out, [](float x, float y) INTERPLAY_INLINE_LAMBDA { return x / y; });
      break;
  }
}

INTERPLAY_CLONES void scale(const float* x, int64_t stride, const Graph::Node& node, Target out) {
  const float *const a = node.weight.data(), *const b = node.bias.data();
  each(x, stride, node.n, out, [&](float v, int64_t j) INTERPLAY_INLINE_LAMBDA { return v * a[j] + b[j]; });
}

void normalise(const float* x, int64_t stride, const Graph::Node& node, Target out) {
  for (int64_t r = 0; r < out.rows; ++r, x += stride) {
    double sum = 0, squares = 0;
    for (int64_t j = 0; j < node.n; ++j) sum += x[j];
    const double mean = sum / double(node.n);
    for (int64_t j = 0; j < node.n; ++j) squares += (x[j] - mean) * (x[j] - mean);
    const double inverse = 1 / std::sqrt(squares / double(node.n) + node.parameter);
    float* const to = out.data + r * out.stride;
    for (int64_t j = 0; j < node.n; ++j)
      to[j] = float((x[j] - mean) * inverse) * node.weight[size_t(j)] + node.bias[size_t(j)];
  }
}

INTERPLAY_CLONES void sum(const float* x, int64_t stride, const Graph::Node& node, Target out) {
  const auto factor = float(node.factor);
  for (int64_t r = 0; r < out.rows; ++r, x += stride) {
    const float* from = x;
    float* to = out.data + r * out.stride;
    for (int64_t o = 0; o < node.outer; ++o, to += node.inner) {
      std::fill_n(to, node.inner, 0.f);
      for (int64_t i = 0; i < node.reduced; ++i, from += node.inner)
        for (int64_t k = 0; k < node.inner; ++k) to[k] += from[k];
      if (factor != 1)
        for (int64_t k = 0; k < node.inner; ++k) to[k] *= factor;
    }
  }
}

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

}  // namespace

ScoringPlan::ScoringPlan(std::shared_ptr<const ForwardGraph> graph, const std::vector<bool>& user_ids,
                         const std::vector<bool>& user_dense)
    : graph_(std::move(graph)) {
  for (const Graph::Node& node : graph_->nodes) {
    Step& step = steps_.emplace_back();
    step.node = &node;
    step.width = padded(node.n);
    divide(step, user_ids, user_dense);
    step.all_user = std::all_of(step.is_user.begin(), step.is_user.end(), [](bool b) { return b; });
    step.any_user = std::any_of(step.is_user.begin(), step.is_user.end(), [](bool b) { return b; });
    step.user_columns = columns_where(step.is_user, true);
    if (node.op == Op::linear) divide_linear(step);
  }
  want_whole();
  place();
}

/// Which numbers are the user's, and which part of the work gives them.
void ScoringPlan::divide(Step& step, const std::vector<bool>& user_ids, const std::vector<bool>& user_dense) const {
  const Graph::Node& node = *step.node;
  step.is_user.assign(size_t(node.n), false);
  if (node.op == Op::dense) {
    step.is_user = user_dense;
    const std::vector<Graph::Run> all = {{0, 0, 0, node.n}};
    step.user_runs = runs_where(all, step.is_user, true);
    step.row_runs = runs_where(all, step.is_user, false);
  } else if (node.op == Op::lookup) {
    for (const auto& t : node.tables) {
      const bool user = user_ids[size_t(t.column)];
      (user ? step.user_tables : step.row_tables).push_back(t);
      if (user) std::fill_n(step.is_user.begin() + t.to, t.width, true);
    }
  } else if (node.op == Op::copy) {
    for (const auto& run : node.runs) {
      for (int64_t i = 0; i < run.count; ++i) {
        const bool user = run.input < 0 || steps_[size_t(node.inputs[size_t(run.input)])].is_user[size_t(run.from + i)];
        step.is_user[size_t(run.to + i)] = user;
      }
    }
    step.user_runs = runs_where(node.runs, step.is_user, true);
    step.row_runs = runs_where(node.runs, step.is_user, false);
  } else {
    const bool user =
        std::all_of(node.inputs.begin(), node.inputs.end(), [&](int i) { return steps_[size_t(i)].all_user; });
    step.is_user.assign(size_t(node.n), user);
  }
}

void ScoringPlan::divide_linear(Step& step) {
  const Graph::Node& node = *step.node;
  const Step& x = steps_[size_t(node.inputs[0])];
  step.bias = node.bias;
  step.bias.resize(size_t(step.width));
  const auto pack = [&](bool user) {
    return PackedMatrix(node.weight.data(), node.n, x.node->n, columns_where(x.is_user, user));
  };
  if (x.any_user) step.user_weight = pack(true);
  if (!x.all_user) step.row_weight = pack(false);
}

/// Linear steps and copies read the user's numbers apart; all others want them in every row.
void ScoringPlan::want_whole() {
  steps_[size_t(graph_->output)].whole = true;
  for (const Step& step : steps_) {
    if (step.node->op == Op::linear || step.node->op == Op::copy) continue;
    for (const int input : step.node->inputs) steps_[size_t(input)].whole = true;
  }
}

/// Steps whose results are no longer needed leave their memory to later ones.
void ScoringPlan::place() {
  std::vector<size_t> last(steps_.size());
  for (size_t i = 0; i < steps_.size(); ++i)
    for (const int input : steps_[i].node->inputs) last[size_t(input)] = i;
  last[size_t(graph_->output)] = steps_.size();
  std::vector<size_t> living;
  for (size_t i = 0; i < steps_.size(); ++i) {
    Step& step = steps_[i];
    if (step.any_user) step.user_at = user_size_, user_size_ += step.width;
    if (step.node->op == Op::linear && step.user_weight && step.row_weight)
      step.bias_at = user_size_, user_size_ += step.width;
    if (step.all_user) continue;
    std::erase_if(living, [&](size_t other) { return last[other] < i; });
    std::sort(living.begin(), living.end(), [&](size_t a, size_t b) { return steps_[a].row_at < steps_[b].row_at; });
    int64_t at = 0;
    for (const size_t other : living) {
      if (at + step.width <= steps_[other].row_at) break;
      at = std::max(at, steps_[other].row_at + steps_[other].width);
    }
    step.row_at = at;
    row_size_ = std::max(row_size_, at + step.width);
    living.push_back(i);
  }
}

ScoringPlan::Workspace ScoringPlan::workspace() const {
  return {std::vector<float>(size_t(user_size_)), std::vector<float>(size_t(row_size_ * kChunk))};
}

ScoringPlan::Source ScoringPlan::source(int node, bool for_user, const Workspace& w) const {
  const Step& step = steps_[size_t(node)];
  if (for_user || step.all_user) return {w.user.data() + step.user_at, 0};
  return {w.rows.data() + step.row_at * kChunk, step.width};
}

void ScoringPlan::run_step(const Step& step, bool for_user, const Request& request, int64_t first, int64_t rows,
                           Workspace& w) const {
  const Graph::Node& node = *step.node;
  float* const user = w.user.data() + step.user_at;
  const Target out = for_user ? Target{user, 0, 1} : Target{w.rows.data() + step.row_at * kChunk, step.width, rows};
  const auto at = [&](int64_t number) { return Target{out.data + number, out.stride, out.rows}; };
  const auto input = [&](size_t i) { return source(node.inputs[i], for_user, w); };
  // In every row also what is the user's.
  const auto spread = [&] {
    if (for_user || !step.whole) return;
    for (const ColumnRun& run : step.user_columns) copy_run(user + run.begin, 0, run.count, at(run.begin));
  };
  switch (node.op) {
    case Op::dense: {
      const float* const from = for_user ? request.user_dense : request.dense + first * graph_->dense;
      for (const auto& run : for_user ? step.user_runs : step.row_runs)
        copy_run(from + run.from, graph_->dense, run.count, at(run.to));
      return spread();
    }
    case Op::lookup:
      look_up(for_user ? step.user_tables : step.row_tables,
              for_user ? request.user_ids : request.ids + first * graph_->ids, graph_->ids, out);
      return spread();
    case Op::copy:
      for (const auto& run : for_user ? step.user_runs : step.row_runs) {
        const Source from = run.input < 0 ? Source{nullptr, 0} : input(size_t(run.input));
        copy_run(from.data ? from.data + run.from : nullptr, from.stride, run.count, at(run.to));
      }
      return spread();
    case Op::linear: {
      const Source x = input(0);
      if (for_user) {
        const bool both = step.row_weight.has_value();
        step.user_weight->multiply(x.data, 0, 1, step.bias.data(), both ? w.user.data() + step.bias_at : user,
                                   step.width, node.relu && !both);
      } else {
        step.row_weight->multiply(x.data, x.stride, rows,
                                  step.user_weight ? w.user.data() + step.bias_at : step.bias.data(), out.data,
                                  out.stride, node.relu);
      }
      return;
    }
    case Op::unary: return unary(node, input(0).data, input(0).stride, out);
    case Op::scale: return scale(input(0).data, input(0).stride, node, out);
    case Op::normalise: return normalise(input(0).data, input(0).stride, node, out);
    case Op::sum: return sum(input(0).data, input(0).stride, node, out);
    case Op::binary: {
      const auto term = [&](const Graph::Operand& o) {
        if (o.node < 0) return Addend{o.constant.data(), 0, nullptr};
        const Source from = source(o.node, for_user, w);
        return Addend{from.data, from.stride, o.index.empty() ? nullptr : o.index.data()};
      };
      return combine(node.binary, term(node.left), term(node.right), node.n, out);
    }
  }
}

void ScoringPlan::run(const Request& request, Workspace& w, float* logits) const {
  for (const Step& step : steps_) {
    const bool part = step.any_user || (step.node->op == Op::linear && step.user_weight);
    if (part) run_step(step, true, request, 0, 1, w);
  }
  const Source output = source(graph_->output, false, w);
  const int64_t T = labels();
  for (int64_t first = 0; first < request.rows; first += kChunk) {
    const int64_t rows = std::min(kChunk, request.rows - first);
    for (const Step& step : steps_)
      if (!step.all_user) run_step(step, false, request, first, rows, w);
    copy_run(output.data, output.stride, T, {logits + first * T, T, rows});
  }
}

}  // namespace interplay
