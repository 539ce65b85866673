#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/model.h>
#include <interplay/core/objective.h>
#include <interplay/core/sees_rows.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/table_storage.h>
#include <interplay/train/trainer.h>

#include "flip_rows.h"
#include "support/stored.h"
#include "support/temp_dir.h"

namespace interplay::flip::flip_pretrain_test {
namespace {

using interplay::testing::expect_near;
using interplay::testing::TempDir;
using testing::CodedRows;
using ::testing::HasSubstr;
using testing::told;
using testing::value_of;

class FlipPretrain : public ::testing::Test {
 protected:
  FlipPretrain() {
    log::set_level(log::Level::off);
    Progress::enable(false);
  }
  ~FlipPretrain() override { log::set_level(log::Level::info); }

  void write_bert(const CodedRows& rows, const interplay::testing::TinyBert& bert = {.width = 16, .hidden = 24}) {
    interplay::testing::write_tiny_bert(dir_ / "bert", rows.words(), bert);
  }
  Config config(const std::string& more = "") const {
    return Config::parse(
        fmt::format("{{name: flip_pretrain, lm: {}, dropout: 0, head_dropout: 0, backbone: {{name: "
                    "dnn, embedding_dim: 8, hidden: [12], init_std: 0.3}}, noise: 5, feature_dim: 4, "
                    "width: 6{}}}",
                    (dir_ / "bert").string(), more.empty() ? "" : ", " + more));
  }
  static void see(Model& model, const Features& x) {
    auto& sees = dynamic_cast<SeesRows&>(model);
    ASSERT_TRUE(sees.wants_rows());
    sees.see_rows(x);
    sees.saw_all_rows();
    ASSERT_FALSE(sees.wants_rows());
  }
  static at::Tensor total(const Output& out) {
    at::Tensor sum = at::zeros({});
    for (const auto& term : out.terms) sum = sum + term.value.mean();
    return sum;
  }
  const TempDir dir_;
};

/// Every weight is moved along its gradient, to both sides: what the loss does has to be what the gradient says.
TEST_F(FlipPretrain, GradientsOfTheWholeLossAreItsDifferences) {
  const CodedRows rows{.fields = 3, .codes = 6};
  write_bert(rows);
  const auto model = make_model(config(), rows.schema(), 3);
  at::manual_seed(1);
  const auto x = rows.rows(at::randint(6, {12, 3}, at::kLong));
  see(*model, x);
  model->train();
  const auto loss = [&] {
    at::manual_seed(7);  // the same masks and noise
    return total(model->forward(x));
  };
  loss().backward();
  const auto moved = [&](const at::Tensor& weight, const at::Tensor& gradient, const std::string& name) {
    const at::NoGradGuard no_grad;
    const double size = gradient.norm().item<double>();
    if (size < 1e-3) return;  // beneath what single precision can tell
    const auto direction = gradient / size;
    const double step = std::min(3e-2, 2e-2 / size);
    const auto kept = weight.clone();
    double sides[2];
    for (int side = 0; side < 2; ++side) {
      weight.copy_(kept + (side == 0 ? step : -step) * direction);
      sides[side] = loss().item<double>();
    }
    weight.copy_(kept);
    EXPECT_NEAR((sides[0] - sides[1]) / (2 * step), size, 0.02 * size + 2e-3) << name;
  };
  int64_t checked = 0;
  for (const auto& p : model->named_parameters()) {
    if (!p.value().grad().defined()) {
      EXPECT_THAT(p.key(), HasSubstr("backbone.mlp")) << "only the backbone's last layer has no part in it";
      continue;
    }
    moved(p.value().detach(), p.value().grad().clone(), p.key());
    ++checked;
  }
  for (const auto& t : nn::tables_of(*model)) {
    ASSERT_TRUE(t.table->table().touched()) << t.name;
    const auto taken = t.table->table().take();
    const auto weight = t.table->weight();
    moved(weight, at::zeros_like(weight).index_copy(0, taken.rows, taken.grad), t.name);
  }
  EXPECT_GT(checked, 40);
}

TEST_F(FlipPretrain, ATermThatIsOffIsGoneAndTheOthersGradientsAreTheSame) {
  const CodedRows rows{.fields = 3, .codes = 6};
  write_bert(rows);
  at::manual_seed(1);
  const auto x = rows.rows(at::randint(6, {12, 3}, at::kLong));
  const auto whole = make_model(config(), rows.schema(), 3);
  see(*whole, x);
  for (const char* off : {"mlm", "mtm", "icl"}) {
    const auto part = make_model(config(fmt::format("{}: false", off)), rows.schema(), 4);
    if (off != std::string("mtm")) see(*part, x);
    const auto given = weights_of(*whole);
    for (auto& [name, weight] : weights_of(*part)) weight.copy_(given.at(name));
    for (auto* model : {whole.get(), part.get()}) {
      model->train();
      model->zero_grad();
      for (const auto& t : nn::tables_of(*model)) t.table->table().clear();
      at::manual_seed(7);
      Output out = model->forward(x);
      if (model == part.get()) {
        EXPECT_EQ(out.terms.size(), 2u);
        EXPECT_FALSE(value_of(out, off).defined());
      }
      std::erase_if(out.terms, [&](const Term& term) { return term.name == off; });
      total(out).backward();
    }
    const auto of_whole = whole->named_parameters();
    for (const auto& p : part->named_parameters()) {
      const auto& other = of_whole[p.key()].grad();
      const auto& own = p.value().grad();
      ASSERT_EQ(own.defined(), other.defined()) << off << " off: " << p.key();
      if (own.defined()) {
        EXPECT_TRUE(at::equal(own, other)) << off << " off: " << p.key();
      }
    }
  }
}

TEST_F(FlipPretrain, EvaluationFollowsFromTheRowAlone) {
  const CodedRows rows{.fields = 4, .codes = 9};
  write_bert(rows);
  const auto model = make_model(config(), rows.schema(), 3);
  at::manual_seed(1);
  const auto codes = at::randint(9, {20, 4}, at::kLong);
  see(*model, rows.rows(codes));
  model->eval();
  const at::NoGradGuard no_grad;
  const Output once = model->forward(rows.rows(codes)), again = model->forward(rows.rows(codes));
  const Output alone = model->forward(rows.rows(codes.slice(0, 7, 8)));
  for (const char* term : {"mlm", "mtm", "mlm_accuracy", "mtm_accuracy", "mlm_accuracy_alone", "mtm_accuracy_alone"}) {
    ASSERT_EQ(value_of(once, term).numel(), 20) << term;  // one field of four, one word each
    EXPECT_TRUE(at::equal(value_of(once, term), value_of(again, term))) << term;
    expect_near(value_of(alone, term), value_of(once, term).slice(0, 7, 8), 1e-5, term);
  }
}

TEST_F(FlipPretrain, CountsFeaturesOfAllFieldsInOneRow) {
  const CodedRows rows{.fields = 2, .codes = 3};
  write_bert(rows);
  const auto model = make_model(config(), rows.schema(), 3);
  see(*model, rows.rows(at::tensor({0, 2, 0, 1, 2, 2}, at::kLong).view({3, 2})));
  for (const auto& b : model->named_buffers()) {
    if (b.key() != "nce.counts") continue;
    // code0: padding, 0 twice, 1 never, 2 once, unseen; code1: 0 never, 1 once, 2 twice
    EXPECT_TRUE(at::equal(b.value(), at::tensor({0, 2, 0, 1, 0, 0, 0, 1, 2, 0}, at::kLong)));
    return;
  }
  FAIL() << "no counts";
}

TEST_F(FlipPretrain, AMissingIdIsNotRecovered) {
  const CodedRows rows{.fields = 1, .codes = 3};
  write_bert(rows);
  const auto model = make_model(config(), rows.schema(), 3);
  auto x = rows.rows(at::tensor({0, 1, 2}, at::kLong).view({3, 1}));
  see(*model, x);
  x.ids[1].zero_();
  const Output out = model->forward(x);
  EXPECT_EQ(value_of(out, "mtm").numel(), 2);
  EXPECT_EQ(value_of(out, "mlm").numel(), 3);
}

/// Ids and text name the same random code of 1,000. What one side hides the other tells, and nothing else does.
TEST_F(FlipPretrain, RecoversACodeFromTheOtherSideAndFromNothingElse) {
  const CodedRows rows{.fields = 1, .codes = 1000};
  write_bert(rows, {.width = 32, .layers = 2, .heads = 2, .hidden = 64, .positions = 8});
  const auto model = make_model(Config::parse(fmt::format("{{name: flip_pretrain, lm: {}, dropout: 0, head_dropout: 0, "
                                                          "backbone: {{name: dnn, embedding_dim: 32, hidden: [64], "
                                                          "init_std: 0.3}}, feature_dim: 32, width: 32}}",
                                                          (dir_ / "bert").string())),
                                rows.schema(), 3);
  at::manual_seed(1);
  const auto codes = at::randint(1000, {4000, 1}, at::kLong);
  see(*model, rows.rows(codes));
  Trainer trainer(*model, Config::parse("{optimizer: {dense: {lr: 3e-3}, embedding: {lr: 1e-2}, text: {lr: 2e-3}}}"),
                  {"label"});
  for (int step = 0; step < 600; ++step) {
    Batch batch;
    batch.features = rows.rows(codes.index_select(0, at::randint(4000, {256}, at::kLong)));
    trainer.step(batch);
  }
  model->eval();
  const at::NoGradGuard no_grad;
  const auto fresh = at::randint(1000, {3000, 1}, at::kLong);
  const Features right = rows.rows(fresh);
  Features mixed = right;  // the text of the row before
  mixed.tokens = rows.rows(fresh.roll(1, 0)).tokens;
  const Output out = model->forward(right), shuffled = model->forward(mixed);
  const auto share = [](const Output& of, const char* term) { return value_of(of, term).mean().item<double>(); };
  EXPECT_GT(share(out, "mtm_accuracy"), 0.95);
  EXPECT_LT(share(shuffled, "mtm_accuracy"), 0.01);
  EXPECT_LT(share(out, "mtm_accuracy_alone"), 0.01);
  EXPECT_GT(share(out, "mlm_accuracy"), 0.95);
  EXPECT_LT(share(shuffled, "mlm_accuracy"), 0.01);
  EXPECT_LT(share(out, "mlm_accuracy_alone"), 0.01);
}

/// Ids begin as vectors that are all but equal.
TEST_F(FlipPretrain, RowsFindTheirTextsBesideTheOtherTerms) {
  const CodedRows rows{.fields = 3, .codes = 20};
  write_bert(rows, {.width = 32, .layers = 2, .heads = 2, .hidden = 64, .positions = 16});
  at::manual_seed(1);
  const auto codes = at::randint(20, {4000, 3}, at::kLong);
  const auto model = make_model(
      Config::parse(fmt::format("{{name: flip_pretrain, lm: {}, dropout: 0, head_dropout: 0, backbone: {{name: dnn, "
                                "embedding_dim: 16, hidden: [64]}}, feature_dim: 16, width: 32, temperature: 3.2}}",
                                (dir_ / "bert").string())),
      rows.schema(), 3);
  see(*model, rows.rows(codes));
  Trainer trainer(*model, Config::parse("{optimizer: {dense: {lr: 3e-3}, embedding: {lr: 1e-2}, text: {lr: 1e-3}}}"),
                  {"label"});
  for (int step = 0; step < 100; ++step) {
    Batch batch;
    batch.features = rows.rows(codes.index_select(0, at::randint(4000, {128}, at::kLong)));
    trainer.step(batch);
  }
  model->eval();
  const at::NoGradGuard no_grad;
  const Output out = model->forward(rows.rows(at::randint(20, {256, 3}, at::kLong)));
  EXPECT_LT(value_of(out, "icl").mean().item<double>(), 0.3 * std::log(256.0));
}

TEST_F(FlipPretrain, TheBackboneIsAnyModelWithALastHiddenVector) {
  const CodedRows rows{.fields = 2, .codes = 5};
  write_bert(rows);
  auto fields = rows.schema().fields();
  Field past = interplay::testing::make_field("past", FieldKind::sequence, 7, "code0");
  past.target = "code0";
  past.max_length = 3;
  fields.push_back(past);
  const Schema schema(fields, {"label"});
  at::manual_seed(1);
  Batch batch;
  batch.features = rows.rows(at::randint(5, {8, 2}, at::kLong));
  batch.features.sequences = {
      {at::randint(1, 6, {12}, at::kInt), at::tensor({0, 3, 3, 4, 6, 7, 9, 10, 12}, at::kLong), {}}};
  batch.labels = at::tensor({1.f, 0.f, 1.f, 1.f, 0.f, 0.f, 1.f, 0.f}).unsqueeze(1);
  for (const char* backbone :
       {"{name: dcnv2, cross: mixture, cross_rank: 4, cross_experts: 2, embedding_dim: 4, hidden: [8]}",
        "{name: deepfm, embedding_dim: 4, hidden: [8]}", "{name: autoint, embedding_dim: 4}",
        "{name: din, embedding_dim: 4, hidden: [8]}"}) {
    for (const char* name : {"flip_pretrain", "flip"}) {
      Config c = Config::parse(fmt::format("{{name: {}, lm: {}, dropout: 0}}", name, (dir_ / "bert").string()));
      c.set("backbone", Config::parse(backbone));
      const auto model = make_model(c, schema, 3);
      if (auto* const sees = dynamic_cast<SeesRows*>(model.get())) sees->see_rows(batch.features), sees->saw_all_rows();
      Trainer trainer(*model, Config::parse("{optimizer: {dense: {lr: 3e-3}, embedding: {lr: 1e-2}}}"), {"label"});
      const auto ten_steps = [&] {  // masks differ from step to step
        double sum = 0;
        for (int step = 0; step < 10; ++step) sum += trainer.step(batch);
        return sum;
      };
      const double first = ten_steps();
      for (int i = 0; i < 5; ++i) ten_steps();
      EXPECT_LT(ten_steps(), 0.9 * first) << name << " of " << backbone;
    }
  }
}

TEST_F(FlipPretrain, SaysWhatDoesNotFit) {
  const CodedRows rows{.fields = 2, .codes = 3};
  write_bert(rows);
  const Schema schema = rows.schema();
  EXPECT_THAT(told([&] { make_model(config("mlm: false, mtm: false, icl: false"), schema); }),
              HasSubstr("mlm, mtm and icl are all off"));
  EXPECT_THAT(told([&] { make_model(config("layers: 3"), schema); }), HasSubstr("model.layers: 3 of the 2 that"));
  EXPECT_THAT(told([&] { make_model(config("text: code0"), schema); }), HasSubstr("'code0' is categorical"));
  EXPECT_THAT(told([&] { make_model(config(), schema.drop({"said"})); }), HasSubstr("the data have 0 text fields"));
  const auto with = [&](const char* key, const char* value) {
    Config c = config();
    c.set(key, Config::scalar(value, true));
    return told([&] { make_model(c, schema); });
  };
  EXPECT_THAT(with("backbone", "fm"), HasSubstr("fm has no last hidden vector"));
  EXPECT_THAT(with("lm", "nowhere"), HasSubstr("there is no model 'nowhere'"));
  const CodedRows larger{.fields = 2, .codes = 4};
  EXPECT_THAT(told([&] { make_model(config(), larger.schema()); }), HasSubstr("'said' is made of 17 tokens"));
}

}  // namespace
}  // namespace interplay::flip::flip_pretrain_test
