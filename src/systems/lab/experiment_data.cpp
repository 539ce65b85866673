#include "systems/lab/experiment_data.h"

#include <filesystem>

namespace fs = std::filesystem;

namespace interplay {

Config load_experiment_data(const Config& experiment, const std::string& data, const std::string& root) {
  if (data.empty()) experiment["data"].fail("missing; which data.yaml says what the events are?");
  const fs::path folder = fs::path(experiment.source()).parent_path();
  Config out = Config::load(fs::path(data).is_absolute() ? fs::path(data) : folder / data);
  if (!root.empty()) out.set("root", Config::scalar(fs::absolute(folder / root).string(), true));
  return out;
}

}  // namespace interplay
