#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <interplay/base/config.h>

/// AutoGraph (Shan et al. 2024, arXiv:2412.18241): what a language model knows of users and items, quantised, as the
/// nodes of a graph that links whatever shares them. The graph is a directory, which augmenter `autograph` reads.
namespace interplay {

/// What a graph has of users, or of items.
struct GraphSide {
  std::string field;           ///< of the data: whose values they are
  int64_t rows = 0;            ///< of the field's table
  int64_t coded = 0;           ///< values that have codes
  int64_t books = 0;           ///< M
  int64_t codes = 0;           ///< C, of each book
  std::vector<int64_t> used;   ///< [M]: codes that some value has
  std::vector<double> spread;  ///< [M]: exp of the entropy of the codes: as many, if all were as frequent
  double error = 0;            ///< mean |x - x'| of the vectors, as the quantiser recovers them
};

/// A graph directory as its graph.json describes it.
struct INTERPLAY_API GraphInfo {
  GraphSide users, items;
  int64_t clicks = 0;      ///< distinct pairs of user and item among the positive training rows
  int64_t neighbours = 0;  ///< users that an item's list has at most
  int64_t seed = 0;
  std::optional<int64_t> shuffled;  ///< codes were dealt out anew by this seed: the control

  /// Checks the directory against its manifest. Error(data) where it is no graph, damaged or not whole.
  static GraphInfo load(const std::filesystem::path& directory);
};

struct GraphRun {
  std::filesystem::path cache = {};     ///< directory of vectors of texts that are known already; empty: none
  std::optional<int64_t> shuffle = {};  ///< deals the codes out anew by this seed
  std::string users = {}, items = {};   ///< of assign: files of vectors by key in place of the experiment's
  std::string data = {},
              root = {};  ///< of assign: data.yaml and folder of the raw files, where texts are made of these
  int threads = 0;
};

/// Texts or vectors of users and items, their codes, and the clicks of the training rows alone, written to `out`, whole
/// or not at all. `experiment`: see `interplay help graph`; `data`: prepared. Throws Error(config) for what does not
/// fit the data, Error(data) for files that are not what they have to be.
INTERPLAY_API GraphInfo build_graph(const Config& experiment, const std::filesystem::path& data,
                                    const std::filesystem::path& out, const GraphRun& run = {});

/// The same of other prepared data (--vocabulary-from the first ones'), with the quantisers of a graph that is there:
/// new users and items get codes, and nothing is trained. Throws as build_graph(), and Error(config) where the graph's
/// codes were shuffled.
INTERPLAY_API GraphInfo assign_graph(const std::filesystem::path& graph, const std::filesystem::path& data,
                                     const std::filesystem::path& out, const GraphRun& run = {});

}  // namespace interplay
