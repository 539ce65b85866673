#include <interplay/bench/criteo.h>

#include <malloc.h>

#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include <interplay/base/error.h>
#include <interplay/base/log.h>
#include <interplay/core/bundle.h>
#include <interplay/core/model.h>
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

fs::path criteo_run(const Setting& setting, const std::string& model, int64_t rows, const std::string& name) {
  Setting made = setting;
  made.data.clear();  // the raw rows and the vocabularies have to be those of one another
  const fs::path prepared = criteo_prepared(made, rows), run = folder(made, rows) / name;
  const Config config = experiment(setting, model);
  const Schema schema = select_fields(Schema::load(prepared / "schema.yaml"), config["fields"]);
  fs::remove_all(run);
  save_bundle(run, *make_model(config["model"], schema, 1), config, schema, prepared);
  return run;
}

std::vector<std::string> criteo_columns() {
  std::vector<std::string> names;
  for (int i = 1; i <= 13; ++i) names.push_back(fmt::format("I{}", i));
  for (int i = 1; i <= 26; ++i) names.push_back(fmt::format("C{}", i));
  return names;
}

namespace {

/// The first rows of a text, without their labels.
std::vector<std::vector<std::string>> cells_of(const fs::path& file, size_t most, size_t columns) {
  std::vector<std::vector<std::string>> rows;
  std::ifstream in(file);
  for (std::string line; rows.size() < most && std::getline(in, line);) {
    auto& cells = rows.emplace_back();
    std::stringstream parts(line);
    for (std::string cell; std::getline(parts, cell, '\t');) cells.push_back(cell);
    cells.resize(columns + 1);
    cells.erase(cells.begin());
  }
  INTERPLAY_CHECK_DATA(!rows.empty(), "{}: no row to score", file.string());
  return rows;
}

}  // namespace

std::vector<CriteoRequest> criteo_requests(const Setting& setting, int64_t rows, int64_t user_columns,
                                           int64_t candidates) {
  constexpr size_t kRequests = 16;
  const auto users = size_t(user_columns), count = size_t(candidates), columns = criteo_columns().size();
  const auto of = cells_of(criteo_raw(setting, rows) / "test.txt", kRequests * count, columns);
  std::vector<CriteoRequest> requests(kRequests);
  for (size_t r = 0; r < kRequests; ++r) {
    auto& text = requests[r].text;
    const auto add = [&](size_t row, size_t begin, size_t end) {
      for (size_t c = begin; c < end; ++c) text.push_back(of[row % of.size()][c]);
    };
    add(r * count, 0, users);
    for (size_t i = 0; i < count; ++i) add(r * count + i, users, columns);
    requests[r].user.assign(text.begin(), text.begin() + int64_t(users));
    requests[r].candidates.assign(text.begin() + int64_t(users), text.end());
  }
  return requests;
}

}  // namespace interplay::bench
