#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <interplay/core/bundle.h>
#include <interplay/core/model.h>

namespace interplay {

/// What became of one weight of a model that begins with those of earlier runs.
struct WeightOrigin {
  std::string name;       ///< in the model
  std::string shape;      ///< `1683 x 16`
  std::string run = {};   ///< whose it was; empty: it is fresh
  std::string note = {};  ///< `20 new rows`; of a fresh one: why
};

/// A run, or a part of one: `runs/flip:backbone` is what the model of that run calls `backbone`.
struct INTERPLAY_API RunPart {
  std::filesystem::path run;
  std::string part;  ///< the name of a sub-module, or "" for the whole

  /// A folder of that name is a run, colons and all; else what follows the last colon is the part.
  static RunPart parse(const std::string& text);
};

/// Copies weights of earlier runs into a model, by name: what has the same name and shape in both. A run whose model is
/// a part of this one (a tower, a backbone) is copied below the name of that part; and of a run of which this model is
/// a part, that part is copied.
///
///     WarmStart start(*model, schema, "prepared/day2");
///     start.copy(Bundle::open("runs/day1"));                  // or: .copy(bundle, "backbone")
///     start.copy(Bundle::open("runs/flip"), "", "backbone");  // this model was another's backbone
///     log::info("{}", start.table());
///
/// Tables of fields may have grown: rows of old tokens keep their place, the unseen row moves to the new end, new
/// tokens start as the unseen row was.
class INTERPLAY_API WarmStart {
 public:
  /// `prepared`: the data that the model will see, whose vocabularies say what its ids mean.
  WarmStart(Model& model, Schema schema, std::filesystem::path prepared);

  /// `part`: the name of a sub-module of this model, `part_of_run` of one of the run's, or "" for the whole. Throws
  /// Error(data) unless the vocabularies of shared tables begin with the earlier run's (prepare with
  /// --vocabulary-from), where the run has no such part, and where nothing fits.
  void copy(const Bundle& from, const std::string& part = "", const std::string& part_of_run = "");

  void copy_all(const Config& init);  ///< what resolve_init() gives, in its order
  void log() const;                   ///< how many weights are of earlier runs, and table()

  const std::vector<WeightOrigin>& weights() const { return weights_; }  ///< in the order of their names
  std::string table() const;                                             ///< a line a weight, aligned

 private:
  void check_ids(const Bundle& from) const;
  bool is_of_field(const std::string& weight) const;

  Model& model_;
  Schema schema_;
  std::filesystem::path prepared_;
  std::vector<WeightOrigin> weights_;
};

/// `init:` of an experiment as a map from run, or part of a run, to part, "" for the whole.
INTERPLAY_API Config resolve_init(const Config& init);

}  // namespace interplay
