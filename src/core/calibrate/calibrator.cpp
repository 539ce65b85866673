#include <interplay/core/calibrator.h>

#include "core/calibrate/fitted.h"

namespace interplay {

Calibrator::~Calibrator() = default;

Registry<Calibrator>& calibrators() {
  static auto* registry = new Registry<Calibrator>("calibrator");  // leaked, as metrics() is
  return *registry;
}

void check_both_classes(const CalibrationRows& rows) {
  bool positive = false, negative = false;
  for (const double y : rows.label) positive |= y > 0, negative |= y < 1;
  INTERPLAY_CHECK_DATA(positive && negative, "calibrate: the {} labels are all of one class; a map needs both",
                       rows.label.size());
}

}  // namespace interplay
