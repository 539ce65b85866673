#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <interplay/lm/prompt_frame.h>
#include <interplay/lm/tuned_decoder.h>

namespace interplay::recfound {

/// A query with its passages, its own first.
struct QueryTexts {
  int64_t task = 0;
  lm::FramedText query;
  std::vector<lm::FramedText> passages;
};

/// A prompt and, behind it, its answer.
struct PromptTokens {
  int64_t task = 0;
  std::vector<int64_t> ids;
  int64_t answer = 0;  ///< tokens of the answer, which ids end in
};

/// How texts are gone through: of a loss that is learnt from, no more than `chunk` are held at once.
struct LossOptions {
  double temperature = 0.02;
  int64_t chunk = 64;
};

/// Mean InfoNCE of queries among all passages (nn::info_nce_of_passages), every query having as many. Where `scale` is
/// not 0, its gradient times that is added to the model's. More texts than a chunk are read twice, first for their
/// vectors alone, then with the gradients that these have (GradCache, Gao et al. 2021, arXiv:2101.06983), by the same
/// random numbers: gradients are those of one pass. Throws Error(numeric) where the loss is not finite.
INTERPLAY_API double vector_loss(lm::TunedDecoder& model, std::span<const QueryTexts> rows, const LossOptions& options,
                                 double scale);

/// Mean over all tokens of answers of -log P(token | what is before it), likewise; chunks add their parts.
INTERPLAY_API double answer_loss(lm::TunedDecoder& model, std::span<const PromptTokens> rows,
                                 const LossOptions& options, double scale);

/// Tokens that are read of rows.
int64_t tokens_of(const QueryTexts& row);
inline int64_t tokens_of(const PromptTokens& row) { return int64_t(row.ids.size()); }

}  // namespace interplay::recfound
