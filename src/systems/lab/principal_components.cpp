#include "systems/lab/principal_components.h"

#include <algorithm>

#include <Eigen/Eigenvalues>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

namespace interplay {

at::Tensor principal_components(const at::Tensor& rows, int64_t dimension) {
  INTERPLAY_CHECK(rows.dim() == 2 && rows.size(0) > 0 && rows.size(1) > 0,
                  "principal components: expected rows [N, D], found a tensor with {} dimensions", rows.dim());
  const auto x = rows.to(at::kDouble).contiguous();                   // [N, D]
  const auto centred = (x - x.mean(0, true)).contiguous();            // [N, D]
  const auto covariance = at::mm(centred.t(), centred).contiguous();  // [D, D], symmetric
  INTERPLAY_CHECK(at::isfinite(covariance).all().item<bool>(),
                  "principal components: the vectors hold numbers that are not finite");
  const int64_t D = rows.size(1), kept = std::min(dimension, D);
  const Eigen::Map<const Eigen::MatrixXd> c(covariance.data_ptr<double>(), D, D);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(c);  // eigenvalues rise
  INTERPLAY_ASSERT(solver.info() == Eigen::Success);
  const Eigen::MatrixXd basis = solver.eigenvectors().rowwise().reverse().leftCols(kept);  // [D, kept], by column
  const auto directions = at::from_blob(const_cast<double*>(basis.data()), {kept, D}, at::kDouble).t();  // [D, kept]
  return at::mm(centred, directions).to(at::kFloat);
}

}  // namespace interplay
