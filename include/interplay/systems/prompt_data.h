#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <interplay/base/api.h>
#include <interplay/systems/rella.h>

namespace interplay {

/// Which rows become prompts, and for which language model.
struct PromptDataOptions {
  std::string model = "smollm2-135m";              ///< whose tokens: a fetched name or a path
  int64_t length = 10;                             ///< events that a prompt tells (K)
  int64_t train = 1024, valid = 500, test = 5000;  ///< rows of each split; 0: none. Fewer are the first drawn of more
  int64_t seed = 42;                               ///< of the draw
  int64_t max_tokens = 0;       ///< of a prompt; whole events are left out of longer ones. 0: any number
  bool vectors = false;         ///< with places for vectors and the sequences that model rellax reads
  int64_t history_length = 30;  ///< of these sequences
};

struct PromptDataReport {
  int64_t train = 0, valid = 0, test = 0;
  double mean_tokens = 0;  ///< of a prompt
  int64_t longest = 0;     ///< in tokens
  std::string example;     ///< the first prompt with retrieved events, framed
};

/// Data to train model `rella` on, and CTR models on the same rows: rows of prepared data, drawn uniformly, with two
/// fields of kind `rella` more, `prompt_recent` and `prompt_retrieved`: the tokens of the prompt with the row's last
/// events and with those that the file `retrieved` (RetrievedHistories) has for it. `prepared` are the data of the
/// data.yaml that `rella` reads; rows are held against each other, Error(data) where they differ. A run trained on them
/// scores raw rows as long as that file and the language model are there. Whole or absent.
///
/// With `vectors` the prompts have places for vectors of their items, as the texts of `rella` say ({vector}), and for
/// each prompt P there are sequences more: P_items, the last or nearest history_length events, in time, which the
/// places number, and one for each column that is paired with the history, P_NAME: what model `rellax` reads.
INTERPLAY_API PromptDataReport write_prompt_data(const Rella& rella, const std::filesystem::path& retrieved,
                                                 const std::filesystem::path& prepared,
                                                 const std::filesystem::path& out, const PromptDataOptions& options);

}  // namespace interplay
