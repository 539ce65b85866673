#include "train/run_files.h"

#include <ATen/ATen.h>

#include <interplay/base/files.h>
#include <interplay/core/bundle.h>
#include <interplay/nn/safetensors.h>
#include <interplay/train/checkpoint.h>

#include "train/guard.h"
#include "train/wanted_metrics.h"

namespace interplay {
namespace {

constexpr const char* kMetrics = "metrics.jsonl";

}  // namespace

void RunFiles::write_metrics(const std::vector<EpochReport>& all) const {
  if (directory_.empty()) return;
  std::string lines;
  for (const auto& report : all) lines += to_json(report).dump() + "\n";
  write_file(directory_ / kMetrics, lines);
}

void RunFiles::append_metrics(const EpochReport& report) const {
  if (directory_.empty()) return;
  OutputFile out(directory_ / kMetrics, OutputFile::Mode::append);
  out.write(to_json(report).dump() + "\n");
  out.close();
}

void RunFiles::keep_best(const Model& model, int64_t step) {
  check_weights(model, step);
  if (!directory_.empty()) return save_weights(directory_ / Bundle::kWeights, model);
  best_.clear();
  for (const auto& [name, w] : weights_of(model)) best_[name] = w.clone();
}

void RunFiles::load_best(Model& model) const {
  if (directory_.empty()) return load_weights(model, best_, "the best weights");
  const auto file = directory_ / Bundle::kWeights;
  load_weights(model, nn::Safetensors(file).tensors(), file.string());
}

void RunFiles::check_best() const { nn::Safetensors(directory_ / Bundle::kWeights).check(); }

void RunFiles::save(const Model& model, const Optimizer& optimizer, const nlohmann::ordered_json& state) const {
  if (directory_.empty()) return;
  check_weights(model, optimizer.steps());
  save_checkpoint(directory_, model, optimizer, state.dump(1));
}

nlohmann::ordered_json RunFiles::load(Model& model, Optimizer& optimizer) const {
  const std::string state = load_checkpoint(directory_, model, optimizer);
  return state.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json::parse(state);
}

}  // namespace interplay
