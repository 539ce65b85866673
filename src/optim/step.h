#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include <interplay/nn/table_storage.h>
#include <interplay/optim/exchange.h>
#include <interplay/optim/optimizer.h>

#include "optim/not_finite.h"
#include "optim/resting_rows.h"

namespace interplay {

// What an Optimizer is made of, and the phases of its step, one a file.

struct Group {
  std::string name;
  GroupOptions options;
  std::shared_ptr<UpdateRule> rule;
  std::shared_ptr<RestingRows> resting;  // of tables that move every row at every step

  bool is_lazy() const { return options.mode == "lazy"; }
  bool has_penalty() const { return options.l1 != 0 || options.l2 != 0; }
  at::Tensor penalty(const at::Tensor& w) const { return w * options.l2 + w.sign() * options.l1; }  // its gradient
};

struct DenseParameter {
  std::string name;
  at::Tensor weight;  // a leaf that requires grad
  at::Tensor state;   // [R, S]
  const Group* group;
  at::Tensor as_rows(const at::Tensor& t) const { return t.dim() >= 2 ? t.flatten(1) : t.reshape({1, -1}); }
};

struct TableParameter {
  std::string name;  // of its weights: "fields.item_id.weight"
  std::shared_ptr<nn::EmbeddingImpl> module;
  const Group* group;
  // Of the present step:
  nn::RowGradients gradients = {};  // on another device than the CPU
  std::vector<float> sums = {};     // [U, K], gradients of the touched rows, where their norm is needed first
  bool summed = false;
  // Of the weights, carried from one pass over a whole table to the next: |W|^2, and when that was.
  double weight_norm2 = -1;
  uint32_t version = 0;

  nn::TableStorage& storage() const { return module->table(); }
  bool is_here() const { return storage().device().is_cpu(); }
  std::string module_name() const { return name.substr(0, name.rfind('.')); }
};

struct OptimizerParts {
  std::map<std::string, Group> groups;
  std::vector<DenseParameter> dense;
  std::vector<TableParameter> tables;
  std::shared_ptr<Exchange> exchange;
  int64_t steps = 0;

  const Group& group(const std::string& name) const;  ///< throws Error with the names there are
  void clear_gradients();
};

/// One step on its way through the phases.
struct StepState {
  StepState(OptimizerParts& all, const Optimizer::Step& step) : parts(all), given(step) {}

  OptimizerParts& parts;
  const Optimizer::Step& given;
  std::vector<TableParameter*> tables;                     // that move, from collect()
  std::vector<DenseParameter*> dense;                      // likewise; from norm() on only those that have a gradient
  std::vector<TableParameter*> touched, whole, elsewhere;  // from norm() on: of `tables`, those of which the rows that
                                                           // were read move, those that move whole, and those that do
                                                           // not lie on the CPU
  double norm = 0;                                         // of all gradients, where clipping is on
  float scale = 1;                                         // that clips them
  NotFinite bad;

  bool clips() const { return given.clip_norm > 0; }
  bool moves(const Group& group) const;
  StepInfo info(const Group& group, bool rows) const;
};

// The order of a step. A gradient of rows stays, summed or not, on the tape of its table until the rows move, so that a
// step without clipping or exchange passes over each row once: sums its gradient, adds the penalty, moves it.

/// Which groups move; the gradients of the others are dropped.
void collect(StepState& step);
/// The distinct rows on the tapes of the tables.
void sort(StepState& step);
/// The gradients of other processes join. Before the penalties, which all processes have alike.
void exchange(StepState& step);
/// Penalties join the gradients of dense parameters, and of rows that are summed by now: those of all tables where
/// there is a norm to take, for rows may move only after it. With clipping, rows that nobody reads do not rest either:
/// their penalty is part of the norm.
void norm(StepState& step);
/// Rows, then dense parameters, by their rules. What is not finite stays.
void move(StepState& step);

}  // namespace interplay
