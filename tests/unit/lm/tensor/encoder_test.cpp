#include <interplay/lm/encoder.h>

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/lm/cached_encoder.h>
#include <interplay/lm/decoder_encoder.h>
#include <interplay/nn/dropout.h>

#include "support/error_of.h"
#include "support/stored.h"
#include "support/temp_dir.h"

namespace interplay::lm::encoder_test {
namespace {

namespace fs = std::filesystem;
using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::TempDir;
using ::testing::HasSubstr;

/// What reference/encoder.py made of Hugging Face's BertModel.
struct Reference {
  nn::Safetensors file{testing::reference_file("bert.safetensors")};
  StoredWeights weights{{testing::reference_file("bert.safetensors")}};
  BertOptions options{.vocabulary = 30, .width = 16, .layers = 2, .heads = 2, .hidden = 24, .positions = 12};
  at::Tensor ids = file.at("expected.ids").to(at::kLong), lengths = file.at("expected.lengths").to(at::kLong);
};

/// A folder with that model and a vocabulary of 30 tokens: four special ones, then a to z.
fs::path model_folder(const TempDir& dir) {
  nlohmann::json config{
      {"model_type", "bert"},    {"hidden_act", "gelu"},         {"vocab_size", 30},        {"hidden_size", 16},
      {"num_hidden_layers", 2},  {"num_attention_heads", 2},     {"intermediate_size", 24}, {"type_vocab_size", 2},
      {"layer_norm_eps", 1e-12}, {"max_position_embeddings", 12}};
  nlohmann::json tokenizer{
      {"normalizer", {{"type", "BertNormalizer"}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor", {{"type", "BertProcessing"}, {"cls", {"[CLS]", 1}}, {"sep", {"[SEP]", 2}}}},
      {"model", {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", {}}}}};
  auto& vocabulary = tokenizer["model"]["vocab"];
  for (const char* name : {"[PAD]", "[CLS]", "[SEP]", "[UNK]"}) vocabulary[name] = vocabulary.size();
  for (char letter = 'a'; letter <= 'z'; ++letter) vocabulary[std::string(1, letter)] = vocabulary.size();
  dir.write("config.json", config.dump());
  dir.write("tokenizer.json", tokenizer.dump());
  fs::copy_file(testing::reference_file("bert.safetensors"), dir / "model.safetensors");
  return dir.path();
}

TEST(Bert, HasTheStatesOfTheReference) {
  const at::NoGradGuard no_grad;
  const Reference r;
  Bert bert(r.options);
  bert->load(r.weights);
  const auto inside = (at::arange(9).unsqueeze(0) < r.lengths.unsqueeze(1)).unsqueeze(2);
  testing::expect_near(bert(r.ids, r.lengths) * inside, r.file.at("expected.states"), 1e-5, "states");
  bert->to(at::kBFloat16);
  testing::expect_near(bert(r.ids, r.lengths).to(at::kFloat) * inside, r.file.at("expected.states"), 3e-2, "bf16");
}

TEST(Bert, WhatStandsBehindATextChangesNothing) {
  const at::NoGradGuard no_grad;
  const Reference r;
  Bert bert(r.options);
  bert->load(r.weights);
  const auto alone = bert(r.ids.slice(0, 2, 3).slice(1, 0, 4), r.lengths.slice(0, 2, 3));  // 4 of 9
  testing::expect_near(alone, r.file.at("expected.states").slice(0, 2, 3).slice(1, 0, 4), 1e-5, "a row alone");
}

TEST(Bert, EveryParameterCanBeTrained) {
  const Reference r;
  Bert bert(r.options);
  bert->load(r.weights);
  const auto states = bert(r.ids, r.lengths);
  (states * at::linspace(-1, 1, states.numel()).view(states.sizes())).sum().backward();
  for (const auto& p : bert->named_parameters()) {
    ASSERT_TRUE(p.value().grad().defined()) << p.key();
    EXPECT_GT(p.value().grad().abs().max().item<float>(), 0) << p.key();
  }
}

/// BERT as its paper has it, from the file's own names, with dropout where it says: on the sum of the embeddings, on
/// attention weights, and on what each half of a layer adds.
at::Tensor plain_bert(const Reference& r, double dropout) {
  const auto w = [&](const std::string& name) { return r.file.at(name); };
  const auto linear = [&](const std::string& name, const at::Tensor& x) {
    return at::linear(x, w(name + ".weight"), w(name + ".bias"));
  };
  const auto norm = [&](const std::string& name, const at::Tensor& x) {
    return at::layer_norm(x, {16}, w(name + ".weight"), w(name + ".bias"), 1e-12);
  };
  const auto heads = [](const at::Tensor& x) { return x.view({5, 9, 2, 8}).transpose(1, 2); };
  auto x = w("embeddings.word_embeddings.weight").index_select(0, r.ids.flatten()).view({5, 9, 16}) +
           w("embeddings.position_embeddings.weight").slice(0, 0, 9) + w("embeddings.token_type_embeddings.weight")[0];
  x = nn::dropout(norm("embeddings.LayerNorm", x), dropout, true);
  const auto behind = (at::arange(9).unsqueeze(0) >= r.lengths.unsqueeze(1)).view({5, 1, 1, 9});
  for (const std::string layer : {"encoder.layer.0.", "encoder.layer.1."}) {
    const auto q = heads(linear(layer + "attention.self.query", x)), k = heads(linear(layer + "attention.self.key", x)),
               v = heads(linear(layer + "attention.self.value", x));
    const auto score = (at::matmul(q, k.transpose(2, 3)) / std::sqrt(8.0)).masked_fill(behind, -INFINITY);
    const auto weight = nn::dropout(score.softmax(3), dropout, true);
    const auto seen = at::matmul(weight, v).transpose(1, 2).reshape({5, 9, 16});
    x = norm(layer + "attention.output.LayerNorm",
             x + nn::dropout(linear(layer + "attention.output.dense", seen), dropout, true));
    const auto added = linear(layer + "output.dense", at::gelu(linear(layer + "intermediate.dense", x)));
    x = norm(layer + "output.LayerNorm", x + nn::dropout(added, dropout, true));
  }
  return x;
}

TEST(Bert, DropsWhereThePaperDoesAndOnlyWhileItLearns) {
  const at::NoGradGuard no_grad;
  const Reference r;
  const auto inside = (at::arange(9).unsqueeze(0) < r.lengths.unsqueeze(1)).unsqueeze(2);
  testing::expect_near(plain_bert(r, 0) * inside, r.file.at("expected.states"), 1e-5, "the formula");
  BertOptions options = r.options;
  options.dropout = 0.3;
  Bert bert(options);
  bert->load(r.weights);
  at::manual_seed(4);
  const auto expected = plain_bert(r, 0.3);
  at::manual_seed(4);
  testing::expect_near(bert(r.ids, r.lengths) * inside, expected * inside, 1e-5, "while it learns");
  EXPECT_FALSE(at::allclose(bert(r.ids, r.lengths), expected, 1e-2, 1e-2));  // drawn anew
  bert->eval();
  testing::expect_near(bert(r.ids, r.lengths) * inside, r.file.at("expected.states"), 1e-5, "afterwards");
}

TEST(Bert, OfFewerLayersIsTheFirstOnes) {
  const at::NoGradGuard no_grad;
  const Reference r;
  BertOptions first = r.options;
  first.layers = 1;
  Bert bert(first), whole(r.options);
  bert->load(r.weights), whole->load(r.weights);
  const auto of_whole = whole->named_parameters();
  for (const auto& p : bert->named_parameters()) EXPECT_TRUE(at::equal(p.value(), of_whole[p.key()])) << p.key();
  EXPECT_LT(bert->parameters().size(), whole->parameters().size());
}

TEST(Bert, TensorsThatDoNotFitAreRefused) {
  const Reference r;
  BertOptions wider = r.options, deeper = r.options;
  wider.hidden = 25;
  deeper.layers = 3;
  EXPECT_THAT(
      data_error([&] { Bert(wider)->load(r.weights); }),
      HasSubstr(
          "bert.safetensors: tensor 'encoder.layer.0.intermediate.dense.weight' is Float [24, 16]; config.json makes "
          "it floating-point [25, 16]"));
  EXPECT_THAT(data_error([&] { Bert(deeper)->load(r.weights); }), HasSubstr("encoder.layer.2."));
}

TEST(SentenceEncoder, VectorsAreTheMeanOfATextsStates) {
  const TempDir dir;
  const Reference r;
  SentenceEncoder encoder(model_folder(dir), {.batch_tokens = 8});
  EXPECT_EQ(encoder.ids_of("a b z"), (std::vector<int64_t>{1, 4, 5, 29, 2}));
  const std::vector<std::string> texts{"a", "", "a b c d e f g", "h i j k", "z", "a b c d e f g h i j k l m n o p"};
  const auto vectors = encoder.encode(texts);
  ASSERT_EQ(vectors.sizes(), (at::IntArrayRef{6, 16}));
  Bert bert(r.options);
  bert->load(r.weights);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids = encoder.ids_of(texts[i]);
    const auto states = bert(at::tensor(ids).unsqueeze(0), at::tensor({int64_t(ids.size())}))[0];
    const auto mean = states.mean(0);
    testing::expect_near(vectors[int64_t(i)], mean / mean.norm(), 1e-6, texts[i]);
  }
  EXPECT_EQ(encoder.ids_of(texts[5]).size(), 12u);  // cut to the model's positions, [SEP] kept
  EXPECT_EQ(encoder.ids_of(texts[5]).back(), 2);
  EXPECT_EQ(encoder.encode({}).sizes(), (at::IntArrayRef{0, 16}));
}

TEST(SentenceEncoder, TheFolderSaysHowLongATextMayBe) {
  const TempDir dir;
  const auto folder = model_folder(dir);
  EXPECT_EQ(SentenceEncoder(folder).max_length(), 12);
  dir.write("sentence_bert_config.json", R"({"max_seq_length": 5})");
  EXPECT_EQ(SentenceEncoder(folder).max_length(), 5);
  EXPECT_EQ(SentenceEncoder(folder, {.max_length = 7}).max_length(), 7);
  EXPECT_THAT(config_error([&] { SentenceEncoder(folder, {.max_length = 13}); }),
              HasSubstr("3 (a token and its frame) to 12"));
  EXPECT_NE(SentenceEncoder(folder).identity(), SentenceEncoder(folder, {.max_length = 7}).identity());
}

TEST(SentenceEncoder, FoldersThatAreNoneAreRefused) {
  const TempDir dir;
  const auto folder = model_folder(dir);
  const auto refused = [&] { return data_error([&] { SentenceEncoder{folder}; }); };
  const auto spoil = [&](const char* key, const nlohmann::json& value) {
    auto config = nlohmann::json::parse(read_file(folder / "config.json"));
    const std::string before = config.dump();
    config[key] = value;
    dir.write("config.json", config.dump());
    const std::string what = refused();
    dir.write("config.json", before);
    return what;
  };
  EXPECT_THAT(spoil("model_type", "gpt2"), HasSubstr("config.json: model_type is \"gpt2\""));
  EXPECT_THAT(spoil("hidden_act", "relu"), HasSubstr("hidden_act is \"relu\"; expected \"gelu\""));
  EXPECT_THAT(spoil("position_embedding_type", "relative_key"), HasSubstr("position_embedding_type"));
  EXPECT_THAT(spoil("num_attention_heads", 3), HasSubstr("hidden_size 16 is no multiple of num_attention_heads 3"));
  EXPECT_THAT(spoil("hidden_size", -1), HasSubstr("hidden_size is -1"));
  EXPECT_THAT(spoil("hidden_size", "x"), HasSubstr("is no config.json of a BERT"));
  EXPECT_THAT(spoil("num_hidden_layers", 1 << 24), HasSubstr("encoder.layer.16777215."));  // not built first
  EXPECT_THAT(spoil("intermediate_size", 1 << 24), HasSubstr("config.json makes it floating-point [16777216, 16]"));
  EXPECT_THAT(spoil("vocab_size", 29), HasSubstr("they belong to two models"));
  EXPECT_THAT(spoil("vocab_size", 31), HasSubstr("tensor 'embeddings.word_embeddings.weight' is Float [30, 16]"));
  dir.write("config.json", "{");
  EXPECT_THAT(refused(), HasSubstr("config.json: is no config.json of a BERT"));
  fs::remove(folder / "config.json");
  EXPECT_THAT(refused(), HasSubstr("has no config.json"));
  EXPECT_THAT(data_error([&] { SentenceEncoder{folder / "tokenizer.json"}; }), HasSubstr("is a file"));
}

TEST(SentenceEncoder, NamesTheTextThatIsNotUtf8) {
  const TempDir dir;
  SentenceEncoder encoder(model_folder(dir));
  EXPECT_THAT(data_error([&] {
                encoder.encode(std::vector<std::string>{"a", "\xff"});
              }),
              HasSubstr("text 2: the text is not UTF-8 from its byte 0"));
}

TEST(DecoderEncoder, VectorsAreTheMeanOfATextsStates) {
  const fs::path model = testing::reference_file("llama_tied.gguf");
  DecoderEncoder encoder(model, {.batch_tokens = 6});
  Decoder decoder = load_decoder(model, nn::Precision::fp32);
  const auto tokenizer = Tokenizer::load(model);
  std::string letters;  // of tokens that the tiny vocabulary has
  for (int64_t id = 0; id < tokenizer->size() && letters.size() < 8; ++id) {
    if (!tokenizer->is_control(id) && tokenizer->encode(tokenizer->token(id)).size() == 1)
      letters += tokenizer->token(id);
  }
  const std::string some = letters.substr(0, 3), other = letters.substr(4);
  for (const auto& texts : {std::vector<std::string>{some + other, some + some + some, some + letters},  // share a part
                            std::vector<std::string>{other, some, letters + letters + letters, some}}) {
    const auto vectors = encoder.encode(texts);
    for (size_t i = 0; i < texts.size(); ++i) {
      const at::NoGradGuard no_grad;
      const auto states = decoder->forward(TokenBatch::of({encoder.ids_of(texts[i])}));
      testing::expect_near(vectors[int64_t(i)], states.mean(0), 1e-5, texts[i]);
    }
  }
  EXPECT_EQ(encoder.encode({}).sizes(), (at::IntArrayRef{0, encoder.width()}));
  EXPECT_THAT(data_error([&] {
                encoder.encode(std::vector<std::string>{some, ""});
              }),
              HasSubstr("text 2: the text has no tokens"));
}

TEST(LoadEncoder, TakesWhatTheModelIs) {
  const TempDir dir;
  EXPECT_NE(dynamic_cast<SentenceEncoder*>(load_encoder(model_folder(dir)).get()), nullptr);
  for (const char* model : {"llama_tied.gguf", "llama_untied.gguf"})
    EXPECT_NE(dynamic_cast<DecoderEncoder*>(load_encoder(testing::reference_file(model)).get()), nullptr);
  EXPECT_THAT(config_error([&] { load_encoder(dir.path(), {.chat = true}); }), HasSubstr("is no chat model"));
}

TEST(CachedEncoder, EncodesEachTextOnce) {
  const TempDir dir, cache;
  SentenceEncoder encoder(model_folder(dir));
  const std::vector<std::string> texts{"a", "b c", "a", "d e f"};
  const auto expected = encoder.encode(texts);
  {
    CachedEncoder cached(encoder, cache.path());
    testing::expect_near(cached.encode(texts), expected, 1e-6, "first");
    EXPECT_EQ(cached.encoded(), 3);
    cached.encode(texts);
    EXPECT_EQ(cached.encoded(), 3);
  }
  CachedEncoder again(encoder, cache.path());
  const std::vector<std::string> more{"d e f", "g"};
  testing::expect_near(again.encode(more), encoder.encode(more), 1e-6, "again");
  EXPECT_EQ(again.encoded(), 1);
}

TEST(CachedEncoder, OtherSettingsAreAnotherModel) {
  const TempDir dir, cache;
  const auto folder = model_folder(dir);
  SentenceEncoder one(folder), other(folder, {.max_length = 4});
  const std::vector<std::string> texts{"a b c d e f"};
  CachedEncoder(one, cache.path()).encode(texts);
  CachedEncoder cached(other, cache.path());
  testing::expect_near(cached.encode(texts), other.encode(texts), 1e-6, "cut to 4 tokens");
  EXPECT_EQ(cached.encoded(), 1);
}

}  // namespace
}  // namespace interplay::lm::encoder_test
