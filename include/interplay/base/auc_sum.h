#pragma once

namespace interplay {

/// Area under the ROC curve from tie groups by rising score: a positive beats every negative below and half of those
/// that tie with it (Mann-Whitney).
class AucSum {
 public:
  void add(double positive, double negative) {  ///< weights of one tie group
    area_ += positive * (negative_ + 0.5 * negative);
    positive_ += positive;
    negative_ += negative;
  }
  double weight() const { return positive_ + negative_; }
  bool both_classes() const { return positive_ > 0 && negative_ > 0; }
  double value() const { return area_ / (positive_ * negative_); }  ///< NaN with one class only

 private:
  double area_ = 0, positive_ = 0, negative_ = 0;
};

}  // namespace interplay
