#pragma once

#include <string>
#include <vector>

namespace interplay::tool {

/// Scores from elsewhere, `--against FILE`: one finite number a line, below the name of the column where the first line
/// is one, as `predict` writes them. Throws Error(data) naming the line.
std::vector<float> read_scores(const std::string& file);

/// Throws Error where the file that `--scores` names holds something else than scores, which may be replaced.
void check_scores_file(const std::string& file);

}  // namespace interplay::tool
