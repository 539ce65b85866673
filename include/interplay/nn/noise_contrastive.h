#pragma once

#include <memory>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/nn/embedding.h>

namespace interplay::nn {

/// Which of C classes a vector is of, learnt from few of them at a time: noise contrastive estimation (Gutmann and
/// Hyvarinen 2010; Mnih and Teh 2012, arXiv:1206.6426, for words). With s(c) = <z, E_c> + b_c, k noise classes drawn
/// from how often each class occurs, Q, and Z = log C in place of the normaliser:
///
///     loss = sum over the target and its noise of BCE(s(c) - Z - log(k Q(c)), whether c stands for the target)
///
/// Noise may be the target, or come twice. b starts as log Q + Z, so that the logit starts as <z, E_c> - log k. E and b
/// are embedding tables, of which a step moves the rows it read; class c is row c + 1, their first row being padding.
/// Q is kept in a buffer of counts; until counts() is given any, all classes are alike.
/// Parameter group: embedding. Thread safety: concurrent const functions and forward() under NoGradGuard are allowed.
class INTERPLAY_API NoiseContrastiveImpl : public torch::nn::Module {
 public:
  /// E starts from N(0, 1 / (3 K)), the spread of a uniform start in +-1 / sqrt(K). Throws Error where a number is
  /// below 1.
  NoiseContrastiveImpl(int64_t classes, int64_t width, int64_t noise);
  ~NoiseContrastiveImpl() override;

  /// How often each class occurs, i64 [C]; b starts anew. A share of less than 1e-10 counts as that.
  void set_counts(const at::Tensor& counts);
  const at::Tensor& counts() const { return counts_; }

  /// z f32 [N, K], target i64 [N], noise i64 [N, k] -> f32 [N], a sum over k + 1 classes each.
  at::Tensor forward(const at::Tensor& z, const at::Tensor& target, const at::Tensor& noise);
  /// Noise of N vectors from torch's default generator, i64 [N, k].
  at::Tensor draw(int64_t rows) const;
  /// The same of given numbers, each f64 [N, k] and uniform in [0, 1).
  at::Tensor draw(const at::Tensor& place, const at::Tensor& coin) const;
  /// s of `count` classes from `first` on, by which they are ranked: z f32 [N, K] -> f32 [N, count]
  at::Tensor scores(const at::Tensor& z, int64_t first, int64_t count);

  int64_t classes() const { return classes_; }
  int64_t noise() const { return noise_; }

 private:
  struct Noise;
  std::shared_ptr<const Noise> noise_of_counts() const;

  int64_t classes_, noise_;
  Embedding output_{nullptr}, bias_{nullptr};
  at::Tensor counts_;  // i64 [C]
  struct Cache;
  std::unique_ptr<Cache> cache_;
};
TORCH_MODULE(NoiseContrastive);

}  // namespace interplay::nn
