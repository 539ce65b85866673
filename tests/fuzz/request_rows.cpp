// Bodies of POST /v1/score.
#include <cstdlib>

#include "server/request_cells.h"

using namespace interplay::server;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const RequestColumns columns({"user", "item", "history"}, {"", "", "^"});
  static RequestCells cells;  // one for all, as a server has it
  std::string body(reinterpret_cast<const char*>(data), size);
  volatile uint64_t sum = 0;
  constexpr CellLimits kLimits{.rows = 50, .cells = 120};
  try {
    cells.read_rows(body, columns, kLimits);
    if (cells.rows() > kLimits.rows) std::abort();
    for (size_t c = 0; c < columns.names.size(); ++c) {
      if (!cells.given(c)) continue;
      for (int64_t row = 0; row < cells.rows(); ++row) {
        for (const char letter : cells.cell(c, row)) sum = sum + uint8_t(letter);  // every byte can be read
      }
    }
    const KeptCells kept(cells);
    if (kept.rows() != cells.rows()) std::abort();
  } catch (const RequestError& error) {
    if (error.status != 400 && error.status != 413) std::abort();
  }
  return 0;
}
