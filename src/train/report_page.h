#pragma once

#include <string_view>

namespace interplay {

extern const std::string_view kReportHead;    // up to the title; the escaped title follows
extern const std::string_view kReportStyle;   // closes the title, up to the data; JSON follows
extern const std::string_view kReportScript;  // closes the data; to the end of the page

}  // namespace interplay
