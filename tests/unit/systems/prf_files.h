#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <interplay/base/progress.h>
#include <interplay/systems/text_index.h>

#include "support/temp_dir.h"

namespace interplay::testing {

/// Documents, their index, and whatever else a test writes beside them.
class IndexedTexts : public ::testing::Test {
 protected:
  IndexedTexts() { Progress::enable(false); }

  /// Documents 0, 1, ... in a file of tabs, and their index.
  TextIndex index_of(const std::vector<std::string>& texts, const IndexOptions& options = {}) const {
    std::string lines;
    for (size_t i = 0; i < texts.size(); ++i) lines += fmt::format("{}\t{}\n", i, texts[i]);
    dir_.write("docs.tsv", lines);
    build_text_index(dir_ / "docs.tsv", dir_ / "index", options);
    return TextIndex(dir_ / "index");
  }
  const TempDir dir_;
};

/// The three documents of the hand-made example, all of whose figures were computed from the definitions elsewhere.
inline const std::vector<std::string> kThreeTexts = {"wing lift lift drag", "wing heat flow heat heat",
                                                     "flow drag boundary layer flow"};

}  // namespace interplay::testing
