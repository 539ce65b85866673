#pragma once

#include <cstdint>
#include <span>

#include <interplay/base/api.h>
#include <interplay/lm/roles.h>

namespace interplay::lm {

/// The place of a number among logits, chosen as `options` say: the first of the largest where the temperature is 0,
/// else by `unit`, uniform in [0, 1). As transformers draws: logits / temperature; without those below the top_k-th
/// largest; without those that the likeliest of the rest, which together have a probability of top_p, do not need.
INTERPLAY_API int64_t choose_token(std::span<const float> logits, const GenerateOptions& options, double unit);

}  // namespace interplay::lm
