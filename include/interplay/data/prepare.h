#pragma once

#include <filesystem>

#include <interplay/base/config.h>

namespace interplay {

struct PrepareOptions {
  int64_t memory_bytes = int64_t(2) << 30;  ///< bound on resident memory; counting spills to disk beyond it
  int64_t bad_rows = 0;                     ///< tolerated, see BadRows
  std::filesystem::path vocabulary_from;    ///< prepared data or a bundle whose ids stay valid: new tokens are appended
  bool new_tokens = true;                   ///< false: those that vocabulary_from does not hold stay unseen
  int threads = 0;                          ///< 0: one a core
};

struct PrepareReport {
  int64_t train_rows = 0, valid_rows = 0, test_rows = 0;
  int64_t rejected_rows = 0;                ///< listed in rejected.tsv
  int64_t left_out_rows = 0;                ///< by `filter`, or as their histories are below min_length
  int64_t fields = 0, tables = 0, ids = 0;  ///< ids: rows of all embedding tables together
  /// Of the ids of each split's rows, missing values and hashed fields left out, the share that no vocabulary holds:
  /// not in the training rows, or less often than min_count.
  double train_unseen = 0, valid_unseen = 0, test_unseen = 0;
  double seconds = 0;  ///< of which: histories and splits by time, reading and counting, vocabularies, writing, syncing
  double order_seconds = 0, count_seconds = 0, fit_seconds = 0, encode_seconds = 0, sync_seconds = 0;
};

/// Raw files to a directory of prepared data: reads data.yaml's tree, fits the Encoder on the training rows, writes
/// every split. `directory` appears whole, under its name, at the end. Its contents depend on the input alone, never on
/// the memory bound or the threads.
INTERPLAY_API PrepareReport prepare(const Config& data, const std::filesystem::path& directory,
                                    const PrepareOptions& options = {});

}  // namespace interplay
