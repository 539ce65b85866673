#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <interplay/base/config.h>
#include <interplay/base/registry.h>

/// What `interplay bench` runs: named workloads, each of which measures one part of the library beside what the machine
/// can do at best, in the same process and by turns, so that a busy machine slows both.
namespace interplay::bench {

/// One quantity, measured once a repeat.
struct INTERPLAY_API Measure {
  std::string name, unit;
  std::vector<double> values;
  double median() const;  ///< of an even number: the mean of the two in the middle
  double min() const;
  double max() const;
};

/// What a workload found: ratios first, for they carry from machine to machine, and the figures they come from.
struct INTERPLAY_API Findings {
  std::vector<Measure> ratios, figures;
  std::vector<std::pair<std::string, std::string>> notes;  ///< further facts, in words
  void ratio(const std::string& name, double value);       ///< appends to the measure of this name, made where new
  void figure(const std::string& name, const std::string& unit, double value);
};

/// What every workload is given.
struct Setting {
  int64_t repeats = 5;
  std::filesystem::path data;     ///< prepared data to use; empty = made up, in `scratch`
  std::filesystem::path scratch;  ///< where made-up data are kept for the next time
  std::vector<std::string> sets;  ///< KEY=VALUE on top of the experiment that a workload trains
};

/// A workload: a file in src/bench with an option struct, run() and INTERPLAY_REGISTER(workloads(), ...).
class INTERPLAY_API Workload {
 public:
  virtual ~Workload();
  virtual Findings run(const Setting& setting) = 0;
};

INTERPLAY_API Registry<Workload>& workloads();

/// Facts of this machine and build, in the order to show them: CPU, instructions (those that kernels choose by),
/// threads, memory, versions.
INTERPLAY_API std::vector<std::pair<std::string, std::string>> machine();

}  // namespace interplay::bench
