#include <interplay/lm/scorer.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

#include "lm/tensor/reading.h"

namespace interplay::lm {
namespace {

/// Throws Error(numeric) naming the first row of `found` that is no number.
void check_finite(const at::Tensor& found, const char* what) {
  if (found.isfinite().all().item<bool>()) return;
  const auto bad =
      found.view({found.size(0), -1}).isfinite().all(1).logical_not().to(at::kInt).argmax().item<int64_t>();
  throw Error(fmt::format("prompt {} of {}: {} are NaN or infinite; the weights or the adapters hold such numbers",
                          bad + 1, found.size(0), what),
              ErrorKind::numeric);
}

}  // namespace

LmScorer::~LmScorer() = default;

at::Tensor LmScorer::probabilities(std::span<const TokenIds> prompts, std::span<const int64_t> answers,
                                   const ScoreOptions& options) {
  return this->answers(prompts, answers, options).softmax(1);
}

at::Tensor LmScorer::perplexity(std::span<const TokenIds> texts, const ScoreOptions& options) {
  std::vector<TokenIds> firsts, rests;
  std::vector<double> counts;
  for (size_t i = 0; i < texts.size(); ++i) {
    INTERPLAY_CHECK(texts[i].size() >= 2, "text {} of {} has {} tokens; perplexity needs two", i, texts.size(),
                    texts[i].size());
    firsts.push_back({texts[i].front()});
    rests.emplace_back(texts[i].begin() + 1, texts[i].end());
    counts.push_back(double(texts[i].size() - 1));
  }
  return (-log_likelihood(firsts, rests, options) / at::tensor(counts, at::kDouble)).exp();
}

at::Tensor DecoderScorer::answers(std::span<const TokenIds> prompts, std::span<const int64_t> answers,
                                  const ScoreOptions& options) {
  return this->answers(prompts, answers, Conditions(), options);
}

at::Tensor DecoderScorer::answers(std::span<const TokenIds> prompts, std::span<const int64_t> answers,
                                  const Conditions& conditions, const ScoreOptions& options) {
  const at::NoGradGuard off;
  const int64_t most = decoder_->config().vocabulary;
  for (const int64_t token : answers)
    INTERPLAY_CHECK(token >= 0 && token < most, "answer token {}; the model has {} tokens", token, most);
  const auto tokens = at::tensor(at::ArrayRef<int64_t>(answers.data(), answers.size()), at::kLong);
  auto out = at::empty({int64_t(prompts.size()), int64_t(answers.size())}, at::TensorOptions().dtype(at::kFloat));
  Reading(decoder_, prompts, options.batch_tokens, SIZE_MAX, conditions)
      .run(
          options.progress ? "score" : "", [](const auto&, const TokenBatch& batch) { return batch.last_rows(); },
          [&](const std::vector<int64_t>& which, const TokenBatch&, const at::Tensor& hidden) {
            out.index_copy_(0, at::tensor(which, at::kLong), decoder_->logits(hidden, tokens));
          });
  check_finite(out, "logits of the answers");
  return out;
}

at::Tensor DecoderScorer::log_likelihood(std::span<const TokenIds> prompts, std::span<const TokenIds> continuations,
                                         const ScoreOptions& options) {
  const at::NoGradGuard off;
  INTERPLAY_CHECK(prompts.size() == continuations.size(), "{} prompts and {} continuations", prompts.size(),
                  continuations.size());
  std::vector<TokenIds> whole;
  size_t most_shared = SIZE_MAX;  // the last token of each prompt has a hidden state of its own to give
  for (size_t i = 0; i < prompts.size(); ++i) {
    INTERPLAY_CHECK(!prompts[i].empty() && !continuations[i].empty(),
                    "pair {} of {}: a prompt or continuation without tokens", i + 1, prompts.size());
    whole.push_back(prompts[i]);
    most_shared = std::min(most_shared, prompts[i].size() - 1);
    whole.back().insert(whole.back().end(), continuations[i].begin(),
                        continuations[i].end() - 1);  // the last is only predicted
  }
  auto out = at::zeros({int64_t(prompts.size())}, at::TensorOptions().dtype(at::kDouble));
  double* const sums = out.mutable_data_ptr<double>();
  Reading reading(decoder_, whole, options.batch_tokens, most_shared);
  reading.run(
      options.progress ? "score" : "",
      [&](const std::vector<int64_t>& which, const TokenBatch& batch) {
        std::vector<int64_t> rows;
        for (size_t i = 0; i < which.size(); ++i) {
          const auto length = int64_t(continuations[size_t(which[i])].size());
          for (int64_t row = batch.offsets[i + 1] - length; row < batch.offsets[i + 1]; ++row) rows.push_back(row);
        }
        return at::tensor(rows, at::kLong);
      },
      [&](const std::vector<int64_t>& which, const TokenBatch&, const at::Tensor& hidden) {
        constexpr int64_t kRows = 256;  // of logits over all tokens at once
        std::vector<int64_t> targets, owners;
        for (const int64_t w : which) {
          const TokenIds& continuation = continuations[size_t(w)];
          targets.insert(targets.end(), continuation.begin(), continuation.end());
          owners.insert(owners.end(), continuation.size(), w);
        }
        const auto target = at::tensor(targets, at::kLong);
        for (int64_t row = 0; row < hidden.size(0); row += kRows) {
          const int64_t rows = std::min(kRows, hidden.size(0) - row);
          const auto logits = decoder_->logits(hidden.narrow(0, row, rows));
          const auto own = logits.gather(1, target.narrow(0, row, rows).unsqueeze(1)).squeeze(1);
          const auto logs = (own - logits.logsumexp(1)).to(at::kDouble);
          for (int64_t i = 0; i < rows; ++i) sums[owners[size_t(row + i)]] += logs.const_data_ptr<double>()[i];
        }
      });
  check_finite(out, "log-likelihoods");
  return out;
}

}  // namespace interplay::lm
