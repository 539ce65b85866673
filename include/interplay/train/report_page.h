#pragma once

#include <string>
#include <string_view>

#include <interplay/base/api.h>

namespace interplay {

/// A page that needs nothing but itself: style, `json` in the element `report-data`, and `script`, which draws it with
/// the tools that every page has (make, card, table, frame, legend, ...; the parsed data are `run`).
INTERPLAY_API std::string page_html(std::string_view title, std::string_view json, std::string_view script);

extern const std::string_view kReportScript;  // the page of a training run

}  // namespace interplay
