// Model `rellax` on a tiny random language model and CTR runs made here.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>

#include <interplay/base/files.h>
#include <interplay/base/random.h>
#include <interplay/core/bundle.h>
#include <interplay/core/frozen_run.h>
#include <interplay/core/represents.h>
#include <interplay/optim/optimizer.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::rellax_model_test {
namespace {

namespace fs = std::filesystem;
using testing::config_error;
using testing::data_error;
using ::testing::HasSubstr;

const std::string kModel = (fs::path(INTERPLAY_TESTS_DIR) / "reference/data/tiny_chat.gguf").string();
constexpr int64_t kVocabulary = 266, kUsers = 60, kItems = 400, kRatings = 7, kEvents = 3;

Field field(const std::string& name, FieldKind kind, int64_t rows, const std::string& table = "") {
  Field f;
  f.name = name, f.kind = kind, f.rows = rows;
  if (kind != FieldKind::text) f.table = table.empty() ? name : table;
  if (kind == FieldKind::text) f.dimension = 1 + kEvents;
  return f;
}

Field events(const std::string& name, const std::string& table, int64_t rows, const std::string& paired_with) {
  Field f = field(name, FieldKind::sequence, rows, table);
  (paired_with.empty() ? f.target : f.paired_with) = paired_with.empty() ? "item" : paired_with;
  return f;
}

/// A user, an item, the history of a CTR model; a prompt with the events that it tells of.
Schema rows_schema() {
  return Schema({field("user", FieldKind::categorical, kUsers), field("item", FieldKind::categorical, kItems),
                 events("h", "item", kItems, ""), events("h_stars", "stars", kRatings, "h"),
                 field("prompt", FieldKind::text, kVocabulary + 1 + kEvents),
                 events("prompt_items", "item", kItems, ""), events("prompt_stars", "stars", kRatings, "prompt_items")},
                {"label"});
}
Schema ctr_schema() { return rows_schema().keep({"user", "item", "h", "h_stars"}); }

/// Rows whose prompts are noise: words, three events with their vectors' places, the target's.
Features rows(int64_t count, uint64_t seed, int64_t first_item = 1, int64_t items = kItems - 2) {
  Features x;
  x.rows = count;
  uint64_t place = 0;
  const auto draw = [&](int64_t below) { return int64_t(random_bits(seed, 1, place++) % uint64_t(below)); };
  std::vector<int32_t> ids, told, stars, tokens;
  std::vector<int64_t> ends{0}, token_ends{0};
  for (int64_t b = 0; b < count; ++b) {
    ids.push_back(int32_t(1 + draw(kUsers - 2)));
    ids.push_back(int32_t(first_item + draw(items)));
    for (int64_t e = 1; e <= kEvents; ++e) {
      told.push_back(int32_t(1 + draw(kItems - 2))), stars.push_back(int32_t(1 + draw(kRatings - 2)));
      tokens.push_back(int32_t(3 + draw(250))), tokens.push_back(int32_t(kVocabulary + e));
    }
    tokens.push_back(int32_t(3 + draw(250))), tokens.push_back(int32_t(kVocabulary)), tokens.push_back(1);
    ends.push_back(int64_t(told.size())), token_ends.push_back(int64_t(tokens.size()));
  }
  x.ids = at::tensor(ids, at::kInt).view({count, 2});
  const auto offsets = at::tensor(ends, at::kLong);
  const Sequence items_of{at::tensor(told, at::kInt), offsets, {}}, stars_of{at::tensor(stars, at::kInt), offsets, {}};
  x.sequences = {items_of, stars_of, items_of, stars_of};
  x.tokens = {{at::tensor(tokens, at::kInt), at::tensor(token_ends, at::kLong),
               at::full({int64_t(tokens.size())}, -1, at::kChar)}};
  return x;
}

class Rellax : public ::testing::Test {
 protected:
  /// A run of a CTR model whose weights are random.
  std::string ctr(const std::string& model = "name: din, embedding_dim: 4, hidden: [12], init_std: 1, dropout: 0.5") {
    const Config config = Config::parse("model: {" + model + "}");
    const auto made = make_model(config["model"], ctr_schema(), 7);
    save_bundle(dir_ / "ctr", *made, config, ctr_schema());
    return (dir_ / "ctr").string();
  }
  std::shared_ptr<Model> make(const std::string& mode, const std::string& more = "", bool adapted = true) {
    if (!fs::exists(dir_ / "ctr")) ctr();
    const auto model =
        make_model(Config::parse(fmt::format(
                       "{{name: rellax, mode: {}, ctr: {}, lm: {}, weights: fp32, rank: 4, trained: [prompt], "
                       "scored: prompt{}{}}}",
                       mode, (dir_ / "ctr").string(), kModel, more.empty() ? "" : ", ", more)),
                   rows_schema(), 3);
    if (!adapted) return model;
    at::manual_seed(11);  // what a run of rella would have learnt
    const at::NoGradGuard no_grad;
    for (auto& p : model->named_parameters()) {
      if (p.key().find("lora_B") != std::string::npos) p.value().normal_(0, 0.5);
    }
    return model;
  }
  static at::Tensor scores(Model& model, const Features& x) {
    const at::NoGradGuard no_grad;
    model.eval();
    return model.forward(x).logit;
  }
  testing::TempDir dir_;
};

TEST_F(Rellax, CoresOfTheIdentityLeaveEveryScoreAsItWas) {
  const auto x = rows(20, 1);
  const auto lora = make("lora"), cores = make("cflora"), diag = make("cflora", "core: diag");
  const auto expected = scores(*lora, x);
  EXPECT_TRUE(at::allclose(scores(*cores, x), expected, 1e-6, 1e-6));
  EXPECT_TRUE(at::allclose(scores(*diag, x), expected, 1e-6, 1e-6));
  // in one pass over whole prompts, as cores are read, to the bit
  const auto learnt = [&](Model& model) {
    model.eval();
    return model.forward(x).logit.detach();
  };
  EXPECT_TRUE(at::equal(learnt(*cores), learnt(*lora)));
}

TEST_F(Rellax, WhatIsFixedStaysAsItIs) {
  const std::map<std::string, std::vector<std::string>> learnt{
      {"lora", {"lora_A", "lora_B"}}, {"spa", {"vectors"}}, {"cflora", {"gates"}}, {"full", {"gates", "vectors"}}};
  const auto x = rows(8, 2);
  const auto label = at::tensor({1.f, 0.f, 1.f, 0.f, 1.f, 0.f, 1.f, 0.f});
  for (const auto& [mode, parts] : learnt) {
    const auto model = make(mode);
    std::map<std::string, at::Tensor> before;
    for (const auto& [name, weight] : weights_of(*model)) before[name] = weight.clone();
    const std::string ctr_before = read_file(dir_ / "ctr/model.safetensors");
    Optimizer optimizer(*model, Config::parse("{adapters: {name: adam, lr: 0.01}}"));
    model->train();
    for (int step = 0; step < 20; ++step) {
      at::binary_cross_entropy_with_logits(model->forward(x).logit, label).backward();
      optimizer.step({});
    }
    for (const auto& [name, weight] : weights_of(*model)) {
      const bool learns =
          std::any_of(parts.begin(), parts.end(), [&](const auto& p) { return name.find(p) != std::string::npos; });
      EXPECT_EQ(at::equal(weight, before.at(name)), !learns) << mode << ": " << name;
    }
    for (const auto& p : model->named_parameters()) {
      const bool learns = std::any_of(parts.begin(), parts.end(),
                                      [&](const auto& part) { return p.key().find(part) != std::string::npos; });
      EXPECT_EQ(p.value().requires_grad(), learns) << mode << ": " << p.key();
    }
    EXPECT_EQ(read_file(dir_ / "ctr/model.safetensors"), ctr_before);
  }
}

TEST_F(Rellax, TheCtrModelDropsNothingWhileTheRestIsTrained) {
  const auto model = make("full");  // of a run with dropout .5
  model->train();
  const auto x = rows(6, 3);
  EXPECT_TRUE(at::equal(model->forward(x).logit, model->forward(x).logit));
}

TEST_F(Rellax, OnlyCoresReadTheState) {
  const auto x = rows(16, 4);
  Features other = x;  // another user, whom no prompt names
  other.ids = x.ids.clone();
  other.ids.select(1, 0).copy_(x.ids.select(1, 0).roll(1));
  for (const auto& [mode, reads] : {std::pair{"lora", false}, {"spa", false}, {"cflora", true}, {"full", true}}) {
    const auto model = make(mode, "core_start: random");
    EXPECT_EQ(!at::allclose(scores(*model, x), scores(*model, other), 1e-4, 1e-4), reads) << mode;
  }
}

TEST_F(Rellax, OnlySoftPromptsReadTheOrderOfVectors) {
  const auto x = rows(16, 5);
  Features other = x;  // the same events, each at the place of another
  std::vector<int64_t> order;
  for (int64_t i = 0; i < 16 * kEvents; i += kEvents) order.insert(order.end(), {i + 2, i, i + 1});
  other.sequences[2].ids = x.sequences[2].ids.index_select(0, at::tensor(order));
  for (const auto& [mode, reads] : {std::pair{"lora", false}, {"spa", true}, {"cflora", false}, {"full", true}}) {
    const auto model = make(mode, "core_start: random, mix_history: false");
    EXPECT_EQ(!at::allclose(scores(*model, x), scores(*model, other), 1e-4, 1e-4), reads) << mode;
  }
}

TEST_F(Rellax, TheStateIsOfThePromptsEvents) {
  const auto x = rows(12, 6);
  Features other = x;  // other events in the prompt, the row's own history as it was
  other.sequences[2].ids = x.sequences[2].ids.roll(5);
  const auto mixed = make("cflora", "core_start: random"),
             own = make("cflora", "core_start: random, mix_history: false");
  EXPECT_TRUE(at::allclose(scores(*mixed, x), scores(*own, x), 1e-5, 1e-5));  // they are the same events here
  EXPECT_TRUE(at::allclose(scores(*own, other), scores(*own, x), 1e-5, 1e-5));
  EXPECT_FALSE(at::allclose(scores(*mixed, other), scores(*mixed, x), 1e-3, 1e-3));
  Features moved = x;  // the row's own history instead: nobody reads it
  moved.sequences[0].ids = x.sequences[0].ids.roll(5);
  EXPECT_TRUE(at::allclose(scores(*mixed, moved), scores(*mixed, x), 1e-5, 1e-5));
}

TEST_F(Rellax, ARowIsScoredAloneAsBesideOthers) {
  const auto x = rows(9, 7);
  for (const char* mode : {"spa", "cflora", "full"}) {
    const auto whole = make(mode, "core_start: random"), parts = make(mode, "core_start: random, tokens_at_once: 20");
    const auto expected = scores(*whole, x);
    EXPECT_TRUE(at::allclose(scores(*parts, x), expected, 1e-5, 1e-5)) << mode;
    whole->eval();  // and with gradients, as it is learnt
    EXPECT_TRUE(at::allclose(whole->forward(x).logit, expected, 1e-5, 1e-5)) << mode;
  }
}

TEST_F(Rellax, CheckpointsChangeNoGradient) {
  const auto x = rows(6, 8);
  std::map<std::string, at::Tensor> plain;
  for (const char* more : {"core_start: random", "core_start: random, checkpointing: true"}) {
    const auto model = make("full", more);
    model->train();
    model->forward(x).logit.square().sum().backward();
    for (const auto& p : model->named_parameters()) {
      if (!p.value().requires_grad()) continue;
      const auto [it, first] = plain.emplace(p.key(), p.value().grad());
      EXPECT_TRUE(first || at::allclose(p.value().grad(), it->second, 1e-4, 1e-6)) << p.key();
    }
  }
  EXPECT_EQ(plain.size(), 2 * 6 + 4u);  // a norm and two layers for each of q and v; a projection of two layers
}

double auc(const at::Tensor& logit, const at::Tensor& label) {
  const auto order = logit.argsort();
  const auto sorted = label.index_select(0, order);
  const auto ranks = at::arange(1, label.size(0) + 1, at::kDouble);
  const double positives = sorted.sum().item<double>(), negatives = double(label.size(0)) - positives;
  return ((ranks * sorted).sum().item<double>() - positives * (positives + 1) / 2) / (positives * negatives);
}

Features part(const Features& x, int64_t first, int64_t count) {
  const auto cut = [&](const at::Tensor& values, const at::Tensor& offsets) {
    const int64_t begin = offsets[first].item<int64_t>(), end = offsets[first + count].item<int64_t>();
    return std::pair{values.slice(0, begin, end), offsets.slice(0, first, first + count + 1) - begin};
  };
  Features out;
  out.rows = count;
  out.ids = x.ids.narrow(0, first, count);
  for (const auto& s : x.sequences) {
    const auto [ids, offsets] = cut(s.ids, s.offsets);
    out.sequences.push_back({ids, offsets, {}});
  }
  for (const auto& t : x.tokens) {
    const auto [ids, offsets] = cut(t.ids, t.offsets);
    out.tokens.push_back({ids, offsets, cut(t.columns, t.offsets).first});
  }
  return out;
}

/// Of held-out rows, after 30 passes over 2,000.
double learnt_auc(Model& model, const Features& train, const at::Tensor& label, const Features& test,
                  const at::Tensor& test_label, double rate) {
  std::vector<at::Tensor> learnt;
  for (auto& p : model.parameters()) {
    if (p.requires_grad()) learnt.push_back(p);
  }
  torch::optim::Adam adam(learnt, torch::optim::AdamOptions(rate));
  model.train();
  constexpr int64_t kBatch = 250;
  for (int64_t step = 0; step < 30 * train.rows / kBatch; ++step) {
    const int64_t first = step * kBatch % train.rows;
    adam.zero_grad();
    at::binary_cross_entropy_with_logits(model.forward(part(train, first, kBatch)).logit,
                                         label.narrow(0, first, kBatch))
        .backward();
    adam.step();
  }
  const at::NoGradGuard no_grad;
  model.eval();
  return auc(model.forward(test).logit, test_label);
}

TEST_F(Rellax, PlantedInTheStateOnlyCoresFindIt) {
  const auto train = rows(2000, 21), test = rows(2000, 22);
  ctr("name: din, embedding_dim: 4, hidden: [12], init_std: 1");
  const FrozenRun run(RunOption(dir_ / "ctr"), rows_schema());
  const auto state = [&](const Features& x) {
    const at::NoGradGuard no_grad;
    return dynamic_cast<Represents&>(run.model()).represent(run.features(x));
  };
  const auto h = state(train), of_test = state(test);
  const int64_t which = h.std(0).argmax().item<int64_t>();
  const auto middle = h.select(1, which).median();
  const auto label = (h.select(1, which) > middle).to(at::kFloat);
  const auto test_label = (of_test.select(1, which) > middle).to(at::kFloat);
  const auto lora = make("lora"), cores = make("cflora");
  const double without = learnt_auc(*lora, train, label, test, test_label, 0.01);
  EXPECT_GT(without, 0.45);
  EXPECT_LT(without, 0.55);
  EXPECT_GT(learnt_auc(*cores, train, label, test, test_label, 0.01), 0.9);
}

TEST_F(Rellax, PlantedInTheItemSoftPromptsFindIt) {
  const auto train = rows(2000, 31, 1, 300), test = rows(2000, 32, 301, 98);  // items that training has not seen
  ctr("name: din, embedding_dim: 4, hidden: [12], init_std: 1");
  const FrozenRun run(RunOption(dir_ / "ctr"), rows_schema());
  const auto table = weights_of(run.model()).at("fields.item.weight");
  const auto label_of = [&](const Features& x) {
    return (table.index_select(0, x.ids.select(1, 1)).select(1, 2) > 0).to(at::kFloat);
  };
  const auto label = label_of(train), test_label = label_of(test);
  const auto lora = make("lora"), vectors = make("spa");
  const double without = learnt_auc(*lora, train, label, test, test_label, 0.01);
  EXPECT_GT(without, 0.45);
  EXPECT_LT(without, 0.55);
  EXPECT_GT(learnt_auc(*vectors, train, label, test, test_label, 0.01), 0.9);
}

TEST_F(Rellax, RefusesWhatItCannotRead) {
  EXPECT_THAT(config_error([&] { make("full", "core: block, blocks: 3"); }), HasSubstr("model.blocks: 3 experts"));
  EXPECT_THAT(config_error([&] { make("cflora", "core: identity"); }), HasSubstr("leave nothing to learn"));
  EXPECT_THAT(config_error([&] { make_model(Config::parse("{name: rellax, mode: spa, lm: x}"), rows_schema()); }),
              HasSubstr("ctr: missing; mode spa reads a CTR run"));
  const auto fresh = make("cflora", "", /*adapted=*/false);
  fresh->train();
  EXPECT_THAT(config_error([&] { fresh->forward(rows(2, 1)); }), HasSubstr("begin with a run of rella"));
  EXPECT_NO_THROW(make("cflora", "train_adapters: true", false)->forward(rows(2, 1)));
  EXPECT_THAT(config_error([&] {
                make_model(Config::parse(fmt::format(
                               "{{name: rellax, ctr: {}, lm: {}, trained: [prompt], scored: prompt}}", ctr(), kModel)),
                           rows_schema().drop({"prompt_items"}));
              }),
              HasSubstr("the prompts 'prompt' come without the items that they tell of"));
  EXPECT_THAT(config_error([&] {
                make_model(Config::parse(fmt::format(
                               "{{name: rellax, ctr: {}, lm: {}, trained: [prompt], scored: prompt}}", ctr(), kModel)),
                           rows_schema().drop({"user"}));
              }),
              HasSubstr("this run reads field 'user', which the experiment's rows have not"));
  EXPECT_THAT(data_error([&] {
                make_model(
                    Config::parse(fmt::format("{{name: rellax, ctr: {}, lm: {}, trained: [prompt], scored: prompt}}",
                                              (dir_ / "gone").string(), kModel)),
                    rows_schema());
              }),
              HasSubstr("no such run directory"));
  const auto model = make("spa");
  Features x = rows(2, 1);  // a marker beyond the events
  x.tokens[0].ids = x.tokens[0].ids.clone();
  x.tokens[0].ids[1].fill_(kVocabulary + kEvents + 1);
  EXPECT_THAT(data_error([&] { scores(*model, x); }), HasSubstr("has a vector for event 4, but prompt_items has 3"));
  x = rows(2, 1);  // the target's marker lost
  x.tokens[0].ids = at::where(x.tokens[0].ids == kVocabulary, at::scalar_tensor(5, at::kInt), x.tokens[0].ids);
  EXPECT_THAT(data_error([&] { scores(*model, x); }), HasSubstr("has 0 vectors of the row's own item; expected one"));
  auto weights = weights_of(*model);
  weights.at("ctr_checksum") = at::tensor({int64_t{5}});
  load_weights(*model, weights, "here");
  EXPECT_THAT(data_error([&] { scores(*model, rows(2, 1)); }), HasSubstr("its weights are not those that this run"));
}

}  // namespace
}  // namespace interplay::rellax_model_test
