// Bodies of Open Inference Protocol v2. The first two bytes say how long the JSON is, where binary tensors follow it.
#include <cstdlib>

#include "server/request_cells.h"

using namespace interplay::server;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static const RequestColumns columns({"user", "item", "history"}, {"", "", "^"});
  static RequestCells cells;
  const int64_t head = data[0] == 255 ? -1 : data[0] * 256 + data[1];
  std::string body(reinterpret_cast<const char*>(data + 2), size - 2);
  volatile uint64_t sum = 0;
  constexpr CellLimits kLimits{.rows = 50, .cells = 120};
  try {
    cells.read_v2(body, head, columns, kLimits);
    if (cells.rows() > kLimits.rows) std::abort();
    for (size_t c = 0; c < columns.names.size(); ++c) {
      if (!cells.given(c)) continue;
      for (int64_t row = 0; row < cells.rows(); ++row) {
        for (const char letter : cells.cell(c, row)) sum = sum + uint8_t(letter);
      }
    }
  } catch (const RequestError& error) {
    if (error.status != 400 && error.status != 413) std::abort();
  }
  return 0;
}
