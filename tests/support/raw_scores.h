#pragma once

#include <filesystem>
#include <vector>

#include <interplay/data/open_raw.h>
#include <interplay/serve/scorer.h>

namespace interplay::testing {

/// What a scorer says of every row of a raw file.
inline std::vector<float> raw_scores(const Scorer& scorer, const std::filesystem::path& file) {
  ReadRequest request;
  request.files = {file};
  request.columns = scorer.columns();
  const auto reader = open_raw(scorer.schema(), request);
  std::vector<float> scores;
  for (RawBatch batch; reader->next(batch);) {
    const auto some = scorer.score(batch);
    scores.insert(scores.end(), some.begin(), some.end());
  }
  return scores;
}

}  // namespace interplay::testing
