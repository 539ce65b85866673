#include "nn/table/row_memory.h"

#include <algorithm>

#include <sys/mman.h>

#include <interplay/base/error.h>

namespace interplay::nn {
namespace {

constexpr size_t kWideLoad = 64, kPage = 4096, kHugePage = size_t(2) << 20;

uintptr_t round_up(uintptr_t x, size_t to) { return (x + to - 1) / to * to; }

}  // namespace

RowMemory::RowMemory(int64_t floats) {
  const size_t wanted = size_t(floats) * sizeof(float) + kWideLoad;
  const bool huge = wanted >= kHugePage;
  bytes_ = huge ? wanted + kHugePage : wanted;  // room to begin with a huge page
  mapped_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  INTERPLAY_CHECK(mapped_ != MAP_FAILED,
                  "embedding tables: {:.1f} GB cannot be had; use a smaller embedding_dim, min_count or hash_buckets",
                  double(wanted) * 1e-9);
  const auto begin = reinterpret_cast<uintptr_t>(mapped_);
  data_ = reinterpret_cast<float*>(huge ? round_up(begin, kHugePage) : begin);
  if (huge) madvise(data_, round_up(wanted, kPage), MADV_HUGEPAGE);  // where there are none, small ones do
}

RowMemory::~RowMemory() { munmap(mapped_, bytes_); }

void give_back(void* from, int64_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(from), first = round_up(begin, kPage);
  const uintptr_t last = (begin + uintptr_t(bytes)) / kPage * kPage;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace interplay::nn
