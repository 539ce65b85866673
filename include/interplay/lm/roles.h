#pragma once

#include <cstdint>
#include <functional>
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

/// What a generator goes on from.
struct LmPrompt {
  TokenIds ids;
  uint64_t draw = 0;  ///< prompts that are equal are sampled alike, unless their draws differ
};

/// How a generator goes on from prompts.
struct GenerateOptions {
  int64_t max_tokens = 256;  ///< most tokens of an answer; fewer where the model's context ends
  double temperature = 0;    ///< logits are divided by it before one is drawn; 0 = the likeliest, always (greedy)
  int64_t top_k = 0;         ///< only the k likeliest are drawn; 0 = all
  double top_p = 1;          ///< of these, only the likeliest that together have this probability
  uint64_t seed = 0;         ///< a token depends on it, its prompt, its draw and its place, and on nothing else
  std::vector<std::string> stop = {};  ///< texts that end an answer, beside the model's own end tokens
  std::vector<TokenIds> choices = {};  ///< not empty: the answer is one of these, by the sum of log P of its tokens
  int64_t batch = 16;                  ///< most answers that are written at once
  bool progress = false;               ///< shows prompts and tokens/s
};

/// Why an answer ended: an end token or a stop text, as many tokens as there may be, or that it was chosen.
enum class Finish : uint8_t { stop, length, choice };
INTERPLAY_API const char* to_string(Finish finish);  ///< stop, length, choice

/// An answer.
struct Generated {
  std::string text;  ///< up to the stop, which is no part of it
  TokenIds ids;      ///< all that was generated but the end token; a stop text's own tokens are there
  Finish finish = Finish::stop;
  int64_t choice = -1;        ///< which of the choices it is
  std::vector<double> log_p;  ///< of each choice: the sum of log P of its tokens
};

/// Generator: token ids to texts. Used by one thread at a time.
///
///     lm::GenerateOptions options{.max_tokens = 64, .temperature = 0.7, .top_p = 0.9, .seed = 3};
///     const auto answers = generator.generate(std::vector<lm::LmPrompt>{{ids}}, options);
class INTERPLAY_API LmGenerator {
 public:
  virtual ~LmGenerator();

  /// Takes the answer to prompts[i], as soon as it is there: not in the order of the prompts.
  using Use = std::function<void(int64_t i, Generated answer)>;
  /// Calls `use` once for every prompt. An answer is the same whatever the other prompts, their order and the batch. An
  /// exception of `use` ends it. Throws Error(config) for options outside their ranges (check()), and Error(data)
  /// naming the first prompt that has no tokens, or more than the model's context leaves room for.
  virtual void generate_each(std::span<const LmPrompt> prompts, const GenerateOptions& options, const Use& use) = 0;
  /// All answers, in the order of the prompts.
  std::vector<Generated> generate(std::span<const LmPrompt> prompts, const GenerateOptions& options = {});
  /// Names all that decides the answers beside options and prompt: checksums of weights and adapters, precision. For
  /// logs and caches.
  virtual std::string identity() const = 0;
};

/// Throws Error(config) naming the option that is outside its range. For implementations of LmGenerator.
INTERPLAY_API void check(const GenerateOptions& options);

}  // namespace interplay::lm
