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

/// Copies weights of earlier runs into a model, by name: what has the same name and shape in both. A run whose model is
/// a part of this one (a tower, a backbone) is copied below the name of that part.
///
///     WarmStart start(*model, schema, "prepared/day2");
///     start.copy(Bundle::open("runs/day1"));                  // or: .copy(bundle, "backbone")
///     log::info("{}", start.table());
///
/// Tables of fields may have grown: rows of old tokens keep their place, the unseen row moves to the new end, new
/// tokens start as the unseen row was.
class INTERPLAY_API WarmStart {
 public:
  /// `prepared`: the data that the model will see, whose vocabularies say what its ids mean.
  WarmStart(Model& model, Schema schema, std::filesystem::path prepared);

  /// `part`: the name of a sub-module, or "" for the whole. Throws Error(data) unless the vocabularies of shared tables
  /// begin with the earlier run's (prepare with --vocabulary-from), and where nothing fits.
  void copy(const Bundle& from, const std::string& part = "");

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

/// `init:` of an experiment as a map from run to part, "" for the whole.
INTERPLAY_API Config resolve_init(const Config& init);

}  // namespace interplay
