#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include <nlohmann/json.hpp>

#include "systems/qa4prf/networks.h"

namespace interplay::qa4prf {

constexpr const char* kCheckpoint = "checkpoint";  ///< directory in a run, of the fold that is learnt

/// A query with judgements.
struct Learnable {
  const Readable* readable;
  const Lesson* lesson;
  std::vector<uint32_t> relevant;  ///< places of relevant documents
};

/// What a fold learns from, and by what it stops and chooses beta.
struct FoldData {
  int64_t fold = 0;
  std::vector<Learnable> train, held_out;
};

/// What a fold tells of its training: fold.json.
struct FoldReport {
  struct Pass {
    double loss = 0, map = 0;  ///< mean of a pair; MAP of the held-out queries by what the reader points at
  };
  std::vector<Pass> passes;         ///< of the reader
  int64_t best = -1;                ///< whose weights were kept
  std::vector<double> ranker_loss;  ///< mean a query, by pass
  std::vector<double> map;          ///< of the held-out queries, by beta, in the options' order
  double beta = 0;                  ///< of the highest
};

/// What all folds share.
struct Training {
  const TextIndex& index;
  const WordVectors& vectors;
  const Words& words;
  const Qa4PrfOptions& options;
  std::filesystem::path run;                ///< where the checkpoint lies
  std::function<bool()> stopped;            ///< asked after each step
  std::function<void(int64_t pairs)> read;  ///< told how many pairs of query and document were learnt
};

/// Learns a fold, from the run's checkpoint where that is of this fold; each of the reader's passes leaves one. Draws
/// from torch's default generator. Throws Error(interrupted) where it was stopped, Error(numeric) where a loss is not
/// finite.
INTERPLAY_API FoldReport learn_fold(Networks& networks, const FoldData& data, const Training& training);

/// A directory with the networks and what they tell of their training, whole or absent.
void save_fold(const std::filesystem::path& directory, Networks& networks, const FoldReport& report);
FoldReport load_fold(const std::filesystem::path& directory, Networks& networks);

nlohmann::ordered_json json_of(const FoldReport& report);
FoldReport report_of(const nlohmann::ordered_json& json);

}  // namespace interplay::qa4prf
