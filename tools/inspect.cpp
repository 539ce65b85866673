// interplay inspect RUN|DIR: what a run, a search or prepared data hold; checks every file against the manifest.
#include <algorithm>
#include <filesystem>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/core/calibration.h>
#include <interplay/data/dataset.h>
#include <interplay/serve/scorer.h>

#include "command.h"

namespace interplay::tool::inspect_command {
namespace {

namespace fs = std::filesystem;

std::string field_table(const Schema& schema) {
  std::vector<std::vector<std::string>> rows{{"field", "kind", "table", "rows", "more"}};
  for (const auto& f : schema.fields()) {
    std::string more;
    if (f.kind == FieldKind::sequence)
      more = fmt::format("{}, {}{}{}{}", f.max_length > 0 ? fmt::format("up to {}", f.max_length) : "any length",
                         f.pooling, f.weighted ? ", weighted" : "", f.target.empty() ? "" : ", history of " + f.target,
                         f.paired_with.empty() ? "" : ", paired with " + f.paired_with);
    if (f.kind == FieldKind::vector) more = fmt::format("{} numbers", f.dimension);
    if (f.kind == FieldKind::text) {
      const std::string of = f.text_columns.empty() ? "" : fmt::format(" of {}", fmt::join(f.text_columns, ", "));
      more = f.max_length > 0 ? fmt::format("up to {} tokens{}", f.max_length, of) : fmt::format("tokens{}", of);
    }
    rows.push_back({f.name, to_string(f.kind), f.table, f.rows > 0 ? std::to_string(f.rows) : "-", more});
  }
  return table(rows);
}

/// How much of each split the last id of a table stands for: tokens that training has not seen, and missing values.
std::string unseen_table(const Schema& schema, const std::vector<Dataset>& splits) {
  constexpr int64_t kRows = 65536;
  std::vector<std::vector<std::string>> rows{{"unseen or missing"}};
  for (const Dataset& split : splits) rows[0].push_back(split.name().substr(split.name().rfind('/') + 1));
  std::vector<const Field*> fields;
  for (const Field& f : schema.fields()) {
    if (f.kind != FieldKind::categorical && f.kind != FieldKind::sequence) continue;
    fields.push_back(&f);
    rows.push_back({f.name});
  }
  if (fields.empty()) return "";
  for (const Dataset& split : splits) {
    std::vector<int64_t> all(fields.size()), unseen(fields.size());
    for (int64_t first = 0; first < split.rows(); first += kRows) {
      const Features x = split.slice(first, std::min(kRows, split.rows() - first)).features;
      for (size_t i = 0; i < fields.size(); ++i) {
        const Field& f = *fields[i];
        const at::Tensor ids =
            f.kind == FieldKind::sequence ? x.sequences[size_t(f.column)].ids : x.ids.select(1, f.column);
        all[i] += ids.numel();
        unseen[i] += ids.eq(f.rows - 1).sum().item<int64_t>();
      }
    }
    for (size_t i = 0; i < fields.size(); ++i)
      rows[i + 1].push_back(all[i] > 0 ? fmt::format("{:.1f}%", 100.0 * double(unseen[i]) / double(all[i])) : "-");
  }
  return table(rows);
}

void inspect_data(const fs::path& directory) {
  Manifest::load(directory).check(directory, /*contents=*/true);
  const Schema schema = Schema::load(directory / Bundle::kSchema);
  fmt::print("{}: prepared data, fingerprint {:016x}, labels {}\n", directory.string(), schema.fingerprint(),
             fmt::join(schema.labels(), ", "));
  std::vector<Dataset> splits;
  for (const char* split : {"train", "valid", "test"}) {
    if (!Dataset::exists(directory, split)) continue;
    splits.push_back(Dataset::open(directory, split));
    fmt::print("  {}: {} rows\n", split, splits.back().rows());
  }
  fmt::print("{}\n{}", field_table(schema), unseen_table(schema, splits));
}

void inspect_run(const fs::path& directory) {
  const Bundle bundle = Bundle::open(directory);
  const auto model = bundle.model();
  fmt::print("{}: {} run of model {}, {} parameters ({})\n", directory.string(),
             bundle.finished() ? "finished" : "unfinished", bundle.config()["model"]["name"].as<std::string>(),
             parameter_count(*model), human_bytes(4.0 * double(parameter_count(*model))));
  std::vector<std::vector<std::string>> rows{{"weights", "shape", "numbers"}};
  for (const auto& [name, w] : weights_of(*model))
    rows.push_back(
        {name, w.dim() > 0 ? fmt::format("{}", fmt::join(w.sizes(), " x ")) : "one number", std::to_string(w.numel())});
  fmt::print("{}\n{}\n{}", table(rows), field_table(bundle.schema()), bundle.config().yaml());
  if (!bundle.finished()) return;
  const std::string against = Scorer::load(directory).fallback_reason();
  fmt::print("\nscores {}\n", against.empty() ? "compiled: requests and small batches run without LibTorch"
                                              : "through LibTorch at every size: " + against);
  if (const auto quantised = bundle.quantised(); !quantised.empty())
    fmt::print("tables quantised: {} of them\n", quantised.size());
  if (const auto calibration = bundle.calibration()) {
    const CalibrateOptions& o = calibration->options();
    fmt::print("calibrated: {}, fitted on {}{}\n", o.method, o.split, o.by.empty() ? "" : ", by " + o.by);
  }
}

void inspect_search(const fs::path& directory) {
  Manifest::load(directory).check(directory, /*contents=*/true);
  const Config config = Config::load(directory / Bundle::kConfig);
  fmt::print("{}: finished search {} of model {}\n{}\n{}", directory.string(),
             config["search"]["name"].as<std::string>(), config["model"]["name"].as<std::string>(),
             search_table(directory), config.yaml());
}

std::function<void()> add(CLI::App& app) {
  auto directory = std::make_shared<std::string>();
  app.add_option("DIRECTORY", *directory, "a run, a search, or prepared data")->required();
  return [directory] {
    const fs::path path = *directory;
    INTERPLAY_CHECK_DATA(fs::exists(path), "{}: no such directory", *directory);
    INTERPLAY_CHECK_DATA(fs::is_directory(path), "{}: is a file; expected the directory of a run or of prepared data",
                         *directory);
    if (fs::exists(path / "search.json") && fs::exists(path / "manifest.json")) return inspect_search(path);
    const bool run = fs::exists(path / Bundle::kConfig) || fs::exists(path / Bundle::kWeights);
    INTERPLAY_CHECK_DATA(run || fs::exists(path / "manifest.json"),
                         "{}: neither a run nor prepared data: it has no {} and no manifest.json", *directory,
                         Bundle::kConfig);
    run ? inspect_run(path) : inspect_data(path);
  };
}

const AddCommand command("inspect", "what a run, a search or prepared data hold", add);

}  // namespace
}  // namespace interplay::tool::inspect_command
