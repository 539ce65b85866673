#pragma once

#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <interplay/base/registry.h>
#include <interplay/core/interactions.h>
#include <interplay/train/run.h>

namespace interplay {

/// Gates at one moment of training.
struct GateReading {
  std::vector<std::string> names;  ///< what each gate opens: `site_id x app_id`; the same throughout a stage
  /// What GRDA has accumulated for each gate, which is the part of it beyond `threshold` (0 within); where another rule
  /// moves the gates, the gates themselves.
  std::vector<double> values;
  double threshold = 0;
};

/// A trained search model that keeps its strongest gates alone, on held-out rows.
struct KeptPoint {
  int64_t kept = 0;
  double loss = 0;            ///< mean log loss of the rows
  double above = 0;           ///< this less that of the best point
  double standard_error = 0;  ///< of `above`, over the rows: both points judge the same ones
};

/// What masked evaluations along a ranking of gates say. Nothing is trained anew for them.
struct KeptCurve {
  std::string stage = {}, gates = "interactions";  ///< gates of interactions, or of dimensions
  std::vector<std::string> ranking;                ///< names as GateReading has them, the strongest first
  std::vector<double> strength;                    ///< of each, as it is ranked by
  std::vector<KeptPoint> points;                   ///< by rising `kept`
  int64_t best = 0;                                ///< kept where the loss is least
  int64_t chosen = 0;  ///< the smallest `kept` whose loss is within one standard error of the least
  int64_t rows = 0;    ///< that were judged
};

/// One training run of a search.
struct SearchStage {
  std::string name = {};  ///< base, search, retrain, ...: part of its directory
  Config experiment = {};
  std::function<void(Trainer&)> started = {}, finished = {};  ///< as in RunOptions
  /// Where given, the course of the gates of interactions is kept in gates.jsonl, that of the gates of dimensions in
  /// dimension_gates.jsonl.
  std::function<GateReading(Trainer&)> read_gates = {}, read_dimension_gates = {};
  /// Where given, it is called with the weights that are the result, and what it finds is kept in curves.json.
  std::function<std::vector<KeptCurve>(Trainer&)> choose = {};
};

/// What a finished stage says of itself. It is read from its files, so that a resumed search says the same.
struct StageResult {
  std::string name = {};
  std::string directory = {};  ///< relative to the search's: stages/1-base
  std::string split = {};      ///< that auc and logloss are of: test, or valid where there is none; "" without either
  double auc = std::numeric_limits<double>::quiet_NaN();
  double logloss = std::numeric_limits<double>::quiet_NaN();
  double valid_logloss = std::numeric_limits<double>::quiet_NaN();  ///< where there are validation rows
  int64_t parameters = 0, bytes = 0;   ///< of the weights: how many, and the size of model.safetensors
  double rows_per_s = 0, seconds = 0;  ///< training alone; all of the stage
  int64_t steps = 0;
};

/// The rule that closed the gates of a stage, and where it ended.
struct GrdaSummary {
  std::string stage = {}, gates = "interactions";  ///< gates of interactions, or of dimensions
  /// What `threshold` belongs to, with this rate, its schedule and so many steps: what the stage ran with or, where a
  /// share or a number to keep was given, what would have kept them. Not a number where the stage ran with 0.
  double c = 0;
  double mu = 0, lr = 0;
  int64_t steps = 0;
  double threshold = 0;
  double searched_c = 0;  ///< that the stage ran with
};

/// What a search has found so far.
struct SearchFindings {
  std::vector<Interaction> interactions;  ///< every candidate, kept or not
  std::map<std::string, int64_t> widths;  ///< numbers an embedding row keeps, by field; empty: not searched
  std::vector<GrdaSummary> grda;          ///< by stage
  Config retrain;                         ///< the experiment that retrain.yaml holds
  std::string result = {};                ///< the directory of its run, relative to the search's; empty: not trained
};

/// The directory of one search and what a search may do in it. Stages that are finished are not run again, and one that
/// was cut short goes on from its checkpoint: a Search that calls stage() and found() in an order that follows from
/// their results alone can be stopped at any moment.
class INTERPLAY_API SearchRun {
 public:
  const Config& experiment() const;  ///< without `search:`
  const Schema& schema() const;      ///< of the fields that the model reads
  const std::filesystem::path& data() const;
  int64_t train_rows() const;
  std::filesystem::path directory(const StageResult& stage) const;
  std::vector<KeptCurve> curves(const StageResult& stage) const;  ///< that `choose` found; none where it was not given

  /// Runs the next stage, to RUN/stages/<n>-<name>.
  StageResult stage(const SearchStage& stage);
  /// Writes retrain.yaml, search.json and search.html; each call replaces what was found before.
  void found(SearchFindings findings);

  struct State;
  explicit SearchRun(State& state);  ///< for search_run()

 private:
  State& state_;
};

/// A way of finding a better experiment: which interactions, which of their functions, which widths. A new one is a
/// file in src/search with an option struct, run(), and INTERPLAY_REGISTER(searches(), ...).
class INTERPLAY_API Search {
 public:
  virtual ~Search();
  /// Throws Error where this experiment cannot be searched; called before anything is written.
  virtual void check(const SearchRun& run) const;
  virtual void run(SearchRun& run) = 0;
};

INTERPLAY_API Registry<Search>& searches();

struct SearchOptions {
  std::filesystem::path data;  ///< prepared data
  std::filesystem::path out;   ///< the search's directory
  bool resume = false;         ///< go on with the search in `out`
  bool test = true;            ///< judge each stage on the test split too, where there is one
  std::function<void(Trainer&)> started = {}, finished = {};  ///< around the training of each stage
};

struct SearchSummary {
  SearchFindings findings;
  std::vector<StageResult> stages;
};

/// Runs the search that `experiment` names under `search:` to the end: `out` holds config.yaml, search.json,
/// retrain.yaml, search.html, search.log, manifest.json, and a run a stage. Throws Error on a key that nobody reads, on
/// an `out` that holds something else, and Error(interrupted) after a stop.
INTERPLAY_API SearchSummary search_run(const Config& experiment, const SearchOptions& options);

/// The sets of fields that a search.json kept, or that an experiment (retrain.yaml) lists: what `model.interactions` of
/// another experiment takes. Functions are left out, each set is there once. Throws Error naming the file where it
/// holds no such list.
INTERPLAY_API Config read_interactions(const std::filesystem::path& file);

}  // namespace interplay
