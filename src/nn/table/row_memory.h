#pragma once

#include <cstdint>
#include <memory>

namespace interplay::nn {

/// A stretch of zeroed memory for rows of tables, aligned to a cache line; large ones lie in huge pages where the
/// system has them, and cost nothing until they are written. A wide load of the last floats may read past them.
class RowMemory {
 public:
  explicit RowMemory(int64_t floats);  ///< throws Error where there is not that much
  ~RowMemory();
  RowMemory(const RowMemory&) = delete;
  RowMemory& operator=(const RowMemory&) = delete;
  float* data() const { return data_; }

 private:
  void* mapped_;
  size_t bytes_;
  float* data_;
};

/// Gives the whole pages among `bytes` at `from`, which lie in a RowMemory, back to the system: they read as zero.
void give_back(void* from, int64_t bytes);

}  // namespace interplay::nn
