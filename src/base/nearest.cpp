#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <interplay/base/config.h>

namespace interplay {

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  // A slip counts two, a dash or an underscore too many or too few one: `deep_fm` is nearer to deepfm than to deepffm.
  const auto weight = [](char c) { return c == '_' || c == '-' ? size_t{1} : size_t{2}; };
  std::string best;
  size_t best_distance = 2 * (std::max<size_t>(2, word.size() / 3) + 1);
  for (const auto& candidate : candidates) {
    std::vector<size_t> row(candidate.size() + 1), before, before_that;
    for (size_t j = 1; j <= candidate.size(); ++j) row[j] = row[j - 1] + weight(candidate[j - 1]);
    for (size_t i = 1; i <= word.size(); ++i) {
      before_that = std::exchange(before, row);
      row[0] = before[0] + weight(word[i - 1]);
      for (size_t j = 1; j <= candidate.size(); ++j) {
        const size_t change = before[j - 1] + (word[i - 1] == candidate[j - 1] ? 0 : 2);
        row[j] = std::min({before[j] + weight(word[i - 1]), row[j - 1] + weight(candidate[j - 1]), change});
        if (i > 1 && j > 1 && word[i - 1] == candidate[j - 2] && word[i - 2] == candidate[j - 1]) {
          row[j] = std::min(row[j], before_that[j - 2] + 2);  // two letters swapped are one slip
        }
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace interplay
