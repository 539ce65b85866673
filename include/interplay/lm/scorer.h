#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/lm/decoder.h>

namespace interplay::lm {

using TokenIds = std::vector<int64_t>;

/// How a scorer goes through many prompts.
struct ScoreOptions {
  int64_t batch_tokens = 2048;  ///< most tokens that are read at once; a longer prompt is read by itself
  bool progress = false;        ///< shows tokens/s
};

/// A language model in the role of a scoring function, its head kept (Lin et al. 2023, arXiv:2306.05817, sec. 3.3). An
/// implementation is immutable while it scores.
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

/// A decoder as a scorer. What all prompts begin with is read once; the rest by length, in batches without padding.
///
///     lm::DecoderScorer scorer(decoder);
///     const auto p = scorer.probabilities(prompts, std::vector<int64_t>{10539, 5230}).select(1, 0);   // P(yes), [N]
class INTERPLAY_API DecoderScorer final : public LmScorer {
 public:
  explicit DecoderScorer(Decoder decoder) : decoder_(std::move(decoder)) {}
  at::Tensor answers(std::span<const TokenIds> prompts, std::span<const int64_t> answers,
                     const ScoreOptions& options = {}) override;
  at::Tensor log_likelihood(std::span<const TokenIds> prompts, std::span<const TokenIds> continuations,
                            const ScoreOptions& options = {}) override;

 private:
  Decoder decoder_;
};

}  // namespace interplay::lm
