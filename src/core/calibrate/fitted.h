#pragma once

#include <interplay/core/calibrator.h>

namespace interplay {

/// Throws Error(data) unless both classes occur: of one alone any map is as good as a surer one.
void check_both_classes(const CalibrationRows& rows);

}  // namespace interplay
