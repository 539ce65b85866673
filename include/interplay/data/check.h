#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <interplay/base/config.h>

namespace interplay {

struct CheckOptions {
  int64_t rows = 100000;  ///< of each split, drawn at random, that are kept to be held against one another
  int threads = 0;        ///< 0: one a core
};

/// Something that a check has to say.
struct INTERPLAY_API Finding {
  enum class Severity { note, warning, severe };
  struct Row {
    std::string place;                                       ///< `train.csv:17`
    std::vector<std::pair<std::string, std::string>> cells;  ///< columns and what they hold
  };
  Severity severity = Severity::note;
  std::string check;      ///< a name of the registry `check`: drift, leakage, ...
  std::string field;      ///< "": of the rows as such
  std::string text;       ///< what was found, with figures
  std::vector<Row> rows;  ///< a few to look at
  std::string remedy;     ///< what to do
  std::string yaml;       ///< what to write into data.yaml; "" where nothing there helps
};
INTERPLAY_API std::string to_string(Finding::Severity severity);

/// What `interplay check` tells of a data.yaml and its files.
struct INTERPLAY_API CheckReport {
  struct Split {
    std::string name;
    int64_t rows = 0;
    std::vector<double> label_rates;  ///< beside `labels`: share of positives; NaN where no row has the label
  };
  enum class Unit { count, share, number };
  struct Figure {
    std::string name;
    double value = 0;
    Unit unit = Unit::number;
  };
  struct FieldFigures {
    std::string name, kind;
    std::vector<Figure> figures;
  };
  std::vector<std::string> labels;
  std::vector<Split> splits;  ///< those that have rows
  std::vector<FieldFigures> fields;
  std::vector<Finding> findings;  ///< the most severe first
  int64_t unusable_rows = 0;      ///< at which prepare() would stop
  int64_t left_out_rows = 0;      ///< by `filter`, or as their histories are below min_length

  int64_t count(Finding::Severity severity) const;
};

/// Reads the files of a data.yaml as prepare() does, in a stream, writes nothing, and has every registered check tell
/// what it finds. Counts are of all rows; what compares rows or values with one another (AUC of a field, drift, unseen
/// values) is of up to options.rows random rows of each split, in memory. The result depends on the input and
/// options.rows alone. Throws Error as prepare() does for configs and files that cannot be read; rows that cannot be
/// used are findings.
INTERPLAY_API CheckReport check_data(const Config& data, const CheckOptions& options = {});

}  // namespace interplay
