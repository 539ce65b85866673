#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <interplay/base/config.h>
#include <interplay/core/bootstrap.h>
#include <interplay/train/trainer.h>

namespace interplay {

struct AblationOptions {
  std::filesystem::path data;  ///< prepared data
  std::filesystem::path out;   ///< the ablation's directory: a run a seed, with all fields and without each set
  /// Sets of fields that are left out, each by itself. Empty: each field that can be left out.
  std::vector<std::vector<std::string>> drop = {};
  std::vector<int64_t> seeds = {1, 2, 3};
  std::string label = {};     ///< of several labels, which one is judged
  bool test = true;           ///< judged on the test split; false: on valid
  bool resume = false;        ///< go on with what is in `out`: finished runs stay, and seeds and sets may be added
  int64_t replicates = 1000;  ///< of the bootstrap
  std::function<void(Trainer&)> started = {}, finished = {};  ///< around the training of each run
};

/// What a set of fields adds to a model: means over seeds, of a model with all fields less one without these.
struct FieldValue {
  std::vector<std::string> fields;
  Interval auc;      ///< AUC added
  Interval logloss;  ///< log loss saved
  std::vector<double> auc_by_seed, logloss_by_seed;
};
/// `yes`, `no, it hurts`, `cannot tell`, or `mixed` where AUC and log loss disagree: by whether the intervals hold 0.
INTERPLAY_API std::string does_it_help(const FieldValue& value);

struct Ablation {
  std::string model, data, split, label;
  int64_t rows = 0, replicates = 0;
  std::vector<int64_t> seeds;
  double auc = 0, logloss = 0;     ///< with all fields, means over seeds
  std::vector<FieldValue> values;  ///< by falling log loss saved
  struct NotAsked {
    std::string field, why;
  };
  std::vector<NotAsked> not_asked = {};  ///< of all fields, those that the model cannot do without
};

/// Does a field help? Trains an experiment with and without it, on the same prepared data and with the same seeds, and
/// compares the pairs on the same rows. A field is left out by name (`fields.drop`), so that a run without it reads no
/// cell of it when it scores raw rows either.
///
/// Intervals are 95% intervals of a paired bootstrap over rows and seeds: a replicate draws rows (see bootstrap()), and
/// S - 1 of the S seeds, with replacement: as many as make the variance of their mean that of the mean of S seeds (Rao
/// and Wu 1988, "Resampling inference with complex survey data"). With one seed they are of rows alone.
///
/// `out` holds config.yaml, runs/with-all/seed-1, runs/without-FIELD/seed-1, ..., ablate.json, ablate.html, ablate.log
/// and manifest.json. Throws Error on a field that there is not, where a model cannot do without a field that was
/// named, and Error(interrupted) after a stop.
INTERPLAY_API Ablation ablate(const Config& experiment, const AblationOptions& options);

INTERPLAY_API std::string ablation_json(const Ablation& ablation);
INTERPLAY_API std::string ablation_html(const Ablation& ablation, const std::string& config);

}  // namespace interplay
