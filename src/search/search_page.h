#pragma once

#include <string_view>

namespace interplay {

extern const std::string_view kSearchScript;  // draws the page of a search, with the tools of train/report_page.h

}  // namespace interplay
