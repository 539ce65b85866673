#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/check/checks.h"

namespace interplay {

inline constexpr size_t kShownRows = 5;

/// A sampled row with what these columns and those of the labels hold.
Finding::Row shown_row(const CheckFacts& facts, const SampledRows& from, int64_t row, std::vector<std::string> columns);
/// The first sampled rows, training rows before others, for which is_shown(rows, i) holds.
template <class IsShown>
std::vector<Finding::Row> shown_rows(const CheckFacts& facts, const std::vector<std::string>& columns,
                                     IsShown&& is_shown) {
  std::vector<Finding::Row> out;
  for (const SampledRows& rows : facts.sample) {
    for (int64_t i = 0; i < rows.rows() && out.size() < kShownRows; ++i) {
      if (is_shown(rows, i)) out.push_back(shown_row(facts, rows, i, columns));
    }
  }
  return out;
}

/// `fields:` with the entry of a field as it should be: without the field, and with `instead` in its place unless that
/// is empty. "" where nothing would be left.
std::string fields_with(const CheckedData& data, size_t field, const Config& instead);
std::string fields_without(const CheckedData& data, size_t field);
/// The entry of a field alone, as a map with its column.
Config entry_of(const CheckedData& data, size_t field);
/// `key: value` with a list of names as value.
std::string list_yaml(const std::string& key, const std::vector<std::string>& names);

std::string percent(double share);  ///< `12.3%`, `0.04%`
CheckReport::FieldFigures& figures_of(CheckReport& report, const CheckFacts& facts, size_t field);

/// The column that says when a row happened: that of `time:`, of the split, of a history, or a field's that is called
/// so and holds numbers. "" where there is none.
std::string time_column(const CheckedData& data);

}  // namespace interplay
