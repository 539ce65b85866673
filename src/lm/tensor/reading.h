#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <interplay/lm/conditions.h>
#include <interplay/lm/decoder.h>
#include <interplay/lm/roles.h>

namespace interplay::lm {

/// A decoder's way through many texts: what all begin with once, the rest by length, in batches without padding.
/// No gradients. The texts must outlive it.
class Reading {
 public:
  /// `batch_tokens`: most tokens that are read at once; a longer text is read by itself. Of what all texts share no
  /// more than `most_shared` tokens are read beforehand: none up to a vector, none at all where adapters are given
  /// something by text. Throws Error where a text has no tokens.
  Reading(Decoder decoder, std::span<const TokenIds> texts, int64_t batch_tokens, size_t most_shared = SIZE_MAX,
          const Conditions& conditions = {});

  /// Hidden states of what all begin with: f32 [P, D], P 0 where that is not worth the while.
  const at::Tensor& beginning() const { return beginning_; }

  /// Which rows of a batch are wanted, i64 [M] (undefined: all): texts which[b] lie at offsets[b] of the batch.
  using Rows = std::function<at::Tensor(const std::vector<int64_t>& which, const TokenBatch& batch)>;
  /// hidden f32 [M, D]
  using Use = std::function<void(const std::vector<int64_t>& which, const TokenBatch& batch, const at::Tensor& hidden)>;
  /// Calls `use` batch by batch. `progress` is the title of the line that shows tokens/s; "" shows none.
  void run(const std::string& progress, const Rows& rows, const Use& use);

 private:
  Decoder decoder_;
  std::span<const TokenIds> texts_;
  int64_t batch_tokens_;
  Conditions conditions_;
  KvCache past_;
  at::Tensor beginning_;
};

}  // namespace interplay::lm
