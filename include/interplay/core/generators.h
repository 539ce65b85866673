#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include <interplay/base/api.h>

namespace interplay {

/// The states of torch's default generators, those of the CPU and of every CUDA device that has drawn already, each
/// with its device ("cpu", "cuda:0").
INTERPLAY_API std::vector<std::pair<std::string, at::Tensor>> generator_states();
/// Puts a state back. Throws Error where there is no such device.
INTERPLAY_API void restore_generator(const std::string& device, const at::Tensor& state);

/// Torch's default generators are, after its life, what they were before.
class KeptGenerators {
 public:
  KeptGenerators() : states_(generator_states()) {}
  ~KeptGenerators() {
    for (const auto& [device, state] : states_) restore_generator(device, state);
  }
  KeptGenerators(const KeptGenerators&) = delete;
  KeptGenerators& operator=(const KeptGenerators&) = delete;

 private:
  std::vector<std::pair<std::string, at::Tensor>> states_;
};

}  // namespace interplay
