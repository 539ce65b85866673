#include <interplay/core/generators.h>

#include <mutex>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include <interplay/base/error.h>

namespace interplay {
namespace {

at::Generator generator_of(const at::Device& device) { return at::globalContext().defaultGenerator(device); }

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> generator_states() {
  std::vector<at::Device> devices{at::kCPU};
  if (at::hasCUDA()) {
    const auto count = at::detail::getCUDAHooks().deviceCount();
    for (int i = 0; i < count; ++i) devices.emplace_back(at::kCUDA, c10::DeviceIndex(i));
  }
  std::vector<std::pair<std::string, at::Tensor>> out;
  for (const auto& device : devices) {
    auto generator = generator_of(device);
    const std::lock_guard lock(generator.mutex());
    out.emplace_back(device.str(), generator.get_state());
  }
  return out;
}

void restore_generator(const std::string& device, const at::Tensor& state) {
  INTERPLAY_CHECK(device == "cpu" || at::hasCUDA(),
                  "the state of the generator of {} cannot be restored: this LibTorch has no CUDA", device);
  auto generator = generator_of(at::Device(device));
  const std::lock_guard lock(generator.mutex());
  generator.set_state(state.clone());
}

}  // namespace interplay
