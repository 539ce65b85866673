#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <interplay/lm/roles.h>
#include <interplay/systems/text_index.h>

#include "systems/qa4prf/term_reader.h"

namespace interplay::qa4prf {

/// A vector of each of an index's terms that anybody has asked for: an encoder's, or one that is drawn by the term's
/// own bytes, so that it is the same in whatever index. One thread uses it.
class INTERPLAY_API WordVectors {
 public:
  /// `encoder`: as a MODEL argument names one; empty: vectors of `width` are drawn. `cache`: folder for what the
  /// encoder says, or empty.
  WordVectors(const TextIndex& index, const std::string& encoder, int64_t width, const std::filesystem::path& cache);
  ~WordVectors();

  void add(std::span<const uint32_t> terms);
  std::vector<int64_t> rows(std::span<const uint32_t> terms) const;  ///< of terms that were added
  Words words(int64_t candidates) const;
  int64_t width() const { return width_; }
  bool means_something() const { return !name_.empty(); }
  /// Cosine of a term's vector with the mean of others'.
  double cosine(uint32_t term, std::span<const uint32_t> others) const;

 private:
  std::vector<float> vectors_of(const std::vector<std::string>& texts);
  const TextIndex& index_;
  std::string name_;
  int64_t width_;
  std::unique_ptr<lm::TextEncoder> encoder_, cached_;
  std::unordered_map<uint32_t, int64_t> row_;
  std::vector<float> vectors_, weights_;  // [rows, width], [rows]
};

}  // namespace interplay::qa4prf
