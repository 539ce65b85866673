#pragma once

#include <vector>

#include <interplay/lm/decoder.h>

#include "lm/tensor/step_matrix.h"

namespace interplay::lm {

/// Quantised weights of a decoder's file, as they are there. A matrix that is not quantised is empty here.
struct DecoderImpl::Packed {
  struct Layer {
    StepMatrix qkv, output, gate_up, down;
  };
  std::vector<Layer> layers;
  StepMatrix head;
};

}  // namespace interplay::lm
