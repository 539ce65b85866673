#pragma once

#include <vector>

#include <interplay/bench/criteo.h>
#include <interplay/serve/scorer.h>

namespace interplay::bench {

/// Raw strings in, probabilities out, `count` requests one after another, on one core: their p50, p99, and rows/s.
void rank_requests(const Ranker& ranker, const std::vector<CriteoRequest>& requests, int64_t candidates, int64_t count,
                   int64_t repeats, Findings& out);

}  // namespace interplay::bench
