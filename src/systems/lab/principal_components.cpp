#include "systems/lab/principal_components.h"

#include <algorithm>

#include <Eigen/Eigenvalues>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

namespace interplay {

PrincipalBasis principal_basis(const at::Tensor& rows, int64_t dimension) {
  INTERPLAY_CHECK(rows.dim() == 2 && rows.size(0) > 0 && rows.size(1) > 0,
                  "principal components: expected rows [N, D], found a tensor with {} dimensions", rows.dim());
  const auto x = rows.to(at::kDouble).contiguous();                   // [N, D]
  const auto mean = x.mean(0, true);                                  // [1, D]
  const auto centred = (x - mean).contiguous();                       // [N, D]
  const auto covariance = at::mm(centred.t(), centred).contiguous();  // [D, D], symmetric
  INTERPLAY_CHECK(at::isfinite(covariance).all().item<bool>(),
                  "principal components: the vectors hold numbers that are not finite");
  const int64_t D = rows.size(1), kept = std::min(dimension, D);
  const Eigen::Map<const Eigen::MatrixXd> c(covariance.data_ptr<double>(), D, D);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(c);  // eigenvalues rise
  INTERPLAY_ASSERT(solver.info() == Eigen::Success);
  const Eigen::MatrixXd basis = solver.eigenvectors().rowwise().reverse().leftCols(kept);  // [D, kept], by column
  return {mean, at::from_blob(const_cast<double*>(basis.data()), {kept, D}, at::kDouble).clone().t()};
}

at::Tensor PrincipalBasis::project(const at::Tensor& rows) const {
  return at::mm((rows.to(at::kDouble).contiguous() - mean).contiguous(), directions).to(at::kFloat);
}

at::Tensor principal_components(const at::Tensor& rows, int64_t dimension) {
  return principal_basis(rows, dimension).project(rows);
}

}  // namespace interplay
