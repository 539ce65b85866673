#pragma once

#include <string>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/nn/embedding.h>
#include <interplay/nn/field_vectors.h>

namespace interplay::nn {

/// Products of the vectors of sets of fields. A list of P sets of one order o is an i64 tensor [P, o] of field numbers;
/// any order of sets and of fields within a set is computed, the lexicographic one is fast, since neighbours then share
/// all but their last field. Orders from 2 to 4. On the CPU [B, P, K] is never made.

/// All sets of `order` fields in lexicographic order: i64 [C(F, o), o]
INTERPLAY_API at::Tensor all_sets(int64_t fields, int64_t order);

/// z_bp = sum over k of the product of e_bfk over the fields f of set p: f32 [B, F, K], i64 [P, o] -> f32 [B, P].
/// Throws Error on a list of another shape or kind, and on a field that is not there.
INTERPLAY_API at::Tensor set_products(const FieldVectors& fields, const at::Tensor& sets);

/// The product of the vectors of each set, element by element: f32 [B, F, K], i64 [P, o] -> f32 [B, P, K], which the
/// other functions here never make.
INTERPLAY_API at::Tensor elementwise_products(const at::Tensor& e, const at::Tensor& sets);

/// Batch norm of products, without scale and shift: z^ = (z - mean) / sqrt(variance + eps).
struct ProductNorm {
  at::Tensor mean, variance;  ///< f32 [P], running; undefined: z^ = z
  bool from_batch = false;    ///< by the batch's own mean and (biased) variance, which the running ones then follow
  double eps = 1e-3;          ///< TensorFlow's, which AutoFIS was made with
  double momentum = 0.01;     ///< of the batch in the running statistics
};

/// sum over p of gate_p z^_bp, in one pass over sets and rows that keeps neither z nor z^: gates f32 [P] -> f32 [B].
/// A set whose gate is 0 costs its product while training, for a gate may open again, and nothing in evaluation; its
/// fields get no gradient from it.
INTERPLAY_API at::Tensor gated_sum(const FieldVectors& fields, const at::Tensor& sets, const at::Tensor& gates,
                                   const ProductNorm& norm);

/// gate_p z^_bp: f32 [B, P]
INTERPLAY_API at::Tensor gated_products(const FieldVectors& fields, const at::Tensor& sets, const at::Tensor& gates,
                                        const ProductNorm& norm);

struct GateOptions {
  bool norm = true;  ///< normalises products, so that a gate's size says what its set is worth (AutoFIS, section 3.2)
  double norm_eps = 1e-3, norm_momentum = 0.01;
  double start = 0.6, spread = 0.001;  ///< gates start from U(start - spread, start + spread)
};

/// A module with statistics that follow the batches of training.
class INTERPLAY_API RunningStatistics {
 public:
  virtual ~RunningStatistics();
  /// Weight of the next batch in them: 1 / n for the n-th makes them the mean over n batches.
  virtual void set_norm_momentum(double momentum) = 0;
  virtual double norm_momentum() const = 0;
};

/// Vectors of fields less their means over rows: the batch's while training, as running ones follow them, else these.
/// Products of such vectors have mean 0 whatever one of their fields is, as long as the fields are independent: what
/// single fields say is left to first-order weights, and no product stands in for them or makes up for another one.
class INTERPLAY_API CentreImpl : public torch::nn::Module, public RunningStatistics {
 public:
  CentreImpl(int64_t fields, int64_t width, double momentum = 0.01);
  FieldVectors forward(const FieldVectors& fields);  ///< f32 [B, F, K] -> f32 [B, F, K]
  void set_norm_momentum(double momentum) override { momentum_ = momentum; }
  double norm_momentum() const override { return momentum_; }

 private:
  double momentum_;
  at::Tensor running_mean_;  // f32 [F, K]
};
TORCH_MODULE(Centre);

/// Batch norm without affine, then a trainable gate each: f32 [B, P] -> f32 [B, P]. A batch of one row is normalised by
/// the running statistics. Parameter group: `group`.
class INTERPLAY_API GatesImpl : public torch::nn::Module, public HasGroup, public RunningStatistics {
 public:
  GatesImpl(int64_t count, const GateOptions& options, std::string group = "gates");
  at::Tensor forward(const at::Tensor& z);
  at::Tensor sum(const at::Tensor& z);                                 ///< f32 [B, P] -> f32 [B]
  at::Tensor sum(const FieldVectors& fields, const at::Tensor& sets);  ///< of set_products(): gated_sum()
  std::string parameter_group() const override { return group_; }
  at::Tensor spread() const;  ///< standard deviation of what is behind each gate, by the running statistics; f32 [P]
  void set_norm_momentum(double momentum) override { options_.norm_momentum = momentum; }
  double norm_momentum() const override { return options_.norm_momentum; }
  at::Tensor gate;                       ///< f32 [P]
  at::Tensor running_mean, running_var;  ///< f32 [P], buffers; undefined without norm

 protected:
  ProductNorm norm_of(int64_t rows) const;

 private:
  GateOptions options_;
  std::string group_;
};
TORCH_MODULE(Gates);

/// Interactions behind gates (Liu et al. 2020, AutoFIS, arXiv:2003.11235, eq. 9): products of sets of fields, batch
/// norm without affine, times a trainable gate each.
class INTERPLAY_API GatedProductsImpl : public GatesImpl {
 public:
  explicit GatedProductsImpl(at::Tensor sets, const GateOptions& options = {});  ///< i64 [P, o]
  at::Tensor forward(const FieldVectors& fields);                                ///< f32 [B, F, K] -> f32 [B, P]
  at::Tensor sum(const FieldVectors& fields);  ///< the same, summed over sets: f32 [B]

 private:
  at::Tensor sets_;
};
TORCH_MODULE(GatedProducts);

}  // namespace interplay::nn
