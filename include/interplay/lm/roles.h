#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::lm {

/// What a language model is to a recommender, one interface a role (the map of Lin et al. 2023, arXiv:2306.05817).
/// Systems take a role, never a model: whichever model fills it is the user's choice.

using TokenIds = std::vector<int64_t>;

/// Feature encoder: texts to vectors.
class INTERPLAY_API TextEncoder {
 public:
  virtual ~TextEncoder();

  /// f32 [N, width()] on the CPU: row i is the vector of texts[i], whatever the other texts are, up to rounding. No
  /// gradients. Throws Error(data) for a text that is not UTF-8, naming its number.
  virtual at::Tensor encode(std::span<const std::string> texts) = 0;
  virtual int64_t width() const = 0;
  virtual TokenIds ids_of(std::string_view text) const = 0;  ///< what encode() reads of a text
  /// Names all that decides the vectors: kind, pooling, length, precision, checksum of the weights. For logs and
  /// caches.
  virtual std::string identity() const = 0;
};

/// How a scorer goes through many prompts.
struct ScoreOptions {
  int64_t batch_tokens = 2048;  ///< most tokens that are read at once; a longer prompt is read by itself
  bool progress = false;        ///< shows tokens/s
};

/// Scoring function, the language model's head kept: token ids to logits of answers. No gradients.
class INTERPLAY_API LmScorer {
 public:
  virtual ~LmScorer();

  /// Logits of the tokens that may follow each prompt: prompts [N], answers [A] -> f32 [N, A]
  virtual at::Tensor answers(std::span<const TokenIds> prompts, std::span<const int64_t> answers,
                             const ScoreOptions& options = {}) = 0;
  /// log P(continuation | prompt), the sum over its tokens: prompts [N], continuations [N] -> f64 [N]
  virtual at::Tensor log_likelihood(std::span<const TokenIds> prompts, std::span<const TokenIds> continuations,
                                    const ScoreOptions& options = {}) = 0;

  /// What softmax over the answers alone gives: f32 [N, A]. The first column of "Yes", "No" is P(yes).
  at::Tensor probabilities(std::span<const TokenIds> prompts, std::span<const int64_t> answers,
                           const ScoreOptions& options = {});
  /// exp of minus the mean log P of a text's tokens but the first: texts [N], each of two tokens or more -> f64 [N]
  at::Tensor perplexity(std::span<const TokenIds> texts, const ScoreOptions& options = {});
};

}  // namespace interplay::lm
