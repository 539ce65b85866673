#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <interplay/lm/cache.h>
#include <interplay/lm/decoder.h>
#include <interplay/lm/roles.h>
#include <interplay/lm/tokenizer.h>

namespace interplay::lm {

/// What a generator is made of.
struct GeneratorOptions {
  nn::Precision precision = nn::Precision::fp32;  ///< of the weights
  std::filesystem::path adapter = {};             ///< a file of adapters; empty = none
};

/// A decoder as a generator. Answers that are written at once share each reading of the weights; one that has ended
/// leaves, and the next prompt takes its place. Keys and values are kept, so that a token is one row of every product.
///
/// A token is drawn as transformers draws it: logits / temperature, then top-k, then top-p (Holtzman et al. 2020,
/// arXiv:1904.09751). What ends an answer is Tokenizer::end_id(), the end of a turn (`<|im_end|>`) and of a text
/// (`<|endoftext|>`) where the vocabulary has them as control tokens, or GenerateOptions::stop.
///
/// Every product of a step sums in one order, however many answers are written with it, and a prompt is read by itself:
/// this is what makes an answer the same in any company, bit for bit at one number of threads.
///
///     const auto generator = lm::load_generator(lm::find_model("smollm2-135m"));
///     const auto ids = frame.encode(generator->tokenizer(), {{"user", "Name three films by the sea."}});
///     fmt::print("{}\n", generator->generate(std::vector<lm::LmPrompt>{{ids}}, {.max_tokens = 64})[0].text);
class INTERPLAY_API DecoderGenerator final : public LmGenerator {
 public:
  /// `tokenizer` is the decoder's own: Error(config) where it has more tokens.
  DecoderGenerator(Decoder decoder, std::shared_ptr<const Tokenizer> tokenizer, std::string identity);
  ~DecoderGenerator() override;

  void generate_each(std::span<const LmPrompt> prompts, const GenerateOptions& options, const Use& use) override;
  std::string identity() const override { return identity_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const DecoderConfig& config() const { return decoder_->config(); }

 private:
  Decoder decoder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string identity_;
};

/// The generator of a GGUF file, or of a folder as load_decoder() takes it, whose tokenizer it also reads. Throws as
/// load_decoder(), Tokenizer::load() and DecoderImpl::load_adapters() do.
INTERPLAY_API std::unique_ptr<DecoderGenerator> load_generator(const std::filesystem::path& model,
                                                               const GeneratorOptions& options = {});

/// A generator that is asked only what it has not answered before. The key of an answer is the generator's identity(),
/// all options that decide it, the prompt and, where something is drawn, its draw. What is new is saved in parts, so
/// that an interrupted run goes on where it was.
class INTERPLAY_API CachedGenerator final : public LmGenerator {
 public:
  /// `generator` has to outlive this object.
  CachedGenerator(LmGenerator& generator, const std::filesystem::path& directory);

  /// Equal prompts of equal draws are asked once. Answers that are known come first.
  void generate_each(std::span<const LmPrompt> prompts, const GenerateOptions& options, const Use& use) override;
  std::string identity() const override { return generator_.identity(); }
  int64_t generated() const { return generated_; }  ///< answers that were not in the cache, so far

 private:
  LmGenerator& generator_;
  LmCache cache_;
  int64_t generated_ = 0;
};

}  // namespace interplay::lm
