#include "bench/criteo.h"

#include <malloc.h>

#include <fmt/format.h>

#include <interplay/base/log.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/train/run.h>

namespace fs = std::filesystem;

namespace interplay::bench {
namespace {

fs::path folder(const Setting& setting, int64_t rows) {
  const fs::path path = setting.scratch / fmt::format("criteo-{}", rows);
  fs::create_directories(path);
  return path;
}

}  // namespace

fs::path criteo_raw(const Setting& setting, int64_t rows) {
  const fs::path raw = folder(setting, rows) / "raw";
  if (!fs::exists(raw)) {
    log::info("making up {} rows of Criteo's shape in {}", rows, raw.string());
    SynthOptions options;
    options.shape = "criteo";
    options.rows = rows;
    synthesize(options, raw);
  }
  return raw;
}

fs::path criteo_prepared(const Setting& setting, int64_t rows) {
  if (!setting.data.empty()) return setting.data;
  const fs::path prepared = folder(setting, rows) / "prepared";
  if (!fs::exists(prepared)) {
    prepare(Config::load(criteo_raw(setting, rows) / "data.yaml"), prepared);
    ::malloc_trim(0);  // what preparing took is not to be counted as training's
  }
  return prepared;
}

Config experiment(const Setting& setting, const std::string& model) {
  Config config = Config::parse(
      "train: {epochs: 1, batch_size: 4096, patience: 0}\n"
      "optimizer: {embedding: {name: adam, lr: 1e-3}, dense: {name: adam, lr: 1e-3}}\n");
  config.set("model.name", Config::scalar(model, true));
  for (const auto& assignment : setting.sets) config.set(assignment);
  return resolve_experiment(config);
}

}  // namespace interplay::bench
