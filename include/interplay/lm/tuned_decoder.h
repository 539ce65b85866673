#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <interplay/lm/decoder.h>
#include <interplay/lm/encoder.h>
#include <interplay/lm/prompt_frame.h>
#include <interplay/lm/roles.h>
#include <interplay/lm/task_router.h>
#include <interplay/lm/tokenizer.h>
#include <interplay/lm/tuned_folder.h>

namespace interplay::lm {

/// A decoder with adapters that were, or are being, tuned for tasks. A handle: copies are one model.
class INTERPLAY_API TunedDecoder {
 public:
  /// Of a decoder that is adapted already. `router`: nullptr where there is one adapter for all tasks.
  TunedDecoder(Decoder decoder, TaskRouter router) : decoder_(std::move(decoder)), router_(std::move(router)) {}
  /// The model that was tuned, with what it has learnt, in eval mode. Throws Error(data) where the files are damaged,
  /// or belong to another model.
  static TunedDecoder load(const TunedFolder& folder, nn::Precision precision);

  Decoder& decoder() { return decoder_; }
  const Decoder& decoder() const { return decoder_; }
  TaskRouter& router() { return router_; }  ///< nullptr with one adapter
  bool has_experts() const { return !router_.is_empty(); }

  /// What learns, by name: adapters as DecoderImpl::adapter_weights(), and `router.NAME`. The model's own, not copies.
  std::map<std::string, at::Tensor> weights() const;
  void save(const std::filesystem::path& folder) const;  ///< TunedFolder::files()

  /// What texts of these tasks (or TaskRouterImpl::kNone) are read with; nothing where there is one adapter.
  AdapterCall call(std::span<const int64_t> tasks);
  /// From now on whatever is read without a call is read as by this task. Not for training.
  void focus(int64_t task);

 private:
  Decoder decoder_;
  TaskRouter router_{nullptr};
  std::shared_ptr<std::map<std::string, at::Tensor>> drawn_;  // B of each projection before focus() scaled it
};

/// Vectors of texts: f32 [B, D]. Every token sees all of its text and frame; of the hidden states after the final norm
/// those of the text's own tokens are averaged, and the mean is made 1 long (GritLM, Muennighoff et al. 2024,
/// arXiv:2402.09906). With gradients where they are on.
INTERPLAY_API at::Tensor text_vectors(Decoder decoder, std::span<const FramedText> texts,
                                      const AdapterCall* adapters = nullptr);

/// text_vectors() of many texts of one task (or TaskRouterImpl::kNone), without gradients: the longest first, about
/// `batch_tokens` at a time. `read` is told the tokens of each batch. f32 [N, D], in the order of the texts.
INTERPLAY_API at::Tensor vectors_of_task(TunedDecoder model, std::span<const FramedText> texts, int64_t task,
                                         int64_t batch_tokens, const std::function<void(int64_t)>& read = {});

/// A tuned model as a text encoder, by one of its tasks of embedding; without a task, with all experts alike and each
/// text by itself.
class INTERPLAY_API TunedEncoder final : public TextEncoder {
 public:
  /// `decoder` of `folder`, whose named task and side decide frame and instruction. `precision` is for identity().
  TunedEncoder(TunedDecoder decoder, std::shared_ptr<const Tokenizer> tokenizer, TunedFolder folder,
               EncoderOptions options);

  at::Tensor encode(std::span<const std::string> texts) override;
  int64_t width() const override;
  TokenIds ids_of(std::string_view text) const override { return framed(text).ids; }
  std::string identity() const override;

 private:
  FramedText framed(std::string_view text) const;

  TunedDecoder decoder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  TunedFolder folder_;
  EncoderOptions options_;
  PromptFrame frame_;
  std::string instruction_;
  int64_t max_tokens_ = 0, task_ = TaskRouterImpl::kNone;
};

}  // namespace interplay::lm
