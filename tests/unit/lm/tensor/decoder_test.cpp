#include <interplay/lm/decoder.h>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/nn/plain_scope.h>

#include "lm/tensor/attention.h"
#include "lm/tensor/rms_norm.h"
#include "lm/tensor/swiglu.h"
#include "support/error_of.h"
#include "support/gguf_writer.h"
#include "support/stored.h"
#include "support/temp_dir.h"

namespace interplay::lm::decoder_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::expect_near;
using interplay::testing::GgufWriter;
using interplay::testing::reference_file;
using interplay::testing::Stored;
using interplay::testing::TempDir;
using ::testing::HasSubstr;

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::TensorOptions().dtype(at::kFloat));
}

// ---- the parts of a layer, against their ATen twins

/// The gradients of sum(f(x) * flow) by the fused path and by the plain one, which LibTorch differentiates.
void expect_twins(const std::vector<at::Tensor>& inputs, const std::function<at::Tensor()>& f, double tolerance) {
  const auto gradients = [&] {
    for (const auto& x : inputs) x.mutable_grad() = at::Tensor();
    const auto y = f();
    (y.to(at::kFloat) * noise(y.sizes(), 99)).sum().backward();
    std::vector<at::Tensor> out{y.detach()};
    for (const auto& x : inputs) out.push_back(x.grad().clone());
    return out;
  };
  const auto fused = gradients();
  const nn::PlainScope plain;
  const auto expected = gradients();
  for (size_t i = 0; i < fused.size(); ++i) expect_near(fused[i], expected[i], tolerance, fmt::format("tensor {}", i));
}

TEST(LlamaLayers, AddAndNormIsItsTwin) {
  for (const int64_t width : {48, 21}) {
    const auto h = noise({5, width}, 1).set_requires_grad(true), a = noise({5, width}, 2).set_requires_grad(true);
    const auto w = noise({width}, 3);
    const auto both = [&](const at::Tensor& more, at::ScalarType type) {
      const auto [sum, norm] = add_rms_norm(h, more, w, 1e-3, type);
      return at::cat({sum, norm.to(at::kFloat)}, 1);
    };
    expect_twins(
        {h, a}, [&] { return both(a, at::kFloat); }, 1e-6);
    expect_twins(
        {h}, [&] { return both({}, at::kFloat); }, 1e-6);
    // bf16 has 8 bits: two paths may round a number to either neighbour
    const auto rounded = a.detach().to(at::kBFloat16).set_requires_grad(true);
    expect_twins(
        {h, rounded}, [&] { return both(rounded, at::kBFloat16); }, 0x1p-7);
  }
}

TEST(LlamaLayers, SwigluIsItsTwin) {
  for (const int64_t width : {32, 7}) {
    const auto x = (noise({6, 2 * width}, 1) * 10).set_requires_grad(true);
    expect_twins(
        {x}, [&] { return swiglu(x); }, 1e-6);
    const auto half = x.detach().to(at::kBFloat16).set_requires_grad(true);
    expect_twins(
        {half}, [&] { return swiglu(half); }, 0x1p-6);
  }
}

TEST(LlamaLayers, SwigluHoldsAtTheEnds) {
  const auto y = swiglu(at::cat({at::full({1, 16}, -200.f), at::full({1, 16}, 1.f)}, 1));
  EXPECT_NEAR(y.abs().max().item<double>(), 0, 1e-30);
  EXPECT_EQ(swiglu(at::cat({at::full({1, 16}, 200.f), at::full({1, 16}, 1.f)}, 1)).min().item<float>(), 200);
}

AttentionCall attention_call(int64_t head_dim) {
  AttentionCall call;
  call.heads = 6, call.kv_heads = 2, call.head_dim = head_dim;
  call.offsets = {0, 150, 151, 190}, call.past = {0, 0, 0};  // several blocks of queries, one row, one block
  std::tie(call.cosines, call.sines) = rotary_table(200, head_dim, 10000);
  return call;
}

TEST(LlamaLayers, AttentionIsItsTwin) {
  for (const int64_t head_dim : {32, 6}) {
    for (const bool causal : {true, false}) {
      AttentionCall call = attention_call(head_dim);
      call.causal = causal;
      const auto qkv = noise({190, 10 * head_dim}, 1).set_requires_grad(true);
      expect_twins(
          {qkv}, [&] { return attention(qkv, call); }, 3e-6);
      const auto half = qkv.detach().to(at::kBFloat16).set_requires_grad(true);
      expect_twins(
          {half}, [&] { return attention(half, call); }, 0x1p-7);
    }
  }
}

TEST(LlamaLayers, AttentionToThePastIsItsTwin) {
  AttentionCall call = attention_call(8);
  call.past = {3, 0, 5};
  call.memory = {noise({2, 2, 4, 8}, 2), noise({2, 2, 1, 8}, 3), noise({2, 2, 9, 8}, 4)};
  const auto qkv = noise({190, 80}, 1).set_requires_grad(true);
  expect_twins(
      {qkv}, [&] { return attention(qkv, call); }, 3e-6);
}

// ---- whole decoders, against transformers

struct Model {
  std::string name, file;
};
std::vector<Model> tiny_models() {
  return {
      {"tied", "llama_tied"}, {"tied", "llama_tied.gguf"}, {"untied", "llama_untied"}, {"untied", "llama_untied.gguf"}};
}

Decoder open(const std::string& file, nn::Precision precision = nn::Precision::fp32) {
  return load_decoder(reference_file(file), precision);
}

TokenBatch batch_of(Stored& stored) {
  TokenBatch batch;
  batch.ids = stored.at("ids").to(at::kLong);
  const auto offsets = stored.at("offsets").to(at::kLong);
  batch.offsets.assign(offsets.const_data_ptr<int64_t>(), offsets.const_data_ptr<int64_t>() + offsets.numel());
  return batch;
}

TEST(Decoder, IsTransformersFromEitherFile) {
  for (const auto& model : tiny_models()) {
    Stored stored("llama.safetensors", model.name);
    const at::NoGradGuard off;
    auto decoder = open(model.file);
    const auto batch = batch_of(stored);
    const auto hidden = decoder->forward(batch);
    expect_near(hidden, stored.at("hidden"), 1e-5, model.file + ": hidden");
    expect_near(decoder->logits(hidden), stored.at("logits"), 1e-5, model.file + ": logits");
    expect_near(decoder->logits(decoder->forward(batch, {.causal = false})), stored.at("logits_bidirectional"), 1e-5,
                model.file + ": bidirectional");
  }
}

TEST(Decoder, Bfloat16IsNearTransformers) {
  Stored stored("llama.safetensors", "untied");
  const at::NoGradGuard off;
  auto decoder = open("llama_untied", nn::Precision::bf16);
  const auto logits = decoder->logits(decoder->forward(batch_of(stored)));
  EXPECT_EQ(decoder->type(), at::kBFloat16);
  // 2 layers, each of whose products rounds its factors to 8 bits; the logits' own spread is 2
  EXPECT_LT((logits - stored.at("logits")).abs().mean().item<double>(), 0.02);
}

/// The stored adapters, through a file as `interplay` writes it.
void load_stored_adapters(Decoder& decoder, Stored& stored, bool all) {
  AdapterFile file;
  file.options.rank = 2, file.options.alpha = 6, file.base = decoder->checksum();
  if (all) file.options.targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  for (const auto& name : stored.names("adapter.")) file.weights[name] = stored.at("adapter." + name);
  const TempDir dir;
  file.save(dir / "adapter.safetensors");
  decoder->load_adapters(dir / "adapter.safetensors");
}

TEST(Decoder, AdaptersAndTheirGradientsArePeftsWithAndWithoutCheckpoints) {
  for (const auto& model : tiny_models()) {
    for (const bool checkpoint : {false, true}) {
      Stored stored("llama.safetensors", model.name);
      auto decoder = open(model.file);
      load_stored_adapters(decoder, stored, model.name == "untied");
      auto batch = batch_of(stored);
      batch.embeddings = decoder->embed(batch.ids).set_requires_grad(true);
      const auto logits = decoder->logits(decoder->forward(batch, {.checkpoint = checkpoint}));
      expect_near(logits, stored.at("adapted"), 1e-5, model.file + ": adapted");
      (logits * stored.at("out_grad")).sum().backward();
      const auto weights = decoder->adapter_weights();
      EXPECT_EQ(weights.size(), stored.names("gradient.").size());
      for (const auto& [name, w] : weights) expect_near(w.grad(), stored.at("gradient." + name), 1e-5, name);
      expect_near(batch.embeddings.grad(), stored.at("d_embeddings"), 1e-5, model.file + ": d_embeddings");
    }
  }
}

TEST(Decoder, MergedAdaptersAreUnmergedOnes) {
  const at::NoGradGuard off;
  for (const auto& model : tiny_models()) {
    Stored stored("llama.safetensors", model.name);
    auto decoder = open(model.file);
    load_stored_adapters(decoder, stored, model.name == "untied");
    decoder->merge_adapters();
    EXPECT_TRUE(decoder->parameters().empty());
    expect_near(decoder->logits(decoder->forward(batch_of(stored))), stored.at("adapted"), 1e-5, model.file);
  }
}

TEST(Decoder, FreshAdaptersChangeNoBit) {
  const at::NoGradGuard off;
  for (const auto precision : {nn::Precision::fp32, nn::Precision::bf16}) {
    Stored stored("llama.safetensors", "tied");
    auto decoder = open("llama_tied.gguf", precision);
    const auto before = decoder->forward(batch_of(stored));
    decoder->adapt({}, 1);
    EXPECT_EQ(decoder->parameters().size(), 8u);
    EXPECT_TRUE(at::equal(decoder->forward(batch_of(stored)), before));
  }
}

TEST(Decoder, CheckpointsDropTheSameInputs) {
  Stored stored("llama.safetensors", "tied");
  auto decoder = open("llama_tied");
  decoder->adapt({.rank = 2, .dropout = 0.5, .targets = {"q_proj", "o_proj", "down_proj"}}, 1);
  {
    const at::NoGradGuard off;
    for (const auto& [name, w] : decoder->adapter_weights()) w.copy_(noise(w.sizes(), name.size()));
  }
  decoder->train();
  std::vector<std::map<std::string, at::Tensor>> gradients;
  for (const bool checkpoint : {false, true}) {
    decoder->zero_grad();
    at::manual_seed(5);
    decoder->forward(batch_of(stored), {.checkpoint = checkpoint}).square().sum().backward();
    gradients.emplace_back();
    for (const auto& [name, w] : decoder->adapter_weights()) gradients.back()[name] = w.grad().clone();
  }
  for (const auto& [name, g] : gradients[0]) {
    EXPECT_GT(g.abs().max().item<double>(), 0);
    expect_near(gradients[1][name], g, 1e-6, name);
  }
}

// Cores and experts by sample reach every projection, and gradients reach them, without the decoder knowing of them:
// central differences of step 1/64, whose error is of the order of 1/64^2.
TEST(Decoder, CoresAndExpertsHaveGradientsWithAndWithoutCheckpoints) {
  Stored stored("llama.safetensors", "tied");
  auto decoder = open("llama_tied");
  decoder->adapt({.rank = 2, .experts = 3}, 1);
  {
    const at::NoGradGuard off;
    for (const auto& [name, w] : decoder->adapter_weights()) w.copy_(noise(w.sizes(), name.size()) * 0.1);
  }
  const auto core = noise({2, 2, 2}, 1).set_requires_grad(true), experts = noise({2, 3}, 2).set_requires_grad(true);
  const auto flow = noise({14, 16}, 3);
  const auto loss = [&](bool checkpoint) {
    AdapterCall call;
    call.mixes["layers.0.self_attn.v_proj"] = {core, experts};
    call.mixes["layers.1.self_attn.q_proj"] = {{}, experts};
    return (decoder->forward(batch_of(stored), {.checkpoint = checkpoint, .adapters = &call}) * flow).sum();
  };
  for (const bool checkpoint : {false, true}) {
    for (const auto& t : {core, experts}) {
      t.mutable_grad() = at::Tensor();
      loss(checkpoint).backward();
      auto expected = at::empty_like(t);
      const at::NoGradGuard off;
      auto flat = t.view({-1});
      for (int64_t i = 0; i < t.numel(); ++i) {
        const float before = flat[i].item<float>();
        flat[i] = before + 1.f / 64;
        const double high = loss(false).item<double>();
        flat[i] = before - 1.f / 64;
        const double low = loss(false).item<double>();
        flat[i] = before;
        expected.view({-1})[i] = (high - low) * 32;
      }
      EXPECT_GT(expected.abs().max().item<double>(), 0.1);
      expect_near(t.grad(), expected.detach(), 3e-3, checkpoint ? "with checkpoints" : "without");
    }
  }
}

TEST(Decoder, PaddedIsPacked) {
  const at::NoGradGuard off;
  Stored stored("llama.safetensors", "tied");
  auto decoder = open("llama_tied");
  const auto ids = stored.at("ids").to(at::kLong);
  auto padded = at::full({2, 9}, 3, at::kLong), mask = at::zeros({2, 9}, at::kBool);
  padded[0].copy_(ids.narrow(0, 0, 9)), mask[0].fill_(true);
  padded[1].narrow(0, 4, 5).copy_(ids.narrow(0, 9, 5)), mask[1].narrow(0, 4, 5).fill_(true);  // on the left
  const auto batch = TokenBatch::from_padded(padded, mask);
  EXPECT_EQ(batch.offsets, (std::vector<int64_t>{0, 9, 14}));
  expect_near(decoder->logits(decoder->forward(batch)), stored.at("logits"), 1e-5, "logits");
}

TEST(Decoder, RowsAndTokensAskedForAreThoseOfAll) {
  const at::NoGradGuard off;
  Stored stored("llama.safetensors", "untied");
  auto decoder = open("llama_untied");
  const auto batch = batch_of(stored);
  const auto rows = batch.last_rows();
  EXPECT_TRUE(at::equal(rows, at::tensor({8, 13}, at::kLong)));
  EXPECT_TRUE(at::equal(batch.sample(), at::cat({at::zeros({9}, at::kLong), at::ones({5}, at::kLong)})));
  const auto hidden = decoder->forward(batch, {.rows = rows});
  const auto tokens = at::tensor({31, 4}, at::kLong);
  expect_near(decoder->logits(hidden), stored.at("logits").index_select(0, rows), 1e-5, "rows");
  expect_near(decoder->logits(hidden, tokens), stored.at("logits").index_select(0, rows).index_select(1, tokens), 1e-5,
              "tokens");
}

TEST(Decoder, ASharedPrefixIsReadOnce) {
  const at::NoGradGuard off;
  auto decoder = open("llama_tied");
  const std::vector<int64_t> a{5, 6, 7, 8, 9}, b{5, 6, 7, 1}, c{5, 6, 7, 30, 31, 2};
  const auto whole = TokenBatch::of({a, b, c});
  const auto expected = decoder->forward(whole, {.rows = whole.last_rows()});
  KvCache prefix;
  decoder->extend(prefix, TokenBatch::of({{5, 6, 7}}));
  EXPECT_EQ(prefix.length(0), 3);
  const auto rest = TokenBatch::of({{8, 9}, {1}, {30, 31, 2}});
  expect_near(decoder->forward(rest, {.past = &prefix, .rows = rest.last_rows()}), expected, 1e-5, "forward");
  KvCache forks = prefix.fork(3);
  expect_near(decoder->extend(forks, rest, rest.last_rows()), expected, 1e-5, "extend");
  EXPECT_EQ(forks.length(2), 6);
  EXPECT_EQ(prefix.length(0), 3);
}

TEST(Decoder, TokenByTokenIsAllAtOnce) {
  const at::NoGradGuard off;
  Stored stored("llama.safetensors", "untied");
  auto decoder = open("llama_untied.gguf");
  const auto ids = stored.at("ids").to(at::kLong);
  KvCache cache(2);
  for (int64_t t = 0; t < 5; ++t) {
    const auto step = TokenBatch::of({{ids[t].item<int64_t>()}, {ids[9 + t].item<int64_t>()}});
    const KvCache before = t == 3 ? cache : KvCache();  // a copy keeps what it had
    const auto logits = decoder->logits(decoder->extend(cache, step));
    expect_near(logits[0], stored.at("logits")[t], 1e-5, "first");
    expect_near(logits[1], stored.at("logits")[9 + t], 1e-5, "second");
    if (t == 3) {
      KvCache again = before;
      expect_near(decoder->logits(decoder->extend(again, step)), logits, 1e-6, "again");
    }
  }
}

TEST(Decoder, AdaptersAreRefusedWhereTheyDoNotBelong) {
  const TempDir dir;
  auto tied = open("llama_tied.gguf"), other = open("llama_untied.gguf");
  tied->adapt({.rank = 2}, 1);
  tied->save_adapters(dir / "a.safetensors");
  EXPECT_THAT(data_error([&] { other->load_adapters(dir / "a.safetensors"); }), HasSubstr("adapters of a base model"));
  AdapterFile file = AdapterFile::load(dir / "a.safetensors");
  const auto name = AdapterFile::name_a("layers.1.self_attn.v_proj");
  file.weights[name] = at::zeros({3, 16});
  file.save(dir / "b.safetensors");
  EXPECT_THAT(data_error([&] { tied->load_adapters(dir / "b.safetensors"); }),
              AllOf(HasSubstr(name), HasSubstr("[3, 16]"), HasSubstr("[2, 16]")));
  file.weights.erase(name);
  file.save(dir / "c.safetensors");
  EXPECT_THAT(data_error([&] { tied->load_adapters(dir / "c.safetensors"); }), HasSubstr("has no entry '" + name));
  file = AdapterFile::load(dir / "a.safetensors");
  file.weights["more"] = at::zeros({1});
  file.save(dir / "d.safetensors");
  EXPECT_THAT(data_error([&] { tied->load_adapters(dir / "d.safetensors"); }), HasSubstr("9 entries"));
}

TEST(Decoder, SavedAdaptersComeBack) {
  const TempDir dir;
  const at::NoGradGuard off;
  Stored stored("llama.safetensors", "tied");
  auto decoder = open("llama_tied");
  decoder->adapt({.rank = 4, .experts = 2, .targets = {"gate_proj", "o_proj"}}, 1, 1);  // the second layer only
  EXPECT_EQ(decoder->adapter_weights().size(), 4u);
  for (const auto& [name, w] : decoder->adapter_weights()) w.copy_(noise(w.sizes(), name.size()));
  const auto expected = decoder->forward(batch_of(stored));
  decoder->save_adapters(dir / "a.safetensors");
  auto again = open("llama_tied");
  again->load_adapters(dir / "a.safetensors");
  EXPECT_TRUE(at::equal(again->forward(batch_of(stored)), expected));
}

TEST(Decoder, BadBatchesAreNamed) {
  auto decoder = open("llama_tied");
  EXPECT_THAT(config_error([&] { decoder->forward(TokenBatch::of({{1, 32}})); }), HasSubstr("the model has 32 tokens"));
  EXPECT_THAT(config_error([&] { decoder->forward(TokenBatch::of({{-1}})); }), HasSubstr("from -1"));
  EXPECT_THAT(config_error([&] { TokenBatch::of({{1}, {}}); }), HasSubstr("sequence 1 of 2 has no tokens"));
  EXPECT_THAT(config_error([&] { decoder->forward(TokenBatch::of({std::vector<int64_t>(65, 1)})); }),
              HasSubstr("a sequence of 65 tokens; the model was made for 64"));
  KvCache two(2);
  EXPECT_THAT(config_error([&] { decoder->extend(two, TokenBatch::of({{1}})); }), HasSubstr("a cache of 2"));
}

// ---- files

TEST(LoadDecoder, OtherModelsAreRefusedByName) {
  const TempDir dir;
  const auto gguf = [&](const std::function<void(GgufWriter&)>& edit) {
    GgufWriter w;
    edit(w);
    return data_error([&, file = dir.write("m.gguf", w.bytes())] { load_decoder(file, nn::Precision::fp32); });
  };
  EXPECT_THAT(gguf([](auto& w) { w.string("general.architecture", "qwen2"); }), HasSubstr("architecture 'qwen2'"));
  const auto sizes = [](GgufWriter& w, uint32_t heads, uint32_t kv_heads) {
    w.string("general.architecture", "llama").integer("llama.block_count", 1).integer("llama.embedding_length", 4);
    w.integer("llama.attention.head_count", heads).integer("llama.attention.head_count_kv", kv_heads);
    w.integer("llama.feed_forward_length", 4).integer("llama.context_length", 8);
    w.number("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    w.tensor("token_embd.weight", {4, 2}, 0, std::string(32, '\0'));
  };
  EXPECT_THAT(gguf([&](auto& w) { sizes(w, 0, 1); }), HasSubstr("head_count is 0"));
  EXPECT_THAT(gguf([&](auto& w) { sizes(w, 2, 0); }), HasSubstr("key-value heads is 0"));
  EXPECT_THAT(gguf([&](auto& w) { sizes(w, 4, 3); }), HasSubstr("4 heads share 3"));
  EXPECT_THAT(gguf([&](auto& w) { sizes(w, 2, 1), w.string("llama.rope.scaling.type", "yarn"); }),
              HasSubstr("scaled rotary positions"));
  EXPECT_THAT(gguf([&](auto& w) { sizes(w, 2, 1), w.tensor("blk.0.attn_q.bias", {1}, 0, std::string(4, '\0')); }),
              HasSubstr("'blk.0.attn_q.bias': biases"));
  EXPECT_THAT(gguf([&](auto& w) { sizes(w, 2, 1); }), HasSubstr("has no tensor 'blk.0.attn_norm.weight'"));
  EXPECT_THAT(gguf([&](auto& w) { sizes(w, 2, 1), w.tensor("blk.0.attn_norm.weight", {3}, 0, std::string(12, '\0')); }),
              AllOf(HasSubstr("'blk.0.attn_norm.weight' has shape [3]"), HasSubstr("[4]")));
}

TEST(LoadDecoder, WeightsMayLieInSeveralFiles) {
  const TempDir dir;
  const nn::Safetensors whole(reference_file("llama_untied/model.safetensors"));
  std::map<std::string, at::Tensor> parts[2];
  nlohmann::json index;
  for (const auto& [name, tensor] : whole.tensors()) {
    const size_t part = index["weight_map"].size() % 2;
    parts[part].emplace(name, tensor);
    index["weight_map"][name] = fmt::format("model-{}.safetensors", part);
  }
  for (const size_t part : {0, 1}) nn::save_safetensors(dir / fmt::format("model-{}.safetensors", part), parts[part]);
  dir.write("model.safetensors.index.json", index.dump());
  dir.write("config.json", read_file(reference_file("llama_untied/config.json")));
  Stored stored("llama.safetensors", "untied");
  const at::NoGradGuard off;
  auto decoder = load_decoder(dir.path(), nn::Precision::fp32);
  expect_near(decoder->forward(batch_of(stored)), stored.at("hidden"), 1e-5, "hidden");
}

TEST(LoadDecoder, FoldersOfOtherModelsAreRefusedByName) {
  const TempDir dir;
  std::filesystem::copy(reference_file("llama_tied/model.safetensors"), dir / "model.safetensors");
  const auto config = read_file(reference_file("llama_tied/config.json"));
  const auto with = [&](const std::string& key, const nlohmann::json& value) {
    auto json = nlohmann::json::parse(config);
    json[key] = value;
    dir.write("config.json", json.dump());
    return data_error([&] { load_decoder(dir.path(), nn::Precision::fp32); });
  };
  EXPECT_THAT(with("model_type", "qwen2"), HasSubstr("model_type 'qwen2'"));
  EXPECT_THAT(with("hidden_act", "gelu"), HasSubstr("hidden_act 'gelu'"));
  EXPECT_THAT(with("attention_bias", true), HasSubstr("attention_bias"));
  EXPECT_THAT(with("rope_parameters", {{"rope_type", "yarn"}}), HasSubstr("type 'yarn'"));
  EXPECT_THAT(with("num_attention_heads", 0), HasSubstr("num_attention_heads is 0"));
  EXPECT_THAT(with("num_hidden_layers", "two"), HasSubstr("config.json"));
  EXPECT_THAT(with("hidden_size", 8), AllOf(HasSubstr("'model.embed_tokens.weight'"), HasSubstr("[32, 8]")));
}

}  // namespace
}  // namespace interplay::lm::decoder_test
