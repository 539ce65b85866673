#pragma once

#include <string>
#include <vector>

#include <interplay/data/synth.h>

namespace interplay::synth {

/// Fields whose values act together, and how.
struct PlantedSet {
  std::vector<int64_t> fields;  ///< two or three, ascending
  std::string function;         ///< table, inner or kernel
  int64_t width;                ///< hidden numbers that it reads; 0 for a table
};

/// What decides the labels of planted data.
struct Plan {
  std::vector<PlantedSet> sets;  ///< listed pairs, listed triples, then those that the seed chose
  std::vector<int64_t> decoys;   ///< fields with a strong effect of their own, in no set
  std::vector<int64_t> factor;   ///< [F], of each field; empty when fields are independent

  /// Hidden numbers of a field: the most that a set reads.
  int64_t width(int64_t field) const;
};

/// Throws Error for sets that cannot be.
Plan plan_of(const SynthOptions& options);

/// The plan's part of truth.yaml.
std::string plan_yaml(const Plan& plan);

}  // namespace interplay::synth
