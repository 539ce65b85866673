#include <interplay/lm/decoder.h>

#include <algorithm>
#include <set>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <interplay/base/error.h>

#include "lm/tensor/attention.h"
#include "lm/tensor/rms_norm.h"
#include "lm/tensor/swiglu.h"

namespace interplay::lm {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

TokenBatch TokenBatch::of(const std::vector<std::vector<int64_t>>& sequences) {
  TokenBatch out;
  out.offsets = {0};
  std::vector<int64_t> all;
  for (size_t b = 0; b < sequences.size(); ++b) {
    INTERPLAY_CHECK(!sequences[b].empty(), "sequence {} of {} has no tokens", b, sequences.size());
    all.insert(all.end(), sequences[b].begin(), sequences[b].end());
    out.offsets.push_back(int64_t(all.size()));
  }
  out.ids = at::tensor(all, at::kLong);
  return out;
}

TokenBatch TokenBatch::from_padded(const at::Tensor& ids, const at::Tensor& mask) {
  INTERPLAY_CHECK(ids.dim() == 2 && ids.sizes() == mask.sizes(), "ids of shape [{}] and a mask of shape [{}]",
                  fmt::join(ids.sizes(), ", "), fmt::join(mask.sizes(), ", "));
  const auto real = mask.to(at::kBool);
  const auto counts = real.sum(1).cumsum(0).contiguous();
  TokenBatch out;
  out.offsets = {0};
  for (int64_t b = 0; b < ids.size(0); ++b) {
    out.offsets.push_back(counts.const_data_ptr<int64_t>()[b]);
    INTERPLAY_CHECK(out.offsets.back() > out.offsets[size_t(b)], "sequence {} of {} has no tokens", b, ids.size(0));
  }
  out.ids = ids.masked_select(real);
  return out;
}

at::Tensor TokenBatch::last_rows() const { return at::tensor(at::ArrayRef<int64_t>(offsets).slice(1), at::kLong) - 1; }

at::Tensor TokenBatch::sample() const {
  const auto counts = at::tensor(at::ArrayRef<int64_t>(offsets), at::kLong).diff();
  return at::repeat_interleave(at::arange(sequences(), at::kLong), counts);
}

/// One pass of a batch through the layers.
struct DecoderImpl::Run {
  AttentionCall attention;           // memory aside, which every layer has of its own
  std::vector<at::Tensor> memories;  // [B]: f32 [layers, 2, kv_heads, capacity, head_dim]
  at::Tensor rows;                   // of the last layer
  std::optional<AdapterCall> mixes;
  at::Tensor sample;

  const AdapterCall* adapters() const { return mixes ? &*mixes : nullptr; }

  AttentionCall attention_of(int64_t layer) const {
    AttentionCall call = attention;
    for (const auto& memory : memories) call.memory.push_back(memory.defined() ? memory[layer] : memory);
    return call;
  }
};

DecoderImpl::DecoderImpl(const DecoderConfig& config, const at::Tensor& embedding, std::vector<Layer> layers,
                         const at::Tensor& final_norm, const at::Tensor& head, std::string checksum)
    : config_(config),
      embedding_(register_buffer("embed_tokens", embedding)),
      final_norm_(register_buffer("norm", final_norm)),
      head_(head.is_same(embedding) ? head : register_buffer("lm_head", head)),
      layers_(std::move(layers)),
      checksum_(std::move(checksum)) {
  for (size_t l = 0; l < layers_.size(); ++l) {
    auto& layer = layers_[l];
    const std::string name = fmt::format("layer_{}_", l);
    layer.attention_norm = register_buffer(name + "attention_norm", layer.attention_norm);
    layer.ffn_norm = register_buffer(name + "ffn_norm", layer.ffn_norm);
    register_module(name + "qkv", layer.qkv);
    register_module(name + "output", layer.output);
    register_module(name + "gate_up", layer.gate_up);
    register_module(name + "down", layer.down);
  }
}

void DecoderImpl::check_ids(const at::Tensor& ids) const {
  const auto [least, most] = ids.aminmax();
  INTERPLAY_CHECK(least.item<int64_t>() >= 0 && most.item<int64_t>() < config_.vocabulary,
                  "decoder: token ids from {} to {}; the model has {} tokens", least.item<int64_t>(),
                  most.item<int64_t>(), config_.vocabulary);
}

std::vector<AdapterLinear> DecoderImpl::linears(int64_t index) const {
  const auto& l = layers_[size_t(index)];
  return {l.qkv, l.output, l.gate_up, l.down};
}

TokenBatch DecoderImpl::batch(const std::vector<std::vector<int64_t>>& sequences, const at::Tensor& vectors) const {
  TokenBatch out = TokenBatch::of(sequences);
  if (!vectors.defined()) return out;
  const auto places = (out.ids == TokenBatch::kVector).nonzero().squeeze(1);
  INTERPLAY_CHECK(vectors.dim() == 2 && vectors.size(0) == places.size(0) && vectors.size(1) == config_.width,
                  "decoder: vectors of shape [{}] for {} places; expected [{}, {}]", fmt::join(vectors.sizes(), ", "),
                  places.size(0), places.size(0), config_.width);
  const auto words = out.ids.clamp_min(0);
  check_ids(words);
  out.embeddings = embed(words).index_copy(0, places, vectors.to(at::kFloat));
  return out;
}

at::Tensor DecoderImpl::embed(const at::Tensor& ids) const { return embedding_.index_select(0, ids).to(at::kFloat); }

at::Tensor DecoderImpl::logits(const at::Tensor& hidden) const {
  return at::linear(hidden.to(head_.scalar_type()), head_).to(at::kFloat);
}

at::Tensor DecoderImpl::logits(const at::Tensor& hidden, const at::Tensor& tokens) const {
  return at::linear(hidden, head_.index_select(0, tokens).to(at::kFloat));
}

/// The residual stream is h + a: the sum is formed by whoever norms it next.
std::pair<at::Tensor, at::Tensor> DecoderImpl::layer(int64_t index, const at::Tensor& h, const at::Tensor& a,
                                                     const Run& run) {
  auto& l = layers_[size_t(index)];
  auto [sum, x] = add_rms_norm(h, a, l.attention_norm, config_.norm_eps, type());
  auto mixed = attention(l.qkv(x, run.adapters(), run.sample), run.attention_of(index));
  auto sample = run.sample;
  if (index + 1 == config_.layers && run.rows.defined()) {  // nobody reads what follows of the others
    mixed = mixed.index_select(0, run.rows);
    sum = sum.index_select(0, run.rows);
    if (sample.defined()) sample = sample.index_select(0, run.rows);
  }
  const auto [sum2, x2] =
      add_rms_norm(sum, l.output(mixed, run.adapters(), sample), l.ffn_norm, config_.norm_eps, type());
  return {sum2, l.down(swiglu(l.gate_up(x2, run.adapters(), sample)), run.adapters(), sample)};
}

/// A layer that keeps nothing but its inputs and runs once more in the backward pass, with the random numbers of the
/// first time. What it reads besides (parameters, cores, experts) is named, so that gradients reach it.
struct DecoderImpl::Checkpoint : torch::autograd::Function<DecoderImpl::Checkpoint> {
  struct Kept : torch::CustomClassHolder {
    DecoderImpl* decoder = nullptr;
    std::shared_ptr<torch::nn::Module> alive;  // the decoder, whose holder may be gone before the backward pass
    int64_t index = 0;
    std::shared_ptr<const Run> run;
    bool has_a = false;
    at::Tensor random;
  };
  static at::Tensor random_state() {
    auto generator = at::detail::getDefaultCPUGenerator();
    const std::lock_guard lock(generator.mutex());
    return generator.get_state();
  }
  static void set_random_state(const at::Tensor& state) {
    auto generator = at::detail::getDefaultCPUGenerator();
    const std::lock_guard lock(generator.mutex());
    generator.set_state(state);
  }

  /// `read`: h, a unless it is the first layer, and what else gradients have to reach.
  static variable_list forward(AutogradContext* context, at::TensorList read, bool has_a, DecoderImpl* decoder,
                               int64_t index, const std::shared_ptr<const Run>& run) {
    auto kept = c10::make_intrusive<Kept>();
    kept->decoder = decoder, kept->alive = decoder->weak_from_this().lock(), kept->index = index, kept->run = run,
    kept->has_a = has_a, kept->random = random_state();
    context->save_for_backward(read.vec());
    context->saved_data["kept"] = c10::IValue::make_capsule(kept);
    const auto [sum, out] = decoder->layer(index, read[0], has_a ? read[1] : at::Tensor(), *run);
    return {sum, out};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto kept = c10::static_intrusive_pointer_cast<Kept>(context->saved_data["kept"].toCapsule());
    variable_list read = saved, inputs, found;
    for (size_t i = 0; i < (kept->has_a ? 2 : 1); ++i)
      read[i] = saved[i].detach().set_requires_grad(context->needs_input_grad(i));
    std::vector<size_t> place;
    for (size_t i = 0; i < read.size(); ++i) {
      if (read[i].requires_grad()) inputs.push_back(read[i]), place.push_back(i);
    }
    const at::Tensor now = random_state();
    {
      const at::AutoGradMode on(true);
      set_random_state(kept->random);
      const auto [sum, out] =
          kept->decoder->layer(kept->index, read[0], kept->has_a ? read[1] : at::Tensor(), *kept->run);
      set_random_state(now);
      variable_list outputs, flows;
      for (const auto& [result, flow] : {std::pair{sum, gradients[0]}, std::pair{out, gradients[1]}}) {
        if (flow.defined() && result.requires_grad()) outputs.push_back(result), flows.push_back(flow);
      }
      if (!outputs.empty()) found = torch::autograd::grad(outputs, inputs, flows, std::nullopt, false, true);
    }
    variable_list result(saved.size() + 4);  // and the arguments that are no tensors
    for (size_t i = 0; i < found.size(); ++i) result[place[i]] = found[i];
    return result;
  }
};

at::Tensor DecoderImpl::read(const TokenBatch& batch, const DecoderCall& call, KvCache* extend) {
  const int64_t sequences = batch.sequences();
  INTERPLAY_CHECK(sequences >= 1, "decoder: a batch without sequences");
  auto run = std::make_shared<Run>();
  auto& attention = run->attention;
  attention.heads = config_.heads, attention.kv_heads = config_.kv_heads, attention.head_dim = config_.head_dim;
  attention.causal = call.causal, attention.offsets = batch.offsets, attention.extend = extend != nullptr;
  const KvCache* const past = extend ? extend : call.past;
  INTERPLAY_CHECK(!past || past->sequences() == sequences || (!extend && past->sequences() == 1),
                  "decoder: {} sequences go on from a cache of {}", sequences, past->sequences());
  for (int64_t b = 0; b < sequences; ++b) {
    const auto* const own = past ? &past->pasts_[past->sequences() == 1 ? 0 : size_t(b)] : nullptr;
    attention.past.push_back(own ? own->length : 0);
    if (own) run->memories.push_back(own->memory);
  }
  INTERPLAY_CHECK(attention.longest() <= config_.context,
                  "decoder: a sequence of {} tokens; the model was made for {} at most; shorten the prompt",
                  attention.longest(), config_.context);
  std::tie(attention.cosines, attention.sines) = rotary_table(attention.longest(), config_.head_dim, config_.rope_base);
  attention.cosines = attention.cosines.to(embedding_.device()),
  attention.sines = attention.sines.to(embedding_.device());
  run->rows = call.rows;
  if (call.adapters && !call.adapters->mixes.empty()) {
    run->mixes = *call.adapters;
    run->sample = batch.sample().to(embedding_.device());
  }

  at::Tensor h, a;
  if (batch.embeddings.defined()) {
    INTERPLAY_CHECK(batch.embeddings.dim() == 2 && batch.embeddings.size(0) == batch.tokens() &&
                        batch.embeddings.size(1) == config_.width,
                    "decoder: embeddings of shape [{}]; expected [{}, {}]", fmt::join(batch.embeddings.sizes(), ", "),
                    batch.tokens(), config_.width);
    h = batch.embeddings.to(at::kFloat);
  } else {
    check_ids(batch.ids);
    h = embed(batch.ids);
  }
  for (int64_t l = 0; l < config_.layers; ++l) {
    if (!call.checkpoint || !at::GradMode::is_enabled()) {
      std::tie(h, a) = layer(l, h, a, *run);
      continue;
    }
    variable_list read{h};
    if (a.defined()) read.push_back(a);
    for (const auto& linear : linears(l)) {
      for (const auto& p : linear->parameters()) read.push_back(p);
      for (const auto& output : linear->outputs()) {
        if (!run->mixes) continue;
        const auto mix = run->mixes->mixes.find(output.name);
        if (mix == run->mixes->mixes.end()) continue;
        for (const auto& t : {mix->second.core, mix->second.experts})
          if (t.defined()) read.push_back(t);
      }
    }
    const auto results = Checkpoint::apply(at::TensorList(read), l > 0, this, l, std::shared_ptr<const Run>(run));
    h = results[0], a = results[1];
  }
  return add_rms_norm(h, a, final_norm_, config_.norm_eps, at::kFloat).second;
}

at::Tensor DecoderImpl::forward(const TokenBatch& batch, const DecoderCall& call) { return read(batch, call, nullptr); }

void DecoderImpl::adapt(const AdapterOptions& options, uint64_t seed, int64_t first_layer) {
  INTERPLAY_CHECK(!adapters_, "decoder: has adapters already; merge or remove them first");
  INTERPLAY_CHECK(!options.targets.empty(), "adapter: no targets; name projections, as q_proj");
  std::set<std::string> targets(options.targets.begin(), options.targets.end());
  uint64_t stream = 0;
  for (int64_t l = 0; l < config_.layers; ++l) {
    for (auto& linear : linears(l)) {
      for (const auto& output : linear->outputs()) {
        ++stream;  // a projection's draw does not depend on which others are adapted
        const bool wanted = targets.contains(output.name.substr(output.name.rfind('.') + 1));
        if (wanted && l >= first_layer) linear->adapt(output.name, options, seed * 1'000'003 + stream);
      }
    }
  }
  adapters_ = options;
}

void DecoderImpl::merge_adapters(const std::string& checksum) {
  for (int64_t l = 0; l < config_.layers; ++l)
    for (auto& linear : linears(l)) linear->merge();
  if (adapters_) packed_.reset();  // the file has the weights as they were before
  adapters_.reset();
  if (!checksum.empty()) checksum_ = checksum;
}

void DecoderImpl::remove_adapters() {
  for (int64_t l = 0; l < config_.layers; ++l)
    for (auto& linear : linears(l)) linear->remove_adapters();
  adapters_.reset();
}

void DecoderImpl::save_adapters(const std::filesystem::path& file) const {
  INTERPLAY_CHECK(adapters_, "{}: the model has no adapters to save", file.string());
  AdapterFile{*adapters_, checksum_, adapter_weights()}.save(file);
}

std::map<std::string, at::Tensor> DecoderImpl::adapter_weights() const {
  std::map<std::string, at::Tensor> out;
  for (int64_t l = 0; l < config_.layers; ++l) {
    for (const auto& linear : linears(l)) {
      for (const auto& adapter : linear->adapters()) {
        const auto& name = linear->outputs()[size_t(adapter.output)].name;
        out[AdapterFile::name_a(name)] = adapter.a;
        out[AdapterFile::name_b(name)] = adapter.b;
      }
    }
  }
  return out;
}

std::vector<std::string> DecoderImpl::adapted() const {
  std::vector<std::string> out;
  for (int64_t l = 0; l < config_.layers; ++l) {
    for (const auto& linear : linears(l)) {
      for (const auto& adapter : linear->adapters()) out.push_back(linear->outputs()[size_t(adapter.output)].name);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

void DecoderImpl::load_adapters(const std::filesystem::path& file) {
  const AdapterFile stored = AdapterFile::load(file);
  INTERPLAY_CHECK_DATA(
      stored.base == checksum_,
      "{}: adapters of a base model with checksum {}; this one has {}; take the model they were trained on",
      file.string(), stored.base, checksum_);
  int64_t first_layer = config_.layers;
  for (int64_t l = config_.layers - 1; l >= 0; --l) {
    for (const auto& linear : linears(l))
      for (const auto& output : linear->outputs())
        if (stored.weights.contains(AdapterFile::name_a(output.name))) first_layer = l;
  }
  remove_adapters();
  adapt(stored.options, 0, first_layer);
  size_t used = 0;
  try {
    const at::NoGradGuard off;
    for (int64_t l = 0; l < config_.layers; ++l) {
      for (const auto& linear : linears(l)) {
        for (const auto& adapter : linear->adapters()) {
          const auto& output = linear->outputs()[size_t(adapter.output)].name;
          for (const auto& [name, to] :
               {std::pair{AdapterFile::name_a(output), adapter.a}, std::pair{AdapterFile::name_b(output), adapter.b}}) {
            const auto found = stored.weights.find(name);
            INTERPLAY_CHECK_DATA(found != stored.weights.end(), "{}: has no entry '{}', which its targets ask for",
                                 file.string(), name);
            INTERPLAY_CHECK_DATA(found->second.sizes() == to.sizes() && found->second.scalar_type() == at::kFloat,
                                 "{}: entry '{}' is {} [{}]; expected Float [{}]", file.string(), name,
                                 toString(found->second.scalar_type()), fmt::join(found->second.sizes(), ", "),
                                 fmt::join(to.sizes(), ", "));
            to.copy_(found->second);
            ++used;
          }
        }
      }
    }
    INTERPLAY_CHECK_DATA(used == stored.weights.size(), "{}: {} entries; its targets ask for {}", file.string(),
                         stored.weights.size(), used);
  } catch (...) {
    remove_adapters();
    throw;
  }
}

}  // namespace interplay::lm
