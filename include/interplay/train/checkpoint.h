#pragma once

#include <filesystem>
#include <string>

#include <torch/nn/module.h>

#include <interplay/optim/optimizer.h>

namespace interplay {

/// Where a run can go on from, as if it had never stopped: weights, optimizer state, torch's random state, and `state`,
/// a JSON object of `step` and whatever else the loop has to remember. In `<run>/checkpoint-<step>/`, made whole before
/// `<run>/LATEST` names it; of earlier ones the last stays, until the next is there. Throws Error(data) for what cannot
/// be written.
INTERPLAY_API void save_checkpoint(const std::filesystem::path& run, const torch::nn::Module& model,
                                   const Optimizer& optimizer, const std::string& state);

/// Puts the last checkpoint of `run` into model, optimizer and the random state. Returns `state`, or "" where the run
/// has no checkpoint. Throws Error(data) naming what is damaged, or is of another model or optimizer.
INTERPLAY_API std::string load_checkpoint(const std::filesystem::path& run, torch::nn::Module& model,
                                          Optimizer& optimizer);

}  // namespace interplay
