#pragma once

#include <cstddef>
#include <new>

namespace interplay {

/// Memory of at least kHugeBytes for random access, in huge pages where the system has them: with small ones nearly
/// every access to a large table misses the TLB first. Zeroed. Throws std::bad_alloc.
void* map_huge(size_t bytes);
void unmap_huge(void* memory, size_t bytes) noexcept;
constexpr size_t kHugeBytes = size_t{4} << 20;  // below, a whole huge page more or less would matter

/// Allocator of standard containers that are large and read at random.
template <class T>
struct HugePages {
  using value_type = T;
  HugePages() = default;
  template <class U>
  HugePages(const HugePages<U>&) {}

  T* allocate(size_t n) {
    const size_t bytes = n * sizeof(T);
    return static_cast<T*>(bytes < kHugeBytes ? ::operator new(bytes) : map_huge(bytes));
  }
  void deallocate(T* memory, size_t n) noexcept {
    const size_t bytes = n * sizeof(T);
    bytes < kHugeBytes ? ::operator delete(memory) : unmap_huge(memory, bytes);
  }
  template <class U>
  bool operator==(const HugePages<U>&) const {
    return true;
  }
};

}  // namespace interplay
