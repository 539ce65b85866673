#pragma once

#include <string>

#include <torch/nn/pimpl.h>

#include <interplay/base/options.h>
#include <interplay/data/features.h>
#include <interplay/data/schema.h>
#include <interplay/lm/encoder.h>
#include <interplay/nn/embedding.h>

namespace interplay::flip {

/// The texts of a batch, each filled up to the longest.
struct INTERPLAY_API TextRows {
  at::Tensor ids;      ///< i64 [B, L]; 0 behind a text's end
  at::Tensor columns;  ///< i64 [B, L], as Tokens::columns; -1 behind a text's end
  at::Tensor lengths;  ///< i64 [B], 1 or more

  static TextRows of(const Tokens& tokens);
};

/// What the two models say of their text, in one place.
struct INTERPLAY_API TextOptions {
  std::string lm = "minilm-l6", text;
  int64_t layers = 0, tokens_at_once = 16384;
  double dropout = 0.1;
  void visit(auto&& field) {
    field("lm", lm, "BERT that the text tower begins with: a fetched name or a path");
    field("layers", layers, "layers of it, the first ones; 0 = all", Range{0, 1000});
    field("text", text, "text field that it reads; by default the only one");
    field("dropout", dropout, "of the text tower, in the places that BERT has it", Range{0, 0.99});
    field("tokens_at_once", tokens_at_once, "of the texts that are read together where nothing is learnt",
          Range{1, 1e9});
  }
  /// The text field that is meant. Throws Error where there is none or it is not said which.
  const Field& field_of(const Schema& schema) const;
};

/// A BERT all of whose weights are trained, in a parameter group of its own (`text`). Its first weights are those of
/// the model that `lm` names, of which a run keeps nothing but what they have become.
class INTERPLAY_API TextTowerImpl final : public lm::BertImpl, public nn::HasGroup {
 public:
  /// `field`: the tokens that it will read. Throws Error where they are another tokenizer's, or more than it has
  /// positions.
  TextTowerImpl(const TextOptions& options, const Field& field);

  /// States of the last layer, f32 [B, L, D]; where no gradients are kept, of so many tokens at once.
  at::Tensor states(const at::Tensor& ids, const at::Tensor& lengths);
  /// Those of each text's first token, [CLS], f32 [B, D].
  at::Tensor first_states(const TextRows& text);

  int64_t width() const { return options().width; }
  std::string parameter_group() const override { return "text"; }

 private:
  at::Tensor read(const at::Tensor& ids, const at::Tensor& lengths, bool only_first);
  int64_t tokens_at_once_;
};
TORCH_MODULE(TextTower);

/// Id of the token that stands for what is masked. Throws Error where the model's tokenizer has none.
INTERPLAY_API int64_t mask_token(const std::string& lm);

}  // namespace interplay::flip
