#include <interplay/base/environment.h>

namespace interplay {
namespace {

// Read before main(), by tools/main.cpp: no constructor may have to run first.
constexpr EnvironmentSetting kSettings[] = {
    {"GOMP_SPINCOUNT", "20000", "OMP_WAIT_POLICY", false,  // some tens of microseconds
     "GNU OpenMP's threads spin while they wait for one another; on a machine that others use too, whoever is waited "
     "for does not get a core, and training becomes tens of times slower"},
    {"GLIBC_TUNABLES",
     "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296", nullptr,
     true,
     "malloc gives large blocks back to the system at once: a step would spend a tenth of its time on having the same "
     "pages mapped again, and its tables and activations do better on huge pages"},
    {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64", "LRU_CACHE_CAPACITY", false,
     "oneDNN keeps what it compiled for the last 1,024 shapes; where batches differ in shape, as histories do, that is "
     "gigabytes that no later batch uses"},
    {"LRU_CACHE_CAPACITY", "64", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", false,
     "ATen's own cache of the same, of which the above says what it is for"},
};

}  // namespace

std::span<const EnvironmentSetting> recommended_environment() { return kSettings; }

}  // namespace interplay
