#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <interplay/core/model.h>
#include <interplay/data/encoder.h>
#include <interplay/nn/quantised_rows.h>

namespace interplay {

class Calibration;

/// A run directory: config.yaml, schema.yaml, vocabulary/, model.safetensors and what training left beside them
/// (metrics.jsonl, train.log, report.html, a checkpoint); calibration.json, where it was calibrated. It can be moved,
/// evaluated and served as it stands.
///
///     const auto bundle = Bundle::open("runs/deepfm");
///     const std::shared_ptr<Model> model = bundle.model();   // in eval mode, with the best weights
class INTERPLAY_API Bundle {
 public:
  /// Checks sizes and checksums against manifest.json, where the run is finished. Throws Error(data) naming the file.
  static Bundle open(const std::filesystem::path& directory);
  /// A finished run as it was before it was calibrated, whatever its calibration.json holds now.
  static Bundle open_uncalibrated(const std::filesystem::path& directory);
  /// A finished run whose weights, and checkpoints, are not read for their checksum, which takes a second for a
  /// gigabyte or two: for who cannot wait. check_weights() is to follow.
  static Bundle open_unread(const std::filesystem::path& directory);
  /// Throws Error(data) unless model.safetensors has the checksum that the manifest says.
  static void check_weights(const std::filesystem::path& directory);

  const std::filesystem::path& directory() const { return directory_; }
  const Config& config() const { return config_; }
  const Schema& schema() const { return schema_; }  ///< of the fields that the model reads
  /// `seed`: of whatever the weights do not hold, which should be nothing.
  std::shared_ptr<Model> model(uint64_t seed = 1) const;
  /// The same for who only reads its weights: rows of tables stay in the file, mapped, so that large ones are there at
  /// once and processes share their memory.
  std::shared_ptr<Model> mapped_model() const;
  /// Tables that are in fewer bits, by their entries' names (`interplay quantize`); model() has them unpacked.
  std::map<std::string, nn::QuantisedRows> quantised() const;
  /// What corrects each label's logits for negative sampling; empty without. See negative_offsets().
  std::vector<double> logit_offsets() const;
  /// What makes these logits log odds to be trusted; null where the run is not calibrated. See Calibration::load().
  std::shared_ptr<const Calibration> calibration() const;
  bool finished() const { return finished_; }
  /// Throws Error(data) unless ids in this prepared data mean what they meant in training.
  void check_data(const std::filesystem::path& prepared) const;

  static constexpr const char* kWeights = "model.safetensors";
  static constexpr const char* kConfig = "config.yaml";
  static constexpr const char* kSchema = "schema.yaml";

 private:
  std::filesystem::path directory_;
  Config config_;
  Schema schema_;
  bool finished_ = false, calibrated_ = false;

  struct Opening {
    bool calibrated = true, read_weights = true;
  };
  static Bundle open(const std::filesystem::path& directory, const Opening& how);
};

/// The fields that an experiment's `fields:` (keys keep, drop) leaves of a schema, the labels that it names (key
/// labels; all by default), how wide the rows of their tables are (key widths; embedding_dim by default), and what is
/// known of them beside the data (keys pretrained and augment). Files with vectors are read once a model is made.
INTERPLAY_API Schema select_fields(const Schema& schema, const Config& fields);

/// `fields:` with every default of its `pretrained` and `augment` written out.
INTERPLAY_API Config resolve_fields(const Config& fields);

/// Writes what a bundle needs to be opened, apart from weights: config, schema, and the vocabularies of `prepared`
/// that the schema uses (none where `prepared` is empty).
INTERPLAY_API void start_bundle(const std::filesystem::path& directory, const Config& config, const Schema& schema,
                                const std::filesystem::path& prepared);
INTERPLAY_API void save_weights(const std::filesystem::path& file, const torch::nn::Module& model);
/// manifest.json over every file but logs: the last thing a finished run writes.
INTERPLAY_API void finish_bundle(const std::filesystem::path& directory);

/// start, weights and finish in one call, for programs that train through the library.
INTERPLAY_API void save_bundle(const std::filesystem::path& directory, const torch::nn::Module& model,
                               const Config& config, const Schema& schema, const std::filesystem::path& prepared = {});

}  // namespace interplay
