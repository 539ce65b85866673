#include <interplay/lm/scorer.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/progress.h>

#include "lm/tensor/texts.h"

namespace interplay::lm {
namespace {

/// Sequences read in batches of similar length behind what they all begin with.
class Reading {
 public:
  /// No more than `most_shared` tokens of them are read as what they share.
  Reading(Decoder decoder, std::span<const TokenIds> sequences, const ScoreOptions& options,
          size_t most_shared = SIZE_MAX)
      : decoder_(std::move(decoder)), sequences_(sequences), options_(options) {
    for (size_t i = 0; i < sequences.size(); ++i)
      INTERPLAY_CHECK(!sequences[i].empty(), "prompt {} of {} has no tokens", i, sequences.size());
    constexpr size_t kWorthwhile = 8;
    const size_t shared = shared_tokens(sequences, most_shared);
    if (shared >= kWorthwhile) {
      prefix_ = shared;
      decoder_->extend(past_, TokenBatch::of({TokenIds(sequences[0].begin(), sequences[0].begin() + int64_t(shared))}),
                       at::zeros({1}, at::kLong));
    }
    order_ = longest_first(sequences);
  }

  /// Calls use(which, batch, hidden) batch by batch: which sequences, and the hidden states of the rows that
  /// rows(which, offsets) names.
  template <class Rows, class Use>
  void run(const Rows& rows, const Use& use) {
    int64_t all = 0;
    for (const auto& s : sequences_) all += int64_t(s.size() - prefix_);
    Progress progress("score", options_.progress ? all : 0, "tokens");
    for (size_t begin = 0, end; begin < order_.size(); begin = end) {
      std::vector<TokenIds> batch;
      std::vector<size_t> which;
      int64_t tokens = 0;
      for (end = begin; end < order_.size(); ++end) {
        const auto& s = sequences_[size_t(order_[end])];
        const int64_t more = int64_t(s.size() - prefix_);
        if (end > begin && tokens + more > options_.batch_tokens) break;
        batch.emplace_back(s.begin() + int64_t(prefix_), s.end());
        which.push_back(size_t(order_[end]));
        tokens += more;
      }
      const auto read = TokenBatch::of(batch);
      DecoderCall call;
      call.past = prefix_ > 0 ? &past_ : nullptr;
      call.rows = rows(which, read);
      use(which, decoder_->forward(read, call));
      if (options_.progress) progress.add(tokens);
    }
  }

 private:
  Decoder decoder_;
  std::span<const TokenIds> sequences_;
  ScoreOptions options_;
  KvCache past_;
  size_t prefix_ = 0;
  std::vector<int64_t> order_;
};

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
  const at::NoGradGuard off;
  const int64_t most = decoder_->config().vocabulary;
  for (const int64_t token : answers)
    INTERPLAY_CHECK(token >= 0 && token < most, "answer token {}; the model has {} tokens", token, most);
  const auto tokens = at::tensor(at::ArrayRef<int64_t>(answers.data(), answers.size()), at::kLong);
  auto out = at::empty({int64_t(prompts.size()), int64_t(answers.size())}, at::TensorOptions().dtype(at::kFloat));
  Reading reading(decoder_, prompts, options);
  reading.run([](const auto&, const TokenBatch& batch) { return batch.last_rows(); },
              [&](const std::vector<size_t>& which, const at::Tensor& hidden) {
                const auto logits = decoder_->logits(hidden, tokens);
                for (size_t i = 0; i < which.size(); ++i) out[int64_t(which[i])].copy_(logits[int64_t(i)]);
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
                    "pair {} of {}: a prompt or continuation without tokens", i, prompts.size());
    whole.push_back(prompts[i]);
    most_shared = std::min(most_shared, prompts[i].size() - 1);
    whole.back().insert(whole.back().end(), continuations[i].begin(),
                        continuations[i].end() - 1);  // the last is only predicted
  }
  auto out = at::zeros({int64_t(prompts.size())}, at::TensorOptions().dtype(at::kDouble));
  double* const sums = out.mutable_data_ptr<double>();
  Reading reading(decoder_, whole, options, most_shared);
  reading.run(
      [&](const std::vector<size_t>& which, const TokenBatch& batch) {
        std::vector<int64_t> rows;
        for (size_t i = 0; i < which.size(); ++i)
          for (size_t t = 0; t < continuations[which[i]].size(); ++t)
            rows.push_back(batch.offsets[i + 1] - int64_t(continuations[which[i]].size()) + int64_t(t));
        return at::tensor(rows, at::kLong);
      },
      [&](const std::vector<size_t>& which, const at::Tensor& hidden) {
        constexpr int64_t kRows = 256;  // of logits over all tokens at once
        std::vector<int64_t> targets, owners;
        for (const size_t w : which) {
          targets.insert(targets.end(), continuations[w].begin(), continuations[w].end());
          owners.insert(owners.end(), continuations[w].size(), int64_t(w));
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
