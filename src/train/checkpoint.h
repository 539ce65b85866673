#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

#include <interplay/core/model.h>
#include <interplay/optim/optimizer.h>

namespace interplay {

/// Everything that a run needs to go on as if it had never stopped: weights, optimizer state, torch's random state, and
/// `state`, whatever the training loop has to remember. In `<run>/checkpoint-<step>/`, made whole before `<run>/LATEST`
/// names it; earlier ones are removed afterwards.
void save_checkpoint(const std::filesystem::path& run, const Model& model, const Optimizer& optimizer,
                     const nlohmann::ordered_json& state);

/// Puts the last checkpoint of `run` into model, optimizer and the random state. Returns `state`, or null where the
/// run has no checkpoint.
nlohmann::ordered_json load_checkpoint(const std::filesystem::path& run, Model& model, Optimizer& optimizer);

}  // namespace interplay
