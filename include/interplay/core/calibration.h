#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <interplay/core/calibrator.h>
#include <interplay/core/predictions.h>
#include <interplay/data/dataset.h>
#include <interplay/data/schema.h>

namespace interplay {

/// Ids of the field that decides which map a row has: those of row i at first[i * stride]; null: there is none.
struct SliceIds {
  const int32_t* first = nullptr;
  int64_t stride = 1;
};

struct CalibrateOptions {
  std::string method = "platt";    ///< a calibrator
  std::string split = "valid";     ///< what the rows are of: told to whoever reads the file
  std::string by = {};             ///< a categorical field, each value of which has a map of its own; empty: none
  int64_t min_rows = 1000;         ///< of a value that has one; the others share that of all rows
  double sampled = 1;              ///< share of negatives that the data have left, in every split
  std::string sampled_label = {};  ///< by which they are negatives; may be left out where there is one label
};

/// What makes the logits of a finished run log odds that can be trusted: for each label a shift that undoes negative
/// sampling, then a map fitted on rows that training did not learn from. calibration.json in the run, which its
/// manifest vouches for and which names the weights it was fitted to. Immutable, so it may be used from any thread.
///
///     const auto calibration = Bundle::open("runs/deepfm").calibration();  // null: there is none
///     if (calibration) calibration->apply(predictions, dataset);
class INTERPLAY_API Calibration {
 public:
  static constexpr const char* kFile = "calibration.json";
  static constexpr const char* kPage = "calibration.html";

  /// Maps of one label.
  struct OfLabel {
    std::string name;
    double shift = 0;  ///< added to a logit before its map
    int64_t rows = 0;  ///< that have the label
    std::shared_ptr<const Calibrator> shared;
    struct Slice {
      int64_t rows = 0;
      std::shared_ptr<const Calibrator> map;
    };
    std::map<int32_t, Slice> slices;  ///< by id of CalibrateOptions::by
    const Calibrator& of(int32_t id) const {
      const auto own = slices.find(id);
      return own == slices.end() ? *shared : *own->second.map;
    }
  };

  /// Fits to predictions of a run without calibration; `schema`: of that run. `ids` [N] of options.by. A label all of
  /// whose rows are of one class is Error(data). Negatives have to count as often as there were: see undo_sampling().
  static Calibration fit(const Predictions& rows, std::span<const int32_t> ids, const Schema& schema,
                         const CalibrateOptions& options);

  /// Of a run whose manifest vouches for the file. Throws Error(data) naming file and place for anything that save()
  /// does not write: unknown keys or methods, numbers out of range, knots that do not rise, labels that are not the
  /// schema's, weights that are not the run's.
  static Calibration load(const std::filesystem::path& run, const Schema& schema);
  /// Into a finished run, in place of what it had, with `page` (HTML; empty: none) as calibration.html. The manifest
  /// is written last and is then of format 2, so that programs that know no calibration refuse the run.
  void save(const std::filesystem::path& run, const std::string& page = {}) const;
  /// Takes both files away: what is left has the bytes that training left. False where there were none.
  static bool remove(const std::filesystem::path& run);

  const CalibrateOptions& options() const { return options_; }
  const std::vector<OfLabel>& labels() const { return labels_; }

  /// The field of options().by in a schema that has it; null without one.
  const Field* field(const Schema& schema) const;

  /// Calibrated logit of the label-th label, in double.
  double logit(size_t label, int32_t id, double z) const {
    const OfLabel& maps = labels_[label];
    return maps.of(id).logit(z + maps.shift);
  }
  /// f32 [N * T], row by row, in place.
  void apply(std::span<float> logits, SliceIds ids) const;
  /// `dataset`: the rows the predictions are of.
  void apply(Predictions& predictions, const Dataset& dataset) const;

 private:
  CalibrateOptions options_;
  std::vector<OfLabel> labels_;
};

/// Lets each negative count 1 / rate times, as often as there were before all but a share `rate` was left out. `label`
/// tells negatives, and may be empty where there is one. Throws Error where there is no such label.
INTERPLAY_API void undo_sampling(Predictions& predictions, double rate, const std::string& label, const Schema& schema);

}  // namespace interplay
