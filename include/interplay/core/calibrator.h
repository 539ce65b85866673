#pragma once

#include <memory>
#include <vector>

#include <interplay/base/registry.h>

namespace interplay {

/// What a calibrator is fitted to: rows that have the label, and count.
struct CalibrationRows {
  std::vector<double> logit;   ///< [N] finite
  std::vector<double> label;   ///< [N] 0 to 1
  std::vector<double> weight;  ///< [N] above 0
};

/// A map from a model's logit to one whose sigmoid is the rate that is observed. It never falls, so that no order of
/// rows is turned round, and is continuous, so that a last bit of a logit decides nothing. Its options are what was
/// fitted, which calibration.json keeps. Immutable, so it may be used from any thread.
///
/// A new one is one file:
///
///     class Shift final : public interplay::Calibrator {
///      public:
///       struct Options { double by = 0; void visit(auto&& field) { field("by", by, "added to a logit"); } };
///       ...
///     };
///     INTERPLAY_REGISTER(interplay::calibrators(), "shift", Shift, "z + by");
class INTERPLAY_API Calibrator {
 public:
  virtual ~Calibrator();
  virtual double logit(double z) const = 0;  ///< finite for every finite z
  /// The one of its kind with the least log loss on these rows; what this one was fitted to does not matter. Throws
  /// Error(data) unless both classes occur.
  virtual std::shared_ptr<const Calibrator> fit(const CalibrationRows& rows) const = 0;
  virtual Config parameters() const = 0;  ///< its options: numbers and lists of numbers
};

INTERPLAY_API Registry<Calibrator>& calibrators();

}  // namespace interplay
