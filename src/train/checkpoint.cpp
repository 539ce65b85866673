#include <interplay/train/checkpoint.h>

#include <cstdlib>
#include <cstring>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/core/bundle.h>
#include <interplay/core/generators.h>
#include <interplay/core/model.h>
#include <interplay/nn/safetensors.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr const char* kLatest = "LATEST";
constexpr const char* kRandom = "random_state";
constexpr const char* kPrefix = "checkpoint-";

/// The checkpoint that LATEST names. Where there is no LATEST yet, the newest: the run may have been ended between the
/// two. Empty without any.
fs::path latest_checkpoint(const fs::path& run) {
  if (fs::exists(run / kLatest)) {
    std::string name = read_file(run / kLatest);
    while (!name.empty() && name.back() == '\n') name.pop_back();
    INTERPLAY_CHECK_DATA(name.starts_with(kPrefix) && fs::is_directory(run / name),
                         "{}: names '{}', which is not a checkpoint of this run; it cannot be resumed",
                         (run / kLatest).string(), name);
    return run / name;
  }
  fs::path newest;
  double newest_step = -1;
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_directory() || !name.starts_with(kPrefix)) continue;
    const double step = std::atof(name.c_str() + std::strlen(kPrefix));
    if (step > newest_step) newest = entry.path(), newest_step = step;
  }
  return newest;
}

/// The CPU's under its name alone.
std::string random_of(const std::string& device) {
  return device == "cpu" ? kRandom : fmt::format("{}.{}", kRandom, device);
}

}  // namespace

void save_checkpoint(const fs::path& run, const torch::nn::Module& model, const Optimizer& optimizer,
                     const std::string& state) {
  const std::string before = latest_checkpoint(run).filename().string();
  std::string name = fmt::format("checkpoint-{}", optimizer.steps());
  for (int again = 1; fs::exists(run / name); ++again) {  // the one LATEST names is never touched
    name = fmt::format("checkpoint-{}.{}", optimizer.steps(), again);
  }
  NewDirectory made(run / name);
  const fs::path& temporary = made.path();
  nn::save_safetensors(temporary / "model.safetensors", weights_of(model));
  auto state_of_it = optimizer.state();
  for (const auto& [device, drawn] : generator_states()) state_of_it[random_of(device)] = drawn;
  nn::save_safetensors(temporary / "optimizer.safetensors", state_of_it);
  write_file(temporary / "state.json", state + "\n");
  Manifest::describe(temporary).save(temporary);
  made.commit();
  write_file(run / kLatest, name + "\n");
  for (const auto& entry : fs::directory_iterator(run)) {
    const auto other = entry.path().filename().string();
    if (entry.is_directory() && other != name && other != before &&
        (other.starts_with("checkpoint-") || other.starts_with(".checkpoint-"))) {
      fs::remove_all(entry.path());
    }
  }
}

std::string load_checkpoint(const fs::path& run, torch::nn::Module& model, Optimizer& optimizer) {
  const fs::path directory = latest_checkpoint(run);
  if (directory.empty()) return "";
  Manifest::load(directory).check(directory, /*contents=*/true);
  const nn::Safetensors weights(directory / "model.safetensors"), saved_state(directory / "optimizer.safetensors");
  load_weights(model, weights.tensors(), (directory / "model.safetensors").string());
  for (auto& [key, state] : optimizer.state()) {
    const at::Tensor& saved = saved_state.at(key);
    INTERPLAY_CHECK_DATA(saved.sizes() == state.sizes(),
                         "{}: state of '{}' has another shape; it belongs to another optimizer",
                         (directory / "optimizer.safetensors").string(), key);
    const at::NoGradGuard no_grad;
    state.copy_(saved);
  }
  for (const auto& [device, now] : generator_states()) {
    const std::string key = random_of(device);
    if (saved_state.has(key)) restore_generator(device, saved_state.at(key));
  }
  const fs::path file = directory / "state.json";
  try {
    const std::string state = read_file(file);
    optimizer.restore(nlohmann::json::parse(state).at("step").get<int64_t>());
    return state;
  } catch (const nlohmann::json::exception& problem) {
    throw Error(fmt::format("{}: not the state of a run ({})", file.string(), problem.what()), ErrorKind::data);
  }
}

}  // namespace interplay
