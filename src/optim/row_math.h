#pragma once

#include <cstdint>

namespace interplay {

/// g [count, width] += l2 w + l1 sign(w), for rows of a table that lie at w + index[r] * stride (w + r * stride).
void add_penalty(const float* w, int64_t stride, const int32_t* index, float* g, int64_t count, int64_t width, float l2,
                 float l1);
/// g = the same, fetching the rows that follow on the way, their states too: `row_at` is where the first row begins.
void set_penalty(const float* w, const float* row_at, int64_t stride, float* g, int64_t count, int64_t width, float l2,
                 float l1);
/// Sum of squares of rows [count, width], as above.
double norm2(const float* w, int64_t stride, const int32_t* index, int64_t count, int64_t width);
/// Whether every number is finite: a single infinity or NaN makes a sum a NaN, whatever the others are.
bool all_finite(const float* numbers, int64_t count);
int64_t first_not_finite(const float* numbers, int64_t count);

}  // namespace interplay
