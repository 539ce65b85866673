#include "systems/recfound/tuned_run.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/files.h>
#include <interplay/lm/model_files.h>
#include <interplay/nn/safetensors.h>

namespace fs = std::filesystem;

namespace interplay::recfound {
namespace {

/// Of one adapter that has about as many weights as experts and router have together. `decoder` has adapters of rank 1.
int64_t rank_alone(const TunedAdapterOptions& o, int64_t tasks, const lm::Decoder& decoder) {
  int64_t ends = 0, projections = 0;  // inputs and outputs of all adapted projections
  for (const auto& [name, w] : decoder->adapter_weights())
    ends += w.numel(), projections += name.ends_with("lora_A.weight");
  const int64_t experts = o.counts().total();
  const int64_t router = tasks * o.router_width + projections * experts * (o.router_width + 1);
  return std::max<int64_t>(1, std::llround(double(experts * o.rank * ends + router) / double(ends)));
}

}  // namespace

lm::TunedDecoder adapted_decoder(const TuneOptions& o, const std::vector<Task>& tasks) {
  INTERPLAY_CHECK(!lm::TunedFolder::find(o.lm), "lm: {} is a tuned model; name the one that it was tuned from", o.lm);
  lm::Decoder decoder = lm::load_decoder(lm::find_model(o.lm), nn::parse_precision(o.precision));
  const bool routed = o.adapters.experts == "tasks";
  const auto seed = uint64_t(o.seed);
  lm::AdapterOptions adapters;
  adapters.rank = o.adapters.rank, adapters.alpha = o.adapters.alpha, adapters.dropout = o.adapters.dropout;
  adapters.targets = o.adapters.targets;
  if (routed) {
    adapters.experts = o.adapters.counts().total();
    INTERPLAY_CHECK(adapters.experts > 1, "adapters: {} experts; for one adapter say experts: none", adapters.experts);
    decoder->adapt(adapters, seed);
    std::vector<lm::TaskFamily> families;
    for (const auto& task : tasks) families.push_back(task.family());
    return {decoder, lm::TaskRouter(families, decoder->adapted(), o.adapters.counts(), o.adapters.router_width, seed)};
  }
  adapters.rank = 1;
  decoder->adapt(adapters, seed);
  const int64_t rank = rank_alone(o.adapters, int64_t(tasks.size()), decoder);
  decoder->remove_adapters();
  adapters.rank = rank;
  adapters.alpha = o.adapters.alpha * double(rank) / double(o.adapters.rank);
  decoder->adapt(adapters, seed);
  return {decoder, nullptr};
}

lm::TunedFolder folder_of(const TuneOptions& o, const std::vector<Task>& tasks, const fs::path& out) {
  lm::TunedFolder folder;
  folder.folder = out;
  folder.base = o.lm;
  for (const auto& task : tasks) folder.tasks.push_back(task.tuned());
  if (o.adapters.experts == "tasks")
    folder.experts = o.adapters.counts(), folder.router_width = o.adapters.router_width;
  return folder;
}

fs::path snapshot_file(const fs::path& run, int64_t step) {
  return run / kSnapshots / fmt::format("{:07}.safetensors", step);
}

void save_snapshot(const fs::path& run, int64_t step, const lm::TunedDecoder& model) {
  make_directories(run / kSnapshots);
  nn::save_safetensors(snapshot_file(run, step), model.weights());
}

std::vector<int64_t> snapshots(const fs::path& run) {
  std::vector<int64_t> out;
  if (!fs::is_directory(run / kSnapshots)) return out;
  for (const auto& entry : fs::directory_iterator(run / kSnapshots)) {
    const std::string name = entry.path().stem().string();
    int64_t step = 0;
    const auto [rest, problem] = std::from_chars(name.data(), name.data() + name.size(), step);
    if (problem == std::errc() && rest == name.data() + name.size() && entry.path().extension() == ".safetensors")
      out.push_back(step);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace interplay::recfound
