#pragma once

#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/core/field_embedding.h>
#include <interplay/core/frozen_run.h>
#include <interplay/core/represents.h>

namespace interplay {

/// What every model is told that is built on a CTR run.
struct CtrOptions {
  RunOption ctr;
  std::string item;
  bool mix_history = true;
  void visit(auto&& field) {
    field("ctr", ctr, "a finished run of a CTR model that has a hidden state, on the same data; nothing of it changes");
    field("item", item, "field of the row's own item; by default what the CTR model's histories are of");
    field("mix_history", mix_history,
          "the CTR model's histories are the events that the prompt is made of; false: the row's own");
  }
};

/// What a finished CTR run knows of rows that come with prompts: its hidden state and its items' vectors. Nothing of it
/// learns. Thread safety: as that of Model::forward() in eval mode.
class CtrKnowledge {
 public:
  /// The checksum of the run's weights becomes a buffer of `owner`. Throws Error where the run's model has no hidden
  /// state.
  CtrKnowledge(Model& owner, const CtrOptions& options, const Schema& schema);
  /// Throws Error(data) where `owner` was trained with other weights of the run.
  void check() const;

  /// From now on the run's histories are, where rows are asked about with this prompt, the events that it is made of:
  /// the sequence PROMPT_items and those paired with it, table by table. Throws Error where there is none for a column.
  void read_events_of(const Schema& schema, const std::string& prompt);
  /// f32 [B, state_width()]: Represents::represent().
  at::Tensor state(const Features& x, const std::string& prompt) const;
  int64_t state_width() const { return body_->representation_width(); }

  /// From here on item_vectors() may be called. Throws Error where no part of the run's model embeds the item.
  void find_vectors(const Schema& schema);
  at::Tensor item_vectors(const at::Tensor& ids) const;  ///< i32 [n] -> f32 [n, vector_width()]
  int64_t vector_width() const { return embedding_->width(); }
  at::Tensor own_items(const Features& x) const;  ///< i32 [B]
  /// The events that a prompt is made of.
  static const Field& events_of(const Schema& schema, const std::string& prompt);

 private:
  /// A sequence of the run, and the one of the rows that takes its place.
  struct Replaced {
    int64_t column, by;
  };

  FrozenRun run_;
  Represents* body_;
  FieldEmbeddingImpl* embedding_ = nullptr;  // of the run's model
  std::string item_, place_;
  int64_t item_column_ = 0;
  at::Tensor checksum_;                                  // i64 [1], a buffer of the owner
  std::map<std::string, std::vector<Replaced>> events_;  // by prompt
};

}  // namespace interplay
