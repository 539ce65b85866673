#include <interplay/core/bundle.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/files.h>
#include <interplay/base/options.h>
#include <interplay/base/section.h>
#include <interplay/core/augmenter.h>
#include <interplay/core/calibration.h>
#include <interplay/core/generators.h>
#include <interplay/core/vector_table.h>
#include <interplay/data/field_encoding.h>
#include <interplay/data/loader.h>
#include <interplay/nn/blank_tables.h>
#include <interplay/nn/safetensors.h>

#include "core/pretrained.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr const char* kVocabulary = "vocabulary";

/// Training reads ids alone: an altered vocabulary would be found when the run is served.
void check_vocabularies(const Schema& schema, const fs::path& prepared) {
  const Manifest manifest = Manifest::load(prepared);
  for (const auto& table : schema.tables()) {
    const auto* const known = manifest.find(vocabulary_file("", table.name).generic_string());
    const fs::path file = vocabulary_file(prepared, table.name);
    INTERPLAY_CHECK_DATA(!known || (fs::exists(file) && hash64_file(file) == known->xxh3),
                         "{}: its checksum differs from manifest.json; the file was changed after it was written, "
                         "prepare the data again",
                         file.string());
  }
}

/// And those of checkpoints, which have manifests of their own, for who goes on from one.
void leave_out_weights(Manifest& manifest) {
  const auto entries = manifest.entries();
  for (const auto& entry : entries)
    if (entry.file == Bundle::kWeights || entry.file.starts_with("checkpoint-")) manifest.erase(entry.file);
}

/// Files that grow after a run, or that people edit or tidy away.
bool is_kept_out_of_manifest(const std::string& file) {
  return file == "train.log" || file.starts_with("events.out.tfevents.") || file.starts_with(".") ||
         file.find("/.") != std::string::npos;
}

struct FieldsOptions {
  std::vector<std::string> keep, drop, labels;
  Config widths, pretrained, augment;
  void visit(auto&& field) {
    field("keep", keep, "only these fields");
    field("drop", drop, "all fields but these");
    field("labels", labels, "what is learnt, where the data have several labels; all by default");
    field("widths", widths, "numbers in a row of a table, by its name, where fewer than the model's embedding_dim");
    field("pretrained", pretrained, "by field, vectors by key that its rows start from, are, or stand beside");
    field("augment", augment, "a list of augmenters, each a name and its options: what they give are further fields");
  }
};

INTERPLAY_SECTION("fields", FieldsOptions, "`fields:` of an experiment");
INTERPLAY_SECTION("pretrained", Pretrained, "an entry of `fields.pretrained` of an experiment");

Schema with_widths(const Schema& schema, const Config& config) {
  if (!config.is_map()) config.fail("expected a map from table to width");
  std::map<std::string, int64_t> widths;
  for (const auto& table : config.keys()) widths[table] = config[table].as<int64_t>();
  try {
    return schema.with_widths(widths);
  } catch (const Error& problem) {
    config.fail(problem.what());
  }
}

}  // namespace

Config resolve_fields(const Config& fields) {
  Config out = fields;
  if (!fields.is_map()) return out;
  if (const Config given = fields["pretrained"]; !given.is_null()) {
    if (!given.is_map()) given.fail("expected a map from field to vectors, as {item_id: {from: items.parquet}}");
    Config resolved;
    for (const auto& name : given.keys()) {
      Pretrained p;
      read_options(p, given[name]);
      if (p.source.from.empty()) given[name]["from"].fail("missing; expected a file with vectors by key");
      resolved.set_key(name, write_options(p));
    }
    out.set("pretrained", resolved);
  }
  if (const Config given = fields["augment"]; !given.is_null()) {
    if (given.is_map())
      given.fail("expected a list of augmenters, as [{name: text_vectors, from: items.parquet, ...}]");
    std::vector<Config> resolved;
    for (const Config& entry : given.items()) resolved.push_back(augmenters().resolve(entry));
    out.set("augment", Config::sequence(std::move(resolved)));
  }
  return out;
}

Schema select_fields(const Schema& schema, const Config& given) {
  const Config fields = resolve_fields(given);
  FieldsOptions choice;
  read_options(choice, fields);
  const auto check_names = [&](const char* key, const std::vector<std::string>& names) {
    try {
      for (const auto& name : names) schema.field(name);
    } catch (const Error& unknown) {
      fields[key].fail(unknown.what());
    }
  };
  check_names("keep", choice.keep);
  check_names("drop", choice.drop);
  std::map<std::string, Config> pretrained;
  if (choice.pretrained.is_map()) {
    check_names("pretrained", choice.pretrained.keys());
    for (const auto& name : choice.pretrained.keys()) pretrained.emplace(name, choice.pretrained[name]);
  }
  for (const char* key : {"keep", "labels"}) {
    if (fields.has(key) && fields[key].size() == 0) fields[key].fail("an empty list leaves nothing; leave the key out");
  }
  Schema out = choice.keep.empty() ? schema : schema.keep(choice.keep);
  if (!choice.drop.empty()) out = out.drop(choice.drop);
  if (fields.has("widths")) out = with_widths(out, fields["widths"]);
  if (!pretrained.empty() || choice.augment.size() > 0) {
    try {
      out = out.with_vectors(pretrained, choice.augment);
    } catch (const Error& problem) {  // a field that was left out
      fields["pretrained"].fail(problem.what());
    }
  }
  if (choice.labels.empty()) return out;
  for (const auto& label : choice.labels) {
    if (std::find(schema.labels().begin(), schema.labels().end(), label) == schema.labels().end()) {
      fields["labels"].fail(
          fmt::format("the data have no label '{}' (labels: {})", label, fmt::join(schema.labels(), ", ")));
    }
  }
  return out.with_labels(choice.labels);
}

Bundle Bundle::open(const fs::path& directory) { return open(directory, Opening{}); }

Bundle Bundle::open_uncalibrated(const fs::path& directory) { return open(directory, {.calibrated = false}); }

Bundle Bundle::open_unread(const fs::path& directory) { return open(directory, {.read_weights = false}); }

void Bundle::check_weights(const fs::path& directory) {
  const fs::path file = directory / kWeights;
  const Manifest manifest = Manifest::load(directory);
  const auto* const known = manifest.find(kWeights);
  INTERPLAY_CHECK_DATA(known && hash64_file(file) == known->xxh3,
                       "{}: its checksum differs from manifest.json; the file was changed after it was written, or its "
                       "disk is failing; take it from where it is whole, or train again",
                       file.string());
}

Bundle Bundle::open(const fs::path& directory, const Opening& how) {
  Bundle bundle;
  bundle.directory_ = directory;
  INTERPLAY_CHECK_DATA(fs::is_directory(directory), "{}: no such run directory", directory.string());
  INTERPLAY_CHECK_DATA(fs::exists(directory / kConfig), "{}: has no {}; it is not a run directory", directory.string(),
                       kConfig);
  INTERPLAY_CHECK_DATA(fs::exists(directory / kWeights),
                       "{}: has no {} yet; training has not come to its first evaluation", directory.string(),
                       kWeights);
  bundle.finished_ = fs::exists(directory / "manifest.json");
  if (bundle.finished_) {
    Manifest manifest = Manifest::load(directory);
    if (!how.calibrated) manifest.erase(Calibration::kFile), manifest.erase(Calibration::kPage);
    bundle.calibrated_ = manifest.find(Calibration::kFile);
    if (!how.read_weights) {
      manifest.check(directory, /*contents=*/false);
      leave_out_weights(manifest);
    }
    manifest.check(directory, /*contents=*/true);
  } else {
    nn::Safetensors(directory / kWeights).check();
  }
  INTERPLAY_CHECK_DATA(!how.calibrated || bundle.calibrated_ || !fs::exists(directory / Calibration::kFile),
                       "{}: manifest.json does not list it, so it may be of other weights, or half written; calibrate "
                       "the run again, or take it away with `interplay calibrate {} --remove`",
                       (directory / Calibration::kFile).string(), directory.string());
  try {
    bundle.config_ = Config::load(directory / kConfig);
    bundle.schema_ = Schema::load(directory / kSchema);
  } catch (const Error& problem) {
    throw Error(problem.what(), ErrorKind::data);
  }
  return bundle;
}

std::shared_ptr<Model> Bundle::model(uint64_t seed) const {
  const auto model = [&] {
    const nn::BlankTables blank;
    return make_model(config_["model"], schema_, seed);
  }();
  const nn::Safetensors weights(directory_ / kWeights);
  load_weights(*model, weights.tensors(), (directory_ / kWeights).string());
  model->eval();
  return model;
}

std::shared_ptr<Model> Bundle::mapped_model() const {
  constexpr uint64_t kPage = 4096, kWideLoad = 64;
  const fs::path file = directory_ / kWeights;
  const uint64_t behind = (kPage - fs::file_size(file) % kPage) % kPage;  // bytes of its last page, which read as zero
  if (behind < kWideLoad) return model();
  const nn::BlankTables blank;
  const auto model = make_model(config_["model"], schema_, 1);
  const nn::Safetensors weights(file);
  map_weights(*model, weights.tensors(), file.string());
  model->eval();
  return model;
}

std::map<std::string, nn::QuantisedRows> Bundle::quantised() const {
  const fs::path file = directory_ / kWeights;
  return nn::quantised_of(nn::Safetensors(file).tensors(), file.string());
}

std::vector<double> Bundle::logit_offsets() const {
  const Config train = config_["train"];
  if (!train.is_map()) return {};
  return negative_offsets(train.get<double>("negative_rate", 1.0), train.get<std::string>("negative_label", ""),
                          schema_.labels());
}

std::shared_ptr<const Calibration> Bundle::calibration() const {
  if (!calibrated_) return nullptr;
  return std::make_shared<const Calibration>(Calibration::load(directory_, schema_));
}

namespace {

/// Of a table's tokens in the order of their ids; empty: not known.
std::string tokens_checksum(const Schema& schema, const std::string& table) {
  for (const Field& field : schema.fields()) {
    if (field.table != table || field.encoding.is_null()) continue;
    FieldEncoding encoding;
    read_options(encoding, field.encoding);
    return encoding.values.tokens;
  }
  return "";
}

}  // namespace

void Bundle::check_data(const fs::path& prepared) const {
  INTERPLAY_CHECK_DATA(fs::is_directory(prepared), "{}: no such directory; make it with `interplay prepare`",
                       prepared.string());
  const fs::path file = prepared / kSchema;
  const Schema theirs = fs::exists(file) ? Schema::load(file) : Schema();
  for (const auto& table : schema_.tables()) {
    if (!fs::exists(vocabulary_file(directory_, table.name))) continue;  // hashed, or a bundle without vocabularies
    const auto own = tokens_checksum(schema_, table.name);
    INTERPLAY_CHECK_DATA(
        !own.empty() && own == tokens_checksum(theirs, table.name),
        "{}: its vocabulary '{}' is not the one that {} was trained with, so its ids mean other things, or there are "
        "more of them; prepare it with --vocabulary-from {} --no-new-tokens",
        prepared.string(), table.name, directory_.string(), directory_.string());
  }
}

void start_bundle(const fs::path& directory, const Config& config, const Schema& schema, const fs::path& prepared) {
  if (!prepared.empty()) check_vocabularies(schema, prepared);
  make_directories(directory);
  write_file(directory / Bundle::kConfig, config.yaml());  // first: from here on it is a run that can be resumed
  make_directories(directory / kVocabulary);
  if (!prepared.empty()) {
    for (const auto& table : schema.tables()) {
      const fs::path from = vocabulary_file(prepared, table.name);
      if (!fs::exists(from)) continue;
      write_file(vocabulary_file(directory, table.name), MappedFile(from).bytes());
    }
  }
  schema.save(directory / Bundle::kSchema);
}

void save_weights(const fs::path& file, const torch::nn::Module& model) {
  nn::save_safetensors(file, weights_of(model));
}

void finish_bundle(const fs::path& directory) {
  Manifest::describe(directory, {}, [](const std::string& file) {
    return !is_kept_out_of_manifest(file);
  }).save(directory);
}

void save_bundle(const fs::path& directory, const torch::nn::Module& model, const Config& config, const Schema& schema,
                 const fs::path& prepared) {
  start_bundle(directory, config, schema, prepared);
  save_weights(directory / Bundle::kWeights, model);
  finish_bundle(directory);
}

}  // namespace interplay
