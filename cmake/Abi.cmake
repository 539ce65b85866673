# The ABI symbol: Interplay and LibTorch versions and a hash of the public headers. Every registration takes its
# address, so that a plugin built against other headers cannot be loaded.
file(GLOB_RECURSE INTERPLAY_PUBLIC_HEADERS CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/interplay/*.h)
# Interplay::lm is a library of its own, which no plugin is linked with.
list(FILTER INTERPLAY_PUBLIC_HEADERS EXCLUDE REGEX "/include/interplay/(lm|systems)/")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${INTERPLAY_PUBLIC_HEADERS})
set(all_hashes "")
foreach(header ${INTERPLAY_PUBLIC_HEADERS})
  file(SHA256 ${header} one)
  string(APPEND all_hashes ${one})
endforeach()
string(SHA256 INTERPLAY_HEADER_HASH "${all_hashes}")
string(SUBSTRING ${INTERPLAY_HEADER_HASH} 0 8 INTERPLAY_HEADER_HASH)
string(REPLACE "." "_" interplay_version ${PROJECT_VERSION})
string(REPLACE "." "_" torch_version ${INTERPLAY_TORCH_VERSION})
set(INTERPLAY_ABI interplay_abi_${interplay_version}_torch_${torch_version}_${INTERPLAY_HEADER_HASH})
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/include/interplay/base/abi.h CONTENT
"#pragma once

#include <interplay/base/api.h>

/// Made by CMake: versions of Interplay and LibTorch and a hash of the public headers.
#define INTERPLAY_ABI_SYMBOL @INTERPLAY_ABI@
#define INTERPLAY_VERSION \"@PROJECT_VERSION@\"
#define INTERPLAY_TORCH_VERSION \"@INTERPLAY_TORCH_VERSION@\"

extern \"C\" INTERPLAY_API const char INTERPLAY_ABI_SYMBOL;
" @ONLY)
