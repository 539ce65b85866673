// calibration.json, and its place in a run.
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/core/bundle.h>
#include <interplay/core/calibration.h>
#include <interplay/data/loader.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kFormat = 1;

struct StoredSlice {
  int64_t id = -1, rows = 0;
  Config map;
  void visit(auto&& field) {
    field("id", id, "of the value");
    field("rows", rows, "that it was fitted to", Range{0, 1e18});
    field("map", map, "its parameters");
  }
};

struct StoredLabel {
  std::string name;
  int64_t rows = 0;
  Config map;
  std::vector<StoredSlice> slices;
  void visit(auto&& field) {
    field("name", name, "of the label");
    field("rows", rows, "that have it", Range{0, 1e18});
    field("map", map, "parameters of the map that slices share");
    field("slices", slices, "by id");
  }
};

struct Stored {
  int64_t format = 0;
  std::string weights;
  CalibrateOptions options;
  std::vector<StoredLabel> labels;
  void visit(auto&& field) {
    field("format", format, "of the file");
    field("method", options.method, "a calibrator");
    field("split", options.split, "that it was fitted on");
    field("by", options.by, "a field");
    field("min_rows", options.min_rows, "of a slice");
    field("sampled", options.sampled, "share of negatives", Range{1e-12, 1});
    field("sampled_label", options.sampled_label, "by which they are negatives");
    field("weights", weights, "checksum of the weights");
    field("labels", labels, "maps");
  }
};

/// Numbers and lists of them.
Json to_json(const Config& parameters) {
  Json out = Json::object();
  for (const auto& key : parameters.keys()) {
    const Config value = parameters[key];
    if (!value.is_sequence()) {
      out[key] = value.as<double>();
      continue;
    }
    auto& list = out[key] = Json::array();
    for (const Config& item : value.items()) list.push_back(item.as<double>());
  }
  return out;
}

std::string checksum_of_weights(const Manifest& manifest, const fs::path& run) {
  const auto* const weights = manifest.find(Bundle::kWeights);
  INTERPLAY_CHECK_DATA(weights, "{}: its manifest.json lists no {}", run.string(), Bundle::kWeights);
  return fmt::format("{:016x}", weights->xxh3);
}

std::shared_ptr<const Calibrator> read_map(const std::string& method, const Config& map) {
  if (!map.is_map()) map.fail("expected the parameters of a map");
  Config named = map;
  named.set_key("name", Config::scalar(method, true));
  for (const auto& key : calibrators().resolve(named).keys()) {
    if (!named.has(key)) map[key].fail("missing");  // a default would be no map that was fitted
  }
  return calibrators().make(named);
}

std::map<int32_t, Calibration::OfLabel::Slice> read_slices(const Stored& stored, const Config& config,
                                                           const StoredLabel& label, const Field* field) {
  std::map<int32_t, Calibration::OfLabel::Slice> out;
  for (size_t i = 0; i < label.slices.size(); ++i) {
    const StoredSlice& slice = label.slices[i];
    const Config place = config["slices"].at(i);
    if (!field) place.fail("a slice, though `by` names no field");
    if (slice.id < 0 || slice.id >= field->rows || out.contains(int32_t(slice.id)))
      place.fail(fmt::format("id {}; expected each id of '{}' once, below {}", slice.id, field->name, field->rows));
    out[int32_t(slice.id)] = {slice.rows, read_map(stored.options.method, slice.map)};
  }
  return out;
}

const Field* field_of(const Stored& stored, const Config& config, const Schema& schema) {
  if (stored.options.by.empty()) return nullptr;
  const Field* const field = schema.find(stored.options.by);
  if (!field || field->kind != FieldKind::categorical)
    config["by"].fail(fmt::format("'{}' is no categorical field of the run", stored.options.by));
  return field;
}

std::vector<Calibration::OfLabel> read_labels(const Stored& stored, const Config& config, const Schema& schema) {
  const auto& names = schema.labels();
  if (stored.labels.size() != names.size())
    config["labels"].fail(fmt::format("maps of {} labels; the run has {}", stored.labels.size(), names.size()));
  const Field* const field = field_of(stored, config, schema);
  const auto shifts = negative_offsets(stored.options.sampled, stored.options.sampled_label, names);
  std::vector<Calibration::OfLabel> out;
  for (size_t t = 0; t < names.size(); ++t) {
    const StoredLabel& label = stored.labels[t];
    const Config place = config["labels"].at(t);
    if (label.name != names[t]) place["name"].fail(fmt::format("'{}'; the run's label is '{}'", label.name, names[t]));
    out.push_back({label.name, shifts.empty() ? 0 : shifts[t], label.rows, read_map(stored.options.method, label.map),
                   read_slices(stored, place, label, field)});
  }
  return out;
}

Json to_json(const Calibration& calibration, const std::string& weights) {
  const CalibrateOptions& o = calibration.options();
  Json out{{"format", kFormat}, {"method", o.method}, {"split", o.split}};
  if (!o.by.empty()) out["by"] = o.by, out["min_rows"] = o.min_rows;
  if (o.sampled < 1) out["sampled"] = o.sampled;
  if (!o.sampled_label.empty()) out["sampled_label"] = o.sampled_label;
  out["weights"] = weights;
  Json& labels = out["labels"] = Json::array();
  for (const auto& maps : calibration.labels()) {
    Json one{{"name", maps.name}, {"rows", maps.rows}, {"map", to_json(maps.shared->parameters())}};
    for (const auto& [id, slice] : maps.slices)
      one["slices"].push_back({{"id", id}, {"rows", slice.rows}, {"map", to_json(slice.map->parameters())}});
    labels.push_back(std::move(one));
  }
  return out;
}

void take_away(const fs::path& run) {
  for (const char* file : {Calibration::kFile, Calibration::kPage}) fs::remove(run / file);
}

Manifest without_calibration(const fs::path& run) {
  Manifest manifest = Manifest::load(run);
  for (const char* file : {Calibration::kFile, Calibration::kPage}) manifest.erase(file);
  manifest.set_format(1);
  return manifest;
}

}  // namespace

Calibration Calibration::load(const fs::path& run, const Schema& schema) {
  try {
    const Config config = Config::load(run / kFile);
    if (const auto format = config.get<int64_t>("format", 0); format != kFormat)
      config["format"].fail(fmt::format("{} is not known; this version of Interplay reads format {}", format, kFormat));
    Stored stored;
    read_options(stored, config);
    if (stored.weights != checksum_of_weights(Manifest::load(run), run))
      config["weights"].fail("it was fitted to other weights; calibrate the run again, or take it away with --remove");
    Calibration out;
    out.labels_ = read_labels(stored, config, schema);
    out.options_ = std::move(stored.options);
    return out;
  } catch (const Error& problem) {
    throw Error(problem.what(), ErrorKind::data);
  }
}

void Calibration::save(const fs::path& run, const std::string& page) const {
  const DirectoryLock lock(run);
  Manifest manifest = without_calibration(run);
  write_file(run / kFile, to_json(*this, checksum_of_weights(manifest, run)).dump(1) + "\n");
  manifest.put(run, kFile);
  if (page.empty()) {
    fs::remove(run / kPage);
  } else {
    write_file(run / kPage, page);
    manifest.put(run, kPage);
  }
  manifest.set_format(2);
  manifest.save(run);
}

bool Calibration::remove(const fs::path& run) {
  const DirectoryLock lock(run);
  const bool finished = fs::exists(run / "manifest.json");
  const bool listed = finished && Manifest::load(run).format() != 1;
  if (!listed && !fs::exists(run / kFile) && !fs::exists(run / kPage)) return false;
  if (finished) without_calibration(run).save(run);
  take_away(run);
  return true;
}

}  // namespace interplay
