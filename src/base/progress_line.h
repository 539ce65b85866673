#pragma once

namespace interplay::detail {

/// Wipes the progress bar from the terminal line, if one is shown, so that a log line can take its place.
void clear_progress_line();

}  // namespace interplay::detail
