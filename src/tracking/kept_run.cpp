#include "tracking/kept_run.h"

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

namespace fs = std::filesystem;

namespace interplay::tracking {
namespace {

constexpr const char* kFile = ".mlflow.json";

}  // namespace

std::optional<KeptRun> KeptRun::load(const fs::path& directory) {
  const fs::path file = directory / kFile;
  if (!fs::exists(file)) return {};
  try {
    const auto json = nlohmann::json::parse(read_file(file));
    return KeptRun{json.at("url"), json.at("experiment"), json.at("run_id")};
  } catch (const nlohmann::json::exception& problem) {
    throw Error(fmt::format("{}: does not say which run of MLflow this is ({}); remove it, and MLflow gets a new one",
                            file.string(), problem.what()),
                ErrorKind::data);
  }
}

void KeptRun::save(const fs::path& directory) const {
  const nlohmann::ordered_json json{{"url", url}, {"experiment", experiment}, {"run_id", run_id}};
  write_file(directory / kFile, json.dump(1) + "\n");
}

}  // namespace interplay::tracking
