#include <interplay/lm/tuned_decoder.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/progress.h>
#include <interplay/base/with_place.h>
#include <interplay/lm/model_files.h>
#include <interplay/nn/safetensors.h>

#include "lm/tensor/texts.h"

namespace interplay::lm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "interplay-router 1";

std::map<std::string, at::Tensor> router_weights(const TaskRouterImpl& router) {
  return {{"task_vectors", router.task_vectors}, {"weight", router.weight}, {"bias", router.bias}};
}

void load_router(TaskRouterImpl& router, const fs::path& file) {
  const nn::Safetensors stored(file);
  stored.check();
  const auto format = stored.metadata().find("format");
  INTERPLAY_CHECK_DATA(format != stored.metadata().end() && format->second == kFormat,
                       "{}: is no router of a tuned model; expected the format '{}'", file.string(), kFormat);
  const at::NoGradGuard off;
  for (auto& [name, to] : router_weights(router)) {
    const at::Tensor& from = stored.at(name);
    INTERPLAY_CHECK_DATA(from.sizes() == to.sizes() && from.scalar_type() == at::kFloat,
                         "{}: entry '{}' is {} [{}]; expected Float [{}]", file.string(), name,
                         toString(from.scalar_type()), fmt::join(from.sizes(), ", "), fmt::join(to.sizes(), ", "));
    to.copy_(from);
  }
}

/// By which frame and instruction a folder's name asks for texts to be read.
const TunedTask& embedding_task(const TunedFolder& folder) {
  INTERPLAY_CHECK(!folder.task || folder.named()->family == TaskFamily::embedding,
                  "{}: '{}' is a task of generation; vectors are of tasks of embedding, or of none",
                  folder.folder.string(), folder.named()->name);
  static const TunedTask none{.frame = "{text}"};
  return folder.task ? *folder.named() : none;
}

}  // namespace

TunedDecoder TunedDecoder::load(const TunedFolder& folder, nn::Precision precision) {
  Decoder decoder = load_decoder(folder.model(), precision);
  decoder->load_adapters(folder.folder / TunedFolder::kAdapters);
  decoder->eval();
  const int64_t wanted = folder.experts ? folder.experts->total() : 1, found = decoder->adapter_options()->experts;
  INTERPLAY_CHECK_DATA(wanted == found, "{}: has {} adapters side by side; {} says {}",
                       (folder.folder / TunedFolder::kAdapters).string(), found, TunedFolder::kFile, wanted);
  if (!folder.experts) return {decoder, nullptr};
  std::vector<TaskFamily> families;
  for (const auto& task : folder.tasks) families.push_back(task.family);
  TaskRouter router(families, decoder->adapted(), *folder.experts, folder.router_width, 0);
  load_router(*router, folder.folder / TunedFolder::kRouter);
  router->eval();
  return {decoder, router};
}

std::map<std::string, at::Tensor> TunedDecoder::weights() const {
  auto out = decoder_->adapter_weights();
  if (has_experts()) {
    for (const auto& [name, w] : router_weights(*router_)) out["router." + name] = w;
  }
  return out;
}

void TunedDecoder::save(const fs::path& folder) const {
  decoder_->save_adapters(folder / TunedFolder::kAdapters);
  if (has_experts())
    nn::save_safetensors(folder / TunedFolder::kRouter, router_weights(*router_), {{"format", kFormat}});
}

AdapterCall TunedDecoder::call(std::span<const int64_t> tasks) {
  return has_experts() ? router_->forward(tasks) : AdapterCall();
}

// Experts that nobody weighs count 1 / E each: B_e is made E w_e of itself.
void TunedDecoder::focus(int64_t task) {
  if (!has_experts()) return;
  const at::NoGradGuard off;
  const auto adapters = decoder_->adapter_weights();
  if (!drawn_) {
    drawn_ = std::make_shared<std::map<std::string, at::Tensor>>();
    for (const auto& name : router_->projections()) {
      const auto b = AdapterFile::name_b(name);
      drawn_->emplace(b, adapters.at(b).clone());
    }
  }
  const std::vector<int64_t> one{task};
  const auto mixes = router_->forward(one).mixes;
  const auto experts = router_->experts().total();
  for (const auto& name : router_->projections()) {
    const auto b = AdapterFile::name_b(name);
    const at::Tensor& from = drawn_->at(b);  // [width, E r]
    const auto weight = mixes.at(name).experts * double(experts);
    adapters.at(b).copy_((from.view({from.size(0), experts, -1}) * weight.view({1, experts, 1})).view(from.sizes()));
  }
}

at::Tensor text_vectors(Decoder decoder, std::span<const FramedText> texts, const AdapterCall* adapters) {
  std::vector<TokenIds> ids;
  std::vector<int64_t> rows, owner, counts;
  int64_t offset = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    for (int64_t t = texts[i].first; t < texts[i].last; ++t) rows.push_back(offset + t), owner.push_back(int64_t(i));
    counts.push_back(texts[i].own());
    offset += int64_t(texts[i].ids.size());
    ids.push_back(texts[i].ids);
  }
  DecoderCall call;
  call.causal = false;
  call.rows = at::tensor(rows, at::kLong);
  call.adapters = adapters;
  const auto states = decoder->forward(TokenBatch::of(ids), call);  // [M, D]
  const auto sums =
      at::zeros({int64_t(texts.size()), states.size(1)}).index_add(0, at::tensor(owner, at::kLong), states);
  const auto mean = sums / at::tensor(counts, at::kFloat).unsqueeze(1);
  return mean / at::linalg_vector_norm(mean, 2, {1}, true).clamp_min(1e-12);
}

at::Tensor vectors_of_task(TunedDecoder model, std::span<const FramedText> texts, int64_t task, int64_t batch_tokens,
                           const std::function<void(int64_t)>& read) {
  const at::NoGradGuard off;
  std::vector<TokenIds> ids;
  for (const auto& text : texts) ids.push_back(text.ids);
  const auto order = longest_first(ids);
  auto out = at::empty({int64_t(texts.size()), model.decoder()->config().width}, at::kFloat);
  for (size_t next = 0; next < order.size();) {
    std::vector<FramedText> batch;
    std::vector<int64_t> places;
    int64_t tokens = 0;
    for (; next < order.size(); ++next) {
      const auto& text = texts[size_t(order[next])];
      const auto length = int64_t(text.ids.size());
      if (!batch.empty() && tokens + length > batch_tokens) break;
      batch.push_back(text);
      places.push_back(order[next]), tokens += length;
    }
    const std::vector<int64_t> tasks(batch.size(), task);
    const auto call = model.call(tasks);
    out.index_copy_(0, at::tensor(places, at::kLong), text_vectors(model.decoder(), batch, &call));
    if (read) read(tokens);
  }
  return out;
}

TunedEncoder::TunedEncoder(TunedDecoder decoder, std::shared_ptr<const Tokenizer> tokenizer, TunedFolder folder,
                           EncoderOptions options)
    : decoder_(std::move(decoder)),
      tokenizer_(std::move(tokenizer)),
      folder_(std::move(folder)),
      options_(std::move(options)),
      frame_(embedding_task(folder_).frame) {
  const TunedTask& task = embedding_task(folder_);
  INTERPLAY_CHECK(!options_.chat, "{}: a task has its own frame; leave --chat away", folder_.folder.string());
  const int64_t context = decoder_.decoder()->config().context;
  instruction_ = folder_.passages ? task.passage_instruction : task.instruction;
  max_tokens_ = options_.max_length > 0 ? options_.max_length
                : folder_.passages      ? task.passage_tokens
                                        : task.max_tokens;
  INTERPLAY_CHECK(max_tokens_ <= context, "max_length is {}; expected 1 to {}, the positions of the model", max_tokens_,
                  context);
  if (folder_.task) task_ = int64_t(*folder_.task);
}

int64_t TunedEncoder::width() const { return decoder_.decoder()->config().width; }

std::string TunedEncoder::identity() const {
  const fs::path name = folder_.task ? fs::path(folder_.folder.string() + ":" + folder_.selection()) : folder_.folder;
  return fmt::format("tuned llama {:016x}, mean of at most {} tokens, length 1, {}", model_checksum(name), max_tokens_,
                     nn::to_string(options_.precision));
}

FramedText TunedEncoder::framed(std::string_view text) const {
  return frame_.encode(*tokenizer_, instruction_, text, max_tokens_);
}

at::Tensor TunedEncoder::encode(std::span<const std::string> texts) {
  std::vector<FramedText> all;
  int64_t tokens = 0;
  for (const auto& text : texts) {
    all.push_back(with_place(fmt::format("text {}", all.size() + 1), [&] { return framed(text); }));
    tokens += int64_t(all.back().ids.size());
  }
  std::optional<Progress> progress;
  if (!options_.progress.empty()) progress.emplace(options_.progress, tokens, "tokens");
  return vectors_of_task(decoder_, all, task_, options_.batch_tokens, [&](int64_t read) {
    if (progress) progress->add(read);
  });
}

}  // namespace interplay::lm
