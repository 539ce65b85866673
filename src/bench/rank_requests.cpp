#include "bench/rank_requests.h"

#include <algorithm>
#include <numeric>

#include <ATen/Parallel.h>

#include <interplay/bench/peaks.h>

namespace interplay::bench {

void rank_requests(const Ranker& ranker, const std::vector<CriteoRequest>& requests, int64_t candidates, int64_t count,
                   int64_t repeats, Findings& out) {
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  std::vector<float> p(static_cast<size_t>(candidates));
  for (int64_t i = -1; i < repeats; ++i) {  // the first round warms up
    std::vector<double> ms;
    for (int64_t r = 0; r < count; ++r) {
      const CriteoRequest& request = requests[size_t(r) % requests.size()];
      ms.push_back(1e3 * seconds_of([&] { ranker.score(request.user, request.candidates, p); }));
    }
    if (i < 0) continue;
    std::sort(ms.begin(), ms.end());
    const auto quantile = [&](double share) { return ms[size_t(share * double(ms.size() - 1))]; };
    out.figure("request, p50", "ms", quantile(0.5));
    out.figure("request, p99", "ms", quantile(0.99));
    out.figure("candidates", "rows/s",
               1e3 * double(candidates) * double(ms.size()) / std::accumulate(ms.begin(), ms.end(), 0.0));
  }
  at::set_num_threads(threads);
}

}  // namespace interplay::bench
