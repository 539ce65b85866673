#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>

#include <interplay/data/field_encoding.h>
#include <interplay/data/transform.h>

namespace interplay {

/// What is stored of a number; NaN where it is missing.
class NumberRule {
 public:
  explicit NumberRule(const FieldEncoding::Values& values)
      : transform_(transforms().make(values.transform)),
        missing_(values.missing),
        shift_(values.shift),
        scale_(values.scale) {}

  const Transform& transform() const { return *transform_; }
  /// As a model sees it.
  float dense(double x) const {
    if (std::isnan(x)) {
      if (!missing_) return 0.0f;
      x = *missing_;
    }
    return float((transform_->apply(x) - shift_) / scale_);
  }
  /// Its bucket; false where it is missing and stays so.
  bool bucket(double x, int64_t& bucket) const {
    if (std::isnan(x)) {
      if (!missing_) return false;
      x = *missing_;
    }
    bucket = int64_t(transform_->apply(x));
    return true;
  }

 private:
  std::shared_ptr<const Transform> transform_;
  std::optional<double> missing_;
  double shift_, scale_;
};

}  // namespace interplay
