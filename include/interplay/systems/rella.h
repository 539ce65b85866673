#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/config.h>
#include <interplay/base/options.h>
#include <interplay/lm/chat.h>

namespace interplay {

/// ReLLa (Lin et al. 2024, "ReLLa: Retrieval-enhanced Large Language Models for Lifelong Sequential Behavior
/// Comprehension in Recommendation", arXiv:2308.11131): a language model is asked whether a user will like an item; the
/// prompt lists K events of the user's past, the last ones or, retrieved, those whose items are nearest to the one in
/// question.
///
/// The data are those of a data.yaml (`data:` of the experiment), so that a sample is a row that `interplay prepare`
/// writes and scores can be laid beside those of CTR models.
struct RellaOptions {
  std::string data, root, history, topic;
  int64_t bad_rows = 0;
  std::string item_text;
  std::vector<int64_t> lengths = {5, 10, 15, 20, 25, 30};
  struct Retrieval {
    std::string encoder = "minilm-l6", order = "time";
    int64_t dimension = 512;
    void visit(auto&& field) {
      field("encoder", encoder, "model that makes vectors of the items' texts: a fetched name or a path");
      field("dimension", dimension, "numbers of a vector kept by PCA; no more than it has", Range{1, 1e6});
      field("order", order, "of the events found: time, or similarity, the nearest first",
            OneOf{{"time", "similarity"}});
    }
  } retrieval;
  struct Prompt {
    std::string system, user, event;
    Config words, shorten;
    void visit(auto&& field) {
      field("system", system, "what the model is told beforehand");
      field("user", user,
            "the question; {history} stands for the events, {name} for a column of the row, {vector} for the place of "
            "its item's vector (rellax)");
      field("event", event,
            "a line of the history; {index} counts from 1, {name} is a column of the past row, {vector} the place of "
            "its item's vector (rellax)");
      field("words", words, "by column, what its values are called in prompts");
      field("shorten", shorten,
            "by column, a regular expression: what of its values is left out of the history's lines");
    }
  } prompt;
  void visit(auto&& field) {
    field("data", data, "data.yaml, relative to this file");
    field("root", root, "folder of the raw files, in place of data.yaml's `root`; relative to this file");
    field("bad_rows", bad_rows, "bad rows that are left out at most, as by `prepare --bad-rows skip:N`",
          Range{0, 1e12});
    field("history", history, "field of kind history: whose events count; its item is what is asked about");
    field("item_text", item_text, "what the encoder reads of an item; {name} is a column of its rows");
    field("topic", topic, "column of which `retrieve` counts distinct values in a history");
    field("lengths", lengths, "numbers of events K that `retrieve` compares", Range{1, 1e6});
    field("retrieval", retrieval, "how events are found");
    field("prompt", prompt, "what the language model is asked");
  }
};

class Rella;

/// Events of the past that were found for samples: the nearest K of each, which hold those of every smaller K.
/// A safetensors file: for each split i32 [N, K], events by falling similarity, -1 past the end of a shorter history;
/// and the items' vectors with their names, so that histories of other rows can be searched alike.
class INTERPLAY_API RetrievedHistories {
 public:
  static constexpr const char* kFile = "retrieved.safetensors";

  int64_t length() const { return length_; }  ///< K
  bool has(std::string_view split) const;
  /// The nearest `k` events of a sample, by number within its split, nearest first. Throws Error where k > length().
  std::span<const int32_t> nearest(std::string_view split, int64_t sample, int64_t k) const;

  void add(const std::string& split, at::Tensor events);  ///< i32 [N, K]
  void add_items(std::vector<std::pair<std::string, at::Tensor>> tensors);
  /// What they were made from and with, so that others are refused: an entry each in the file's header.
  void describe(const std::string& key, const std::string& value);
  void save(const std::filesystem::path& file) const;
  /// Throws Error(data) where the file is damaged, or was made from other data or texts.
  static RetrievedHistories load(const std::filesystem::path& file, const Rella& rella);

 private:
  std::vector<std::pair<std::string, at::Tensor>> splits_, items_;
  std::vector<std::pair<std::string, std::string>> description_;
  int64_t length_ = 0;
};

/// The samples of an experiment, their histories, and what is said of them. Immutable, for any thread.
///
///     const Rella rella(Config::load("configs/ml-1m/prompts.yaml"));
///     const auto vectors = encoder.encode(rella.item_texts());
///     const auto found = rella.retrieve(vectors, {"test"}, 30);
///     const uint32_t sample = rella.samples("test")[0];
///     rella.prompt(sample, rella.ordered(sample, found.nearest("test", 0, 10)));   // messages for a ChatFrame
class INTERPLAY_API Rella {
 public:
  /// Reads the data. Throws Error(config) for what the experiment says wrongly, Error(data) as `interplay prepare`
  /// does. `threads` 0: one a core.
  explicit Rella(const Config& experiment, int threads = 0);

  const RellaOptions& options() const;
  /// Of a split: train, valid, test; the i-th is the i-th row of the prepared split.
  std::span<const uint32_t> samples(std::string_view split) const;
  int64_t events() const;
  float label(uint32_t event) const;
  std::span<const uint32_t> history(uint32_t event) const;            ///< whole, oldest first
  std::span<const uint32_t> recent(uint32_t event, int64_t k) const;  ///< its last k

  int64_t items() const;
  int64_t item(uint32_t event) const;      ///< 0 .. items() - 1; -1 where the row has none
  const std::string& item_column() const;  ///< raw column of the items' names
  std::string_view item_name(uint32_t event) const;
  std::vector<std::string> item_texts() const;  ///< [items]
  uint64_t checksum() const;                    ///< of data and texts: equal where events have the same numbers

  /// Semantic user behaviour retrieval (SUBR): vectors f32 [items, D] are reduced by PCA and compared by cosine; exact.
  /// Of equally near events the later is the nearer. Keeps the nearest `k` events of each sample of these splits.
  RetrievedHistories retrieve(const at::Tensor& vectors, const std::vector<std::string>& splits, int64_t k) const;
  /// Retrieved events of a sample as a prompt lists them: in time, or nearest first (options().retrieval.order).
  std::vector<uint32_t> ordered(uint32_t sample, std::span<const int32_t> nearest) const;
  int64_t topics(std::span<const uint32_t> events) const;  ///< distinct values of options().topic

  /// Messages of system and user that ask about a sample. `vectors`: numbers that stand for the vectors of these events
  /// where the prompt says {vector}, -1 for none; nullptr: there are none, and {vector} is left out.
  std::vector<lm::ChatMessage> prompt(uint32_t sample, std::span<const uint32_t> history,
                                      const std::vector<int64_t>* vectors = nullptr) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace interplay
