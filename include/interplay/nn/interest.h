#pragma once

#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>
#include <interplay/nn/attention.h>
#include <interplay/nn/mlp.h>

/// What DIEN reads a history by (Zhou et al. 2019, arXiv:1809.03672).
namespace interplay::nn {

/// The states that torch's GRU has after each entry (r, z, n; h' = n + z (h - n)), by products that keep equal rows
/// equal: f32 [B, T, E] -> f32 [B, T, H] of its last layer, without the dropout between layers.
INTERPLAY_API at::Tensor gru_states(const torch::nn::GRU& gru, const at::Tensor& x);

/// A GRU whose update gate is scaled by attention (AUGRU, eq. 16 and 17):
///
///     u, r = sigmoid(W x + b + V h + c), n = tanh(W x + b + r * (V h + c)), h' = h + a u (n - h)
///
/// Steps that are not valid leave the state. x f32 [B, T, E], attention f32 [B, T], valid bool [B, T] -> the last state
/// f32 [B, H]
class INTERPLAY_API AuGruImpl : public torch::nn::Module {
 public:
  AuGruImpl(int64_t in, int64_t hidden);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& attention, const at::Tensor& valid);

 private:
  int64_t hidden_;
  at::Tensor input_weight_, input_bias_, state_weight_, state_bias_;  // rows: u, r, n
};
TORCH_MODULE(AuGru);

/// Interests and how they evolve (sec. 4.2 and 4.3): a GRU's states h_t over the entries, attention a_t = softmax over
/// t of h_t . (W q), an AUGRU over the states. W starts as the identity where it is square. A row without entries has
/// the state zero. q f32 [B, K], entries f32 [N, E] -> state f32 [B, E]
class INTERPLAY_API InterestsImpl : public torch::nn::Module {
 public:
  InterestsImpl(int64_t target_width, int64_t entry_width);  ///< K, E
  struct Result {
    at::Tensor state;      ///< f32 [B, E]
    at::Tensor entries;    ///< f32 [N, E]: the GRU's state after each entry
    at::Tensor attention;  ///< f32 [N]
  };
  Result forward(const at::Tensor& target, const SequenceVectors& history);

 private:
  torch::nn::GRU gru_;
  AuGru augru_;
  at::Tensor weight_;  // W [E, K]
};
TORCH_MODULE(Interests);

/// The auxiliary loss (eq. 7): how well a state tells the next entry from one that did not come. For each entry with
/// one behind it in its row, BCE of MLP([h_t ; e_t+1]) against 1 and of MLP([h_t ; e'_t+1]) against 0.
class INTERPLAY_API NextEntryImpl : public torch::nn::Module {
 public:
  NextEntryImpl(int64_t width, const std::vector<int64_t>& hidden, const std::string& activation);  ///< E
  struct Result {
    at::Tensor value;  ///< f32 [2 P], of P pairs; those against 1 first
    at::Tensor rows;   ///< i64 [2 P]: whose each is
  };
  /// `states` f32 [N, E], beside the entries of `history`; `negative` f32 [N, E]: in place of each entry, one that did
  /// not come.
  Result forward(const at::Tensor& states, const SequenceVectors& history, const at::Tensor& negative);

 private:
  Mlp mlp_;
};
TORCH_MODULE(NextEntry);

}  // namespace interplay::nn
