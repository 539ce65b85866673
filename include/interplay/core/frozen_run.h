#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <interplay/core/bundle.h>
#include <interplay/core/model.h>

namespace interplay {

/// A run as another model's option, `ctr: runs/din`: a path, which is written out in full, so that the model finds the
/// run again from any folder.
class INTERPLAY_API RunOption {
 public:
  RunOption() = default;
  explicit RunOption(const std::filesystem::path& run) : path_(run) {}
  bool given() const { return !path_.empty(); }
  const std::filesystem::path& path() const { return path_; }
  void read_option(const Config& from);
  Config write_option() const;
  static std::string option_type() { return "run"; }

 private:
  std::filesystem::path path_;
};

/// A finished run as a fixed part of another model: always in eval mode, never learnt, and no part of what that model
/// saves. It stays where it is, and whoever is built on it remembers checksum().
///
///     ctr_ = FrozenRun(options.ctr, schema);
///     const at::NoGradGuard no_grad;
///     const at::Tensor h = dynamic_cast<Represents&>(ctr_.model()).represent(ctr_.features(x));
///
/// Thread safety: as that of Model::forward() in eval mode.
class INTERPLAY_API FrozenRun {
 public:
  FrozenRun() = default;
  /// `schema`: of the rows that it will be asked about. Throws Error(data) where the run is damaged or missing, Error
  /// where rows lack a field that it reads, or encode one otherwise.
  FrozenRun(const RunOption& run, const Schema& schema);

  const Schema& schema() const { return schema_; }  ///< of the fields that the run reads
  Model& model() const { return *model_; }
  /// What it reads of a row, in its own order.
  Features features(const Features& x) const;
  uint64_t checksum() const { return checksum_; }  ///< of its weights

 private:
  Schema schema_;
  std::shared_ptr<Model> model_;
  uint64_t checksum_ = 0;
  std::vector<int64_t> ids_, dense_, sequences_, vectors_, tokens_;  // by column of the run: column of the rows
};

}  // namespace interplay
