#include <interplay/base/huge_pages.h>

#include <cstdint>

#include <sys/mman.h>

namespace interplay {
namespace {

constexpr size_t kPage = size_t{2} << 20;

size_t whole_pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

void* map_huge(size_t bytes) {
  const size_t wanted = whole_pages(bytes);
  void* const got = ::mmap(nullptr, wanted + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (got == MAP_FAILED) throw std::bad_alloc();
  const auto begin = reinterpret_cast<uintptr_t>(got), aligned = (begin + kPage - 1) / kPage * kPage;
  if (aligned > begin) ::munmap(got, aligned - begin);
  ::munmap(reinterpret_cast<void*>(aligned + wanted), begin + kPage - aligned);
  auto* const memory = reinterpret_cast<void*>(aligned);
  ::madvise(memory, wanted, MADV_HUGEPAGE);  // where there are none, small ones do
  return memory;
}

void unmap_huge(void* memory, size_t bytes) noexcept { ::munmap(memory, whole_pages(bytes)); }

}  // namespace interplay
