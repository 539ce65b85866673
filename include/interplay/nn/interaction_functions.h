#pragma once

#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/nn/field_vectors.h>
#include <interplay/nn/interactions.h>

namespace interplay::nn {

/// inner, vector_kernel, number_kernel, outer
INTERPLAY_API std::vector<std::string> interaction_functions();

struct KernelOptions {
  double start = 1;  ///< kernels of vectors and numbers start from N(start, 0.001^2), at 1 as inner
  /// z has variance 1 where the numbers of the vectors are independent of variance 1: sums are divided by sqrt(K), and
  /// kernels read as of root mean square 1 (those of outer: of length 1), so that none takes over what a gate says.
  bool unit = false;
};

/// One of the four interaction functions of AIM (Zhu et al. 2021, arXiv:2111.03318) for P sets of one order. With
/// h_p = the product of the vectors of set p, element by element:
///
///     inner          z_p = sum_k h_pk
///     vector_kernel  z_p = sum_k kernel_pk h_pk                 kernel f32 [P, K]
///     number_kernel  z_p = kernel_p sum_k h_pk                  kernel f32 [P]
///     outer          z_p = product over m of <kernel_m, e_m>    kernel f32 [o, K], e_m: vector of the m-th field of
///     set p
///
/// outer is the kernel product of rank one, its kernel shared by all sets. Throws Error on another name.
class INTERPLAY_API InteractionFunctionImpl : public torch::nn::Module {
 public:
  /// Kernels of outer start by Xavier.
  InteractionFunctionImpl(std::string function, at::Tensor sets, int64_t width, const KernelOptions& options = {});
  at::Tensor forward(const FieldVectors& fields);  ///< f32 [B, F, K] -> z f32 [B, P]
  at::Tensor parts(const FieldVectors& fields);    ///< what z_p sums up: f32 [B, P, K]; outer: z itself, [B, P, 1]
  double scale() const { return scale_; }          ///< of z: 1, or 1 / sqrt(K)
  const std::string& function() const { return function_; }
  const at::Tensor& sets() const { return sets_; }
  at::Tensor kernel;  ///< undefined for inner

 private:
  at::Tensor read_kernel() const;
  at::Tensor outer(const FieldVectors& fields) const;
  at::Tensor scaled(const at::Tensor& t) const { return scale_ == 1 ? t : t * scale_; }
  std::string function_;
  at::Tensor sets_;  // i64 [P, o]
  bool unit_;
  double scale_;
};
TORCH_MODULE(InteractionFunction);

}  // namespace interplay::nn
