#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include <ATen/core/Tensor.h>

#include <interplay/lm/conditions.h>
#include <interplay/lm/decoder.h>
#include <interplay/lm/roles.h>

namespace interplay::lm {

/// A decoder as a scorer. What all prompts begin with is read once; the rest by length, in batches without padding.
///
///     lm::DecoderScorer scorer(decoder);
///     const auto p = scorer.probabilities(prompts, std::vector<int64_t>{10539, 5230}).select(1, 0);   // P(yes), [N]
class INTERPLAY_API DecoderScorer final : public LmScorer {
 public:
  explicit DecoderScorer(Decoder decoder) : decoder_(std::move(decoder)) {}
  at::Tensor answers(std::span<const TokenIds> prompts, std::span<const int64_t> answers,
                     const ScoreOptions& options = {}) override;
  /// The same of prompts that are read under conditions. What all begin with is still read once where no adapter is
  /// given anything by prompt: cores change the keys and values of every token.
  at::Tensor answers(std::span<const TokenIds> prompts, std::span<const int64_t> answers, const Conditions& conditions,
                     const ScoreOptions& options = {});
  at::Tensor log_likelihood(std::span<const TokenIds> prompts, std::span<const TokenIds> continuations,
                            const ScoreOptions& options = {}) override;

 private:
  Decoder decoder_;
};

}  // namespace interplay::lm
