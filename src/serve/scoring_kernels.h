#pragma once

#include <cstdint>
#include <span>

#include "serve/forward_graph.h"

/// What the steps of a ScoringPlan do to some rows: f32, row r of x at x + r * stride.
namespace interplay::scoring {

struct Source {
  const float* data;
  int64_t stride;
};
struct Target {
  float* data;
  int64_t stride, rows;
};

/// Rows of one table: id r is ids[r * ids_stride].
void look_up(const ForwardGraph::Table& table, const int32_t* ids, int64_t ids_stride, Target out);
/// Rows of several, whose ids lie side by side.
void look_up(const std::vector<ForwardGraph::Table>& tables, const int32_t* ids, int64_t ids_stride, Target out);
/// `count` numbers; zeros where there is no data.
void copy_run(Source from, int64_t count, Target out);
/// Steps that are alike for rows and for entries: unary, dice, scale, normalise, sum, dot, binary. `inputs` as the node
/// has them. False, and nothing is done, for another.
bool apply(const ForwardGraph::Node& node, std::span<const Source> inputs, Target out);

/// Of the sets at these places. `scratch` f32 [K]
void products(const ForwardGraph::Node& node, std::span<const int32_t> which, Source x, float* scratch, Target out);
/// out[r, 0] += the sum over pairs of vectors of K numbers, the first of x's row, the second of y's; `places` says by
/// turns where they begin.
void add_pairs(int64_t K, std::span<const int32_t> places, Source x, Source y, Target out);
/// `scratch` f32 [(1 + inner) F, F padded to 8]
void attention(const ForwardGraph::Node& node, Source q, Source k, Source v, float* scratch, Target out);

/// Sums over the entries of one row: of x, or, where there is an `a` of `factors` numbers, each times n / factors of x.
void pool(Source x, Source a, int64_t factors, int64_t entries, int64_t n, float* out);
/// Over the entries of one row, number by number.
void softmax(Source x, int64_t n, Target out);

}  // namespace interplay::scoring
