#include <interplay/optim/exchange.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <barrier>
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/core/model.h>
#include <interplay/core/objective.h>
#include <interplay/nn/table_storage.h>
#include <interplay/optim/optimizer.h>

#include "support/error_of.h"
#include "support/toy_rows.h"

namespace interplay::exchange_test {
namespace {

using testing::config_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Where threads that each step a part of the batch meet: everyone shows what is his own, and gets the mean.
class Meeting {
 public:
  explicit Meeting(size_t parts) : shown_(parts), barrier_(std::ptrdiff_t(parts)) {}
  void mean(size_t part, Exchange::Gradients& own) {
    shown_[part] = own;
    barrier_.arrive_and_wait();
    Exchange::Gradients all = own;
    for (size_t i = 0; i < own.dense.size(); ++i) all.dense[i].grad = dense(i);
    for (size_t i = 0; i < own.tables.size(); ++i) {
      std::vector<nn::RowGradients> rows;
      for (const auto& shown : shown_) rows.push_back(shown.tables[i].gradients);
      all.tables[i].gradients = sum_rows(rows);
      all.tables[i].gradients.grad.div_(double(shown_.size()));
    }
    barrier_.arrive_and_wait();  // all have read what was shown
    own = all;
  }

 private:
  at::Tensor dense(size_t i) const {
    at::Tensor sum;
    for (const auto& shown : shown_) {
      const auto& part = shown.dense[i].grad;
      if (part.defined()) sum = sum.defined() ? sum + part : part.clone();
    }
    return sum.defined() ? sum / double(shown_.size()) : sum;
  }
  std::vector<Exchange::Gradients> shown_;
  std::barrier<> barrier_;
};

class Mean final : public Exchange {
 public:
  Mean(Meeting& meeting, size_t part) : meeting_(meeting), part_(part) {}
  void exchange(Gradients& own) override { meeting_.mean(part_, own); }

 private:
  Meeting& meeting_;
  size_t part_;
};

constexpr int64_t kRows = 48;  // of a batch
constexpr int kSteps = 12;

Schema schema() { return Schema(testing::toy_schema().fields(), {"click"}); }

/// Toy rows with numbers of at most 1, so that no rate is too high for them.
Batch rows(int64_t first, int64_t count) {
  EncodedBatch encoded = testing::toy_rows(first, count, /*side_columns=*/false);
  for (auto* numbers : {&encoded.dense, &encoded.sequences[2].weights, &encoded.vectors[0]}) {
    for (float& x : *numbers) x /= kRows * kSteps;
  }
  std::vector<float> clicks;
  for (size_t r = 0; r < size_t(count); ++r) clicks.push_back(encoded.labels[2 * r]);
  encoded.labels = clicks;
  return to_batch(encoded, schema());
}

struct Course {
  std::vector<double> losses, norms;
  std::map<std::string, at::Tensor> weights, state;
};

/// kSteps steps on rows step * kRows + first .. first + count of each batch.
Course train(const std::shared_ptr<Model>& model, const std::string& optimizer_config, double clip_norm, int64_t first,
             int64_t count, std::shared_ptr<Exchange> exchange) {
  Optimizer optimizer(*model, Config::parse(optimizer_config));
  optimizer.set_exchange(std::move(exchange));
  Objective objective(Config::scalar("bce"), {}, {"click"});
  Course course;
  for (int step = 0; step < kSteps; ++step) {
    const Batch batch = rows(step * kRows + first, count);
    model->train();
    const auto loss = objective(model->forward(batch.features), batch).total;
    loss.backward();
    course.losses.push_back(loss.item<double>());
    course.norms.push_back(optimizer.step({.clip_norm = clip_norm}));
  }
  for (const auto& [name, w] : weights_of(*model)) course.weights[name] = w.clone();
  for (const auto& [name, s] : optimizer.state()) course.state[name] = s.clone();
  return course;
}

/// Gradients of two halves, added, are rounded otherwise than those of the whole batch: by some 1e-7 of themselves.
/// Adam moves a weight by about lr = 0.01 whatever the size of its gradient, so that where one is as small as its
/// rounding the difference may be a share of lr; nowhere else do 12 steps make more of it than 1e-5.
constexpr double kTolerance = 1e-5;

/// Two models, a thread each with a half of every batch, whose gradients meet.
std::vector<Course> train_halves(const std::vector<std::shared_ptr<Model>>& models, const std::string& optimizer,
                                 double clip_norm) {
  Meeting meeting(models.size());
  std::vector<Course> halves(models.size());
  std::vector<std::thread> threads;
  const int64_t rows = kRows / int64_t(models.size());
  for (size_t part = 0; part < models.size(); ++part) {
    threads.emplace_back([&, part] {
      halves[part] =
          train(models[part], optimizer, clip_norm, int64_t(part) * rows, rows, std::make_shared<Mean>(meeting, part));
    });
  }
  for (auto& thread : threads) thread.join();
  return halves;
}

void expect_halves_as_whole(const std::string& config, const std::string& optimizer, double clip_norm) {
  SCOPED_TRACE(fmt::format("{} {} clip_norm {}", config, optimizer, clip_norm));
  const auto make = [&] { return make_model(Config::parse(config), schema(), 3); };
  const Course whole = train(make(), optimizer, clip_norm, 0, kRows, nullptr);
  const auto halves = train_halves({make(), make()}, optimizer, clip_norm);
  for (size_t step = 0; step < size_t(kSteps); ++step) {
    EXPECT_NEAR((halves[0].losses[step] + halves[1].losses[step]) / 2, whole.losses[step], kTolerance);
    EXPECT_NEAR(halves[0].norms[step], whole.norms[step], kTolerance * (1 + whole.norms[step]));
    EXPECT_TRUE(clip_norm == 0 || whole.norms[step] > clip_norm) << "nothing is clipped";
  }
  for (const auto& [name, w] : whole.weights) {
    EXPECT_TRUE(at::equal(halves[0].weights.at(name), halves[1].weights.at(name))) << name;
    EXPECT_TRUE(at::allclose(halves[0].weights.at(name), w, 0, kTolerance))
        << name << " " << (halves[0].weights.at(name) - w).abs().max().item<double>();
  }
  for (const auto& [name, s] : halves[0].state) EXPECT_TRUE(at::equal(halves[1].state.at(name), s)) << name;
}

TEST(Exchange, TwoHalvesOfABatchTrainAsTheWhole) {
  const int threads = at::get_num_threads();
  at::set_num_threads(1);  // each of the two has no more
  for (const char* model : {"{name: lr}", "{name: deepfm, embedding_dim: 5, hidden: [8]}"}) {
    for (const char* rule : {"name: adagrad, lr: 0.05, l2: 0.02", "name: adam, lr: 0.01, eps: 1e-4, l1: 0.001",
                             "name: sgd, lr: 0.1, momentum: 0.9, l2: 0.01"}) {
      for (const char* mode : {"lazy", "dense"}) {
        for (const double clip_norm : {0.0, 0.05})
          expect_halves_as_whole(model, fmt::format("{{dense: {{{}, mode: {}}}}}", rule, mode), clip_norm);
      }
    }
  }
  at::set_num_threads(threads);
}

struct Toy : torch::nn::Module {
  Toy()
      : used(register_parameter("used", at::tensor({1.f}))),
        unused(register_parameter("unused", at::tensor({1.f}))),
        table(register_module("table", nn::Embedding(4, 2))) {}
  at::Tensor used, unused;
  nn::Embedding table;
};

class Given final : public Exchange {
 public:
  explicit Given(std::function<void(Gradients&)> call) : call_(std::move(call)) {}
  void exchange(Gradients& own) override { call_(own); }

 private:
  std::function<void(Gradients&)> call_;
};

const char* const kSgd = "{dense: {name: sgd, lr: 1}}";

void backward(Toy& toy) { (toy.used.sum() * 2 + toy.table(at::tensor({3, 1, 3}, at::kInt)).sum()).backward(); }

TEST(Exchange, SeesWhatMovesAndMovesWhatComesBack) {
  Toy toy;
  toy.table->weight().zero_();
  Optimizer optimizer(toy, Config::parse(kSgd));
  std::vector<std::string> names;
  optimizer.set_exchange(std::make_shared<Given>([&](Exchange::Gradients& own) {
    for (const auto& d : own.dense) names.push_back(d.name);
    EXPECT_FALSE(own.dense[1].grad.defined());
    ASSERT_EQ(own.tables.size(), 1u);
    names.push_back(own.tables[0].name);
    EXPECT_EQ(own.tables[0].rows, 4);
    auto& [rows, grad] = own.tables[0].gradients;
    EXPECT_TRUE(at::equal(rows, at::tensor({1, 3}, at::kLong)));
    EXPECT_TRUE(at::equal(grad, at::tensor({1.f, 1.f, 2.f, 2.f}).view({2, 2})));
    own.dense[1].grad = at::tensor({0.5f});  // somebody else used it
    rows = at::tensor({2}, at::kLong);
    grad = at::tensor({4.f, 8.f}).view({1, 2});
  }));
  backward(toy);
  optimizer.step({});
  EXPECT_THAT(names, ElementsAre("used", "unused", "table.weight"));
  EXPECT_EQ(toy.used.item<float>(), 1 - 2);
  EXPECT_EQ(toy.unused.item<float>(), 0.5);
  EXPECT_TRUE(at::equal(toy.table->weight(), at::tensor({0.f, 0.f, 0.f, 0.f, -4.f, -8.f, 0.f, 0.f}).view({4, 2})));
}

TEST(Exchange, WhatNobodyUsedDoesNotMove) {
  Toy toy;
  Optimizer optimizer(toy, Config::parse("{dense: {name: sgd, lr: 1, momentum: 0.5}}"));
  optimizer.set_exchange(std::make_shared<Given>([](Exchange::Gradients&) {}));
  backward(toy);
  optimizer.step({});
  EXPECT_EQ(toy.unused.item<float>(), 1);
  EXPECT_EQ(optimizer.state().at("unused").item<float>(), 0);
}

TEST(Exchange, RefusesWhatDoesNotFitAndMovesNothing) {
  const auto refusal = [](std::function<void(Exchange::Gradients&)> call) {
    Toy toy;
    const auto before = toy.table->weight().clone();
    Optimizer optimizer(toy, Config::parse(kSgd));
    optimizer.set_exchange(std::make_shared<Given>(std::move(call)));
    backward(toy);
    const std::string message = config_error([&] { optimizer.step({}); });
    EXPECT_EQ(toy.used.item<float>(), 1);
    EXPECT_TRUE(at::equal(toy.table->weight(), before));
    EXPECT_EQ(optimizer.steps(), 0);
    optimizer.set_exchange(nullptr);
    optimizer.step({});  // the gradients are gone
    EXPECT_EQ(toy.used.item<float>(), 1);
    return message;
  };
  EXPECT_THAT(
      refusal([](auto& own) { own.dense[0].grad = at::zeros({2}); }),
      HasSubstr("the exchange gave parameter 'used' a gradient of Float [2] on cpu; expected Float [1] on cpu"));
  EXPECT_THAT(refusal([](auto& own) {
                own.tables[0].gradients.grad = at::zeros({2, 3});
              }),
              HasSubstr("table 'table.weight' gradients of another kind; expected rows i64 [U] and grad f32 [U, 2]"));
  EXPECT_THAT(refusal([](auto& own) {
                own.tables[0].gradients.rows = at::tensor({1, 4}, at::kLong);
              }),
              HasSubstr("an embedding table of 4 rows was read at row 4: ids are 0 (padding) to 3"));
  EXPECT_THAT(refusal([](auto& own) { own.tables.clear(); }),
              HasSubstr("the exchange gave 2 dense gradients and 0 tables; expected 2 and 1"));
  EXPECT_THAT(refusal([](auto&) { throw Error("the other process is gone"); }), HasSubstr("the other process is gone"));
}

// By hand: (1, 2) + (4, 8) in row 3.
TEST(SumRows, AddsEqualRowsAndKeepsTheOthers) {
  const nn::RowGradients a{at::tensor({1, 3}, at::kLong), at::tensor({1.f, 1.f, 1.f, 2.f}).view({2, 2})};
  const nn::RowGradients b{at::tensor({2, 3}, at::kLong), at::tensor({5.f, 5.f, 4.f, 8.f}).view({2, 2})};
  const nn::RowGradients none{at::empty({0}, at::kLong), at::empty({0, 2})};
  const auto sum = sum_rows({a, none, b});
  EXPECT_TRUE(at::equal(sum.rows, at::tensor({1, 2, 3}, at::kLong)));
  EXPECT_TRUE(at::equal(sum.grad, at::tensor({1.f, 1.f, 5.f, 5.f, 5.f, 10.f}).view({3, 2})));
  EXPECT_EQ(sum_rows({none}).rows.size(0), 0);
}

}  // namespace
}  // namespace interplay::exchange_test
