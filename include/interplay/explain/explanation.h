#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <interplay/explain/attribution.h>
#include <interplay/explain/effect_curve.h>
#include <interplay/explain/importance.h>
#include <interplay/explain/pair_strength.h>
#include <interplay/explain/slices.h>

namespace interplay {

/// What to explain of a run. Importances of all fields are always there.
struct ExplainOptions {
  std::filesystem::path data;  ///< prepared data
  std::string split = "test";
  std::string label = {};   ///< of several labels, which one
  int64_t rows = 20000;     ///< drawn from the split; 0 = all
  std::string groups = {};  ///< see read_groups(); empty: none
  bool pairs = false, curves = false, slices = false;
  std::vector<int64_t> explained = {};  ///< rows of the split, from 0, to attribute to fields
  ImportanceOptions importance = {};    ///< its progress is set here; its seed is everyone's
  PairOptions pair = {};
  SliceOptions slice = {};
  AttributionOptions attribution = {};
  bool progress = true;
};

/// One row and why it has its score.
struct ExplainedRow {
  int64_t row = 0;
  double p = 0, label = 0;  ///< label: NaN where the row lacks it
  Attribution attribution;
  std::vector<std::string> values;  ///< what each field of the attribution says in this row
};

struct Explanation {
  std::string run, model, data, split, label;
  int64_t rows = 0, of_rows = 0;  ///< looked at, in the split
  int64_t repeats = 0, replicates = 0;
  uint64_t seed = 1;
  Standing standing;
  std::vector<Importance> fields, groups;  ///< by falling loss gained
  std::string pairs_by = {};               ///< "model" or "H"; empty: not asked for
  std::vector<PairStrength> pairs;
  std::vector<ExplainedRow> attributions;
  std::vector<EffectCurve> curves;
  std::optional<WorstSlices> slices;
  std::vector<std::string> by_loss_values, by_gap_values;  ///< of `slices`, as raw data have them
};

/// Opens a run and explains it on prepared data. Throws Error where run and data do not fit, where the split is not
/// there, on an unknown field, and on a row that the split does not have.
INTERPLAY_API Explanation explain_run(const std::filesystem::path& run, const ExplainOptions& options);

INTERPLAY_API std::string explanation_json(const Explanation& explanation);  ///< what `--json` prints
INTERPLAY_API std::string explanation_html(const Explanation& explanation);  ///< a page that needs nothing but itself

}  // namespace interplay
