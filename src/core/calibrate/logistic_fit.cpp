#include <interplay/core/logistic_fit.h>

#include <cmath>

#include <Eigen/Dense>

#include <interplay/base/error.h>

#include "core/metric/probability.h"

namespace interplay {
namespace {

constexpr int kNewtonSteps = 40, kMost = 3;                            // columns and shift
using Vector = Eigen::Matrix<double, Eigen::Dynamic, 1, 0, kMost, 1>;  // on the stack
using Square = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, kMost, kMost>;

/// The same problem in columns of mean 0 and deviation 1 (without a shift: of square mean 1), on which steps are as
/// good whatever the size and place of the numbers. Last comes the shift, where there is one.
class Standardised {
 public:
  Standardised(const LogisticRows& rows, bool with_shift) : rows_(rows), with_shift_(with_shift) {
    INTERPLAY_ASSERT(int(rows.columns.size()) + with_shift <= kMost);
    for (const double w : rows.weight) total_ += w;
    for (const auto column : rows.columns) {
      double mean = 0, squares = 0;
      for (size_t i = 0; with_shift && i < column.size(); ++i) mean += rows.weight[i] * column[i] / total_;
      for (size_t i = 0; i < column.size(); ++i)
        squares += rows.weight[i] * (column[i] - mean) * (column[i] - mean) / total_;
      const double deviation = std::sqrt(squares);
      mean_.push_back(mean);
      scale_.push_back(deviation > 1e-12 * std::abs(mean) && std::isfinite(deviation) ? 1 / deviation : 0);
    }
  }

  Eigen::Index size() const { return Eigen::Index(mean_.size()) + with_shift_; }
  double total() const { return total_; }

  Vector begin() const {
    Vector at = Vector::Zero(size());
    double positive = 0;
    for (size_t i = 0; i < rows_.label.size(); ++i) positive += rows_.weight[i] * rows_.label[i];
    if (with_shift_ && positive > 0 && positive < total_) at[size() - 1] = std::log(positive / (total_ - positive));
    return at;
  }

  double loss(const Vector& at) const {
    Vector x(size());
    double sum = 0;
    for (size_t i = 0; i < rows_.label.size(); ++i) {
      read(i, x);
      sum += rows_.weight[i] * cross_entropy(at.dot(x), rows_.label[i]);
    }
    return sum;
  }

  void derive(const Vector& at, Vector& gradient, Square& curvature) const {
    Vector x(size());
    gradient.setZero(size());
    curvature.setZero(size(), size());
    for (size_t i = 0; i < rows_.label.size(); ++i) {
      read(i, x);
      const double p = sigmoid(at.dot(x));
      gradient += rows_.weight[i] * (p - rows_.label[i]) * x;
      curvature += rows_.weight[i] * p * (1 - p) * x * x.transpose();
    }
    for (Eigen::Index k = 0; k < size(); ++k) {  // nothing moves along a column that is constant
      if (curvature(k, k) == 0) curvature(k, k) = 1;
    }
  }

  LogisticFit in_given_columns(const Vector& at) const {
    LogisticFit fit;
    fit.shift = with_shift_ ? at[size() - 1] : 0;
    for (size_t k = 0; k < mean_.size(); ++k) {
      fit.slopes.push_back(at[Eigen::Index(k)] * scale_[k]);
      fit.shift -= fit.slopes[k] * mean_[k];
    }
    fit.loss = loss(at);
    return fit;
  }

 private:
  void read(size_t row, Vector& x) const {
    for (size_t k = 0; k < mean_.size(); ++k) x[Eigen::Index(k)] = (rows_.columns[k][row] - mean_[k]) * scale_[k];
    if (with_shift_) x[size() - 1] = 1;
  }

  const LogisticRows& rows_;
  bool with_shift_;
  double total_ = 0;
  std::vector<double> mean_, scale_;
};

}  // namespace

/// Newton's steps from slopes of 0, each halved until the loss falls: far from the least one a whole step may go
/// anywhere.
LogisticFit fit_logistic(const LogisticRows& given, bool with_shift) {
  const Standardised rows(given, with_shift);
  Vector at = rows.begin(), gradient;
  Square curvature;
  double loss = rows.loss(at);
  for (int step = 0; step < kNewtonSteps; ++step) {
    rows.derive(at, gradient, curvature);
    const auto factors = curvature.ldlt();
    if (!(factors.vectorD().minCoeff() > 1e-12 * curvature.diagonal().maxCoeff())) break;
    const Vector by = factors.solve(gradient);
    const double gain = gradient.dot(by);  // twice what the step is expected to gain
    double part = 1, now = 0;
    while (part > 1e-6 && !((now = rows.loss(at - part * by)) < loss)) part /= 2;
    if (part <= 1e-6) break;
    at -= part * by, loss = now;
    if (gain < 1e-12 * rows.total()) break;  // the next one would gain its square
  }
  return rows.in_given_columns(at);
}

}  // namespace interplay
