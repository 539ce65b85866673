#include <interplay/core/quantise_bundle.h>

#include <ATen/ATen.h>

#include <interplay/base/files.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/safetensors.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

/// Whether a run without it is the same run.
bool is_of_training(const std::string& file) {
  return file == "manifest.json" || file == "LATEST" || file == Bundle::kWeights || file.starts_with("checkpoint-") ||
         file.starts_with(".");
}

}  // namespace

QuantisedBytes quantise_bundle(const Bundle& from, const std::string& type, const fs::path& to) {
  const fs::path file = from.directory() / Bundle::kWeights;
  const nn::Safetensors saved(file);
  auto entries = saved.tensors();
  INTERPLAY_CHECK_DATA(nn::quantised_of(entries, file.string()).empty(),
                       "{}: its tables are quantised already; begin with the run that they were made of",
                       from.directory().string());
  QuantisedBytes bytes;
  for (const auto& table : nn::tables_of(*from.mapped_model())) {
    const auto entry = entries.find(table.name + ".weight");
    if (entry == entries.end()) continue;  // of a table that another module has too
    auto packed = nn::quantise(entry->second, type);
    bytes.before += int64_t(entry->second.nbytes());
    bytes.after += int64_t(packed.rows.nbytes() + (packed.scale.defined() ? packed.scale.nbytes() : 0));
    entry->second = packed.rows;
    if (packed.scale.defined()) entries[table.name + ".weight.scale"] = packed.scale;
  }
  NewDirectory made(to);
  for (const auto& item : fs::directory_iterator(from.directory())) {
    if (!is_of_training(item.path().filename().string()))
      fs::copy(item.path(), made.path() / item.path().filename(), fs::copy_options::recursive);
  }
  nn::save_safetensors(made.path() / Bundle::kWeights, entries);
  finish_bundle(made.path());
  made.commit();
  return bytes;
}

}  // namespace interplay
