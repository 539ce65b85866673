#pragma once

#include <cstdint>

#include <interplay/base/registry.h>

namespace interplay {

/// Of the numbers of one field in the training rows, after apply(), missing ones left out.
struct NumberStatistics {
  int64_t n = 0;
  double mean = 0, deviation = 0;  ///< of the population
  double low = 0, high = 0;
};

/// What is done to the numbers of a field of kind numeric: `transform: NAME`, or a map with its name and options. The
/// number that a model sees is (apply(x) - shift) / scale. A new one is a class and
///
///     INTERPLAY_REGISTER(interplay::transforms(), "cube", Cube, "x to the third power");
///
/// Immutable: used from any thread, when data are prepared and when rows are scored alike.
class INTERPLAY_API Transform {
 public:
  struct Scale {
    double shift = 0, scale = 1;
  };
  virtual ~Transform();
  virtual double apply(double x) const { return x; }    ///< finite to finite
  virtual bool makes_buckets() const { return false; }  ///< whole numbers that are ids of a table, not magnitudes
  virtual bool is_fitted() const { return false; }      ///< fit() wants statistics
  /// shift and scale of the training rows; a scale that is not above 0 becomes 1.
  virtual Scale fit(const NumberStatistics&) const { return {}; }
};

INTERPLAY_API Registry<Transform>& transforms();

/// `transform:` as an option: a name, or a map of a name and options.
class INTERPLAY_API TransformOption {
 public:
  TransformOption() = default;
  TransformOption& operator=(const std::string& name);
  void read_option(const Config& from);
  Config write_option() const { return config_; }
  static std::string option_type() { return "transform"; }
  std::shared_ptr<const Transform> make() const;

 private:
  Config config_ = Config::scalar("none", true);
};

}  // namespace interplay
