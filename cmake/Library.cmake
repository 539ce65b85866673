# One shared library, the only home of the registries. Sources are found, never listed; those without LibTorch compile
# without it, which keeps them quick to build and lets the sanitizers run over them alone.
file(GLOB base_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/base/*.cpp)
file(GLOB_RECURSE prepare_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/data/*.cpp)
file(GLOB tensor_data_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/data/batch/*.cpp)
list(REMOVE_ITEM prepare_sources ${tensor_data_sources})
file(GLOB_RECURSE tensor_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/nn/*.cpp ${PROJECT_SOURCE_DIR}/src/optim/*.cpp
     ${PROJECT_SOURCE_DIR}/src/core/*.cpp ${PROJECT_SOURCE_DIR}/src/serve/*.cpp)
# Folders that compute nothing in loops of their own, but for the yardsticks of `interplay bench`.
file(GLOB yardsticks CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/bench/peaks.cpp ${PROJECT_SOURCE_DIR}/src/bench/tables.cpp
     ${PROJECT_SOURCE_DIR}/src/bench/embedding.cpp)
list(APPEND tensor_sources ${yardsticks})
file(GLOB train_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/train/*.cpp)
file(GLOB explain_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/explain/*.cpp)
file(GLOB search_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/search/*.cpp)
file(GLOB bench_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/bench/*.cpp)
list(REMOVE_ITEM bench_sources ${yardsticks})
file(GLOB lm_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/lm/*.cpp)
file(GLOB tensor_lm_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/lm/tensor/*.cpp
     ${PROJECT_SOURCE_DIR}/src/systems/*/*.cpp)
file(GLOB model_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/models/*.cpp)

add_library(interplay_flags INTERFACE)
target_compile_options(interplay_flags INTERFACE -Wall -Wextra -Wno-unused-parameter -Wno-restrict -Wno-stringop-overflow -Wno-psabi
                       -fno-math-errno $<$<BOOL:${INTERPLAY_WERROR}>:-Werror>)
target_compile_definitions(interplay_flags INTERFACE INTERPLAY_IN_TREE)
target_include_directories(interplay_flags INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                           $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>)

# interplay_units(TARGET FILE...): up to ten files of a folder are one unit. Where LibTorch's headers are read, a file
# takes longer to begin with (what they instantiate, in each anew: 8 s) than to compile.
option(INTERPLAY_UNITY "Compile files of a folder as one unit" ON)
function(interplay_units target)
  # GCC thinks that what a unit includes is a header, which another could include
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${INTERPLAY_UNITY} UNITY_BUILD_MODE GROUP
                        UNITY_BUILD_CODE_BEFORE_INCLUDE "#pragma GCC diagnostic ignored \"-Wsubobject-linkage\"")
  foreach(file IN LISTS ARGN)
    cmake_path(GET file PARENT_PATH folder)
    cmake_path(RELATIVE_PATH folder BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
    string(MAKE_C_IDENTIFIER ${folder} folder)
    math(EXPR count_${folder} "${count_${folder}} + 1")
    math(EXPR part "(${count_${folder}} - 1) / 10")
    set_source_files_properties(${file} PROPERTIES UNITY_GROUP ${folder}_${part})
  endforeach()
endfunction()

# base and data without tensors
add_library(interplay_data OBJECT ${base_sources} ${prepare_sources})
target_include_directories(interplay_data PRIVATE ${PROJECT_SOURCE_DIR}/src ${XXHASH_INCLUDE})
target_include_directories(interplay_data SYSTEM PRIVATE ${RAPIDJSON_INCLUDE})
target_link_libraries(interplay_data PUBLIC interplay_flags interplay_arrow fmt::fmt spdlog::spdlog yaml-cpp
                      nlohmann_json::nlohmann_json Threads::Threads)
set(units ${base_sources} ${prepare_sources})
list(FILTER units EXCLUDE REGEX "/synth/")  # whose files have names in common
interplay_units(interplay_data ${units})

# language models without tensors: files and text
add_library(interplay_lm_text OBJECT ${lm_sources})
target_include_directories(interplay_lm_text PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(interplay_lm_text PUBLIC interplay_flags fmt::fmt nlohmann_json::nlohmann_json ICU::i18n ICU::uc)

if(INTERPLAY_SANITIZE)
  # All that touches a tensor but the searches, for tests of nn, optim, core and serve. LibTorch is not instrumented. As
  # little time as can be: no optimisation, and the files of a folder together.
  list(REMOVE_ITEM tensor_sources ${yardsticks})
  set(all ${tensor_data_sources} ${tensor_sources} ${train_sources} ${model_sources})
  add_library(interplay_tensor OBJECT ${all})
  target_include_directories(interplay_tensor PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(interplay_tensor PUBLIC interplay_flags interplay_torch interplay_arrow fmt::fmt spdlog::spdlog
                        yaml-cpp nlohmann_json::nlohmann_json Eigen3::Eigen Threads::Threads)
  target_compile_options(interplay_tensor PRIVATE -O0)
  target_precompile_headers(interplay_tensor PRIVATE ${PROJECT_SOURCE_DIR}/src/pch.h)
  interplay_units(interplay_tensor ${all})
  # No optimisation: what tests take longer is less than what compilers do.
  target_compile_options(interplay_data PRIVATE -O0)
  target_compile_options(interplay_lm_text PRIVATE -O0)
  if(NOT INTERPLAY_SANITIZE STREQUAL address)  # those of threads have none of language models
    set_target_properties(interplay_lm_text PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  return()
endif()

# everything that touches a tensor
add_library(interplay_tensor OBJECT ${tensor_data_sources} ${tensor_sources} ${model_sources})
target_include_directories(interplay_tensor PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(interplay_tensor PUBLIC interplay_flags interplay_torch interplay_arrow fmt::fmt spdlog::spdlog
                      yaml-cpp nlohmann_json::nlohmann_json Eigen3::Eigen Threads::Threads)
target_precompile_headers(interplay_tensor PRIVATE ${PROJECT_SOURCE_DIR}/src/pch.h)
# Kernels stay by themselves: how they are inlined may change their last bits.
set(units ${tensor_data_sources} ${model_sources} ${tensor_sources})
list(FILTER units EXCLUDE REGEX "/(kernels|table|bench)/")
interplay_units(interplay_tensor ${units})
# Of the folders above, compiled quickly rather than for speed. That is not for files that compute with numbers: their
# last bits stay.
add_library(interplay_runs OBJECT ${train_sources} ${explain_sources} ${search_sources} ${bench_sources})
target_include_directories(interplay_runs PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(interplay_runs PUBLIC interplay_flags interplay_torch interplay_arrow fmt::fmt spdlog::spdlog
                      yaml-cpp nlohmann_json::nlohmann_json Eigen3::Eigen Threads::Threads)
target_compile_options(interplay_runs PRIVATE $<$<CONFIG:Release>:-O1>)
target_precompile_headers(interplay_runs REUSE_FROM interplay_tensor)
interplay_units(interplay_runs ${train_sources} ${explain_sources} ${search_sources} ${bench_sources})

add_library(interplay SHARED $<TARGET_OBJECTS:interplay_data> $<TARGET_OBJECTS:interplay_tensor>
            $<TARGET_OBJECTS:interplay_runs>)
add_library(Interplay::interplay ALIAS interplay)
target_compile_features(interplay PUBLIC cxx_std_20)
target_include_directories(interplay PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                           $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include> $<INSTALL_INTERFACE:include>)
target_include_directories(interplay SYSTEM PUBLIC $<INSTALL_INTERFACE:include/interplay-deps/fmt>
                           $<INSTALL_INTERFACE:include/interplay-deps/torch>
                           $<INSTALL_INTERFACE:include/interplay-deps/torch/torch/csrc/api/include>)
target_link_libraries(interplay PUBLIC $<BUILD_INTERFACE:interplay_torch> $<BUILD_INTERFACE:fmt::fmt>
                      PRIVATE $<BUILD_INTERFACE:interplay_arrow> spdlog::spdlog yaml-cpp ${XXHASH_LIBRARY} Threads::Threads
                      ${CMAKE_DL_LIBS})
# What a program that links the installed library is linked with too: LibTorch and fmt, from beside it.
foreach(file ${INTERPLAY_TORCH_LIBRARIES} ${INTERPLAY_FMT_SONAME})
  cmake_path(GET file FILENAME file)
  target_link_libraries(interplay INTERFACE $<INSTALL_INTERFACE:$<INSTALL_PREFIX>/lib/${file}>)
endforeach()
target_link_options(interplay INTERFACE $<INSTALL_INTERFACE:-Wl,--allow-shlib-undefined>)
set_target_properties(interplay PROPERTIES INSTALL_RPATH "$ORIGIN")

# What speaks HTTP, a library of its own: whoever scores in process carries none of it.
file(GLOB server_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/server/*.cpp ${PROJECT_SOURCE_DIR}/src/tracking/*.cpp)
add_library(interplay_http OBJECT ${server_sources})  # of which its tests see all
target_include_directories(interplay_http PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_include_directories(interplay_http SYSTEM PRIVATE ${BOOST_INCLUDE})
target_link_libraries(interplay_http PUBLIC interplay interplay_flags nlohmann_json::nlohmann_json
                      Threads::Threads)
interplay_units(interplay_http ${server_sources})
add_library(interplay_server SHARED $<TARGET_OBJECTS:interplay_http>)
add_library(Interplay::server ALIAS interplay_server)
target_link_libraries(interplay_server PUBLIC interplay PRIVATE Threads::Threads)
set_target_properties(interplay_server PROPERTIES EXPORT_NAME server INSTALL_RPATH "$ORIGIN")

# Language models and the systems made of them, a second library: whoever links the first carries none of it.
add_library(interplay_lm SHARED $<TARGET_OBJECTS:interplay_lm_text> ${tensor_lm_sources})
add_library(Interplay::lm ALIAS interplay_lm)
target_include_directories(interplay_lm PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(interplay_lm PUBLIC interplay PRIVATE $<BUILD_INTERFACE:interplay_flags> spdlog::spdlog
                      nlohmann_json::nlohmann_json Eigen3::Eigen ICU::i18n ICU::uc)
# ICU's libraries do not look beside themselves for one another: in the package, ours finds all three.
target_link_libraries(interplay_lm PRIVATE -Wl,--push-state,--no-as-needed ICU::data -Wl,--pop-state)
if(STEMMER_INCLUDE AND STEMMER_LIBRARY)
  target_link_libraries(interplay_lm PRIVATE ${STEMMER_LIBRARY})
  # of one file: a definition of the whole library would part it from the precompiled headers
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/systems/qa4prf/analyzer.cpp PROPERTIES COMPILE_DEFINITIONS INTERPLAY_SNOWBALL)
endif()
# The headers of interplay_tensor, precompiled with the same flags and definitions: one takes half a minute.
target_precompile_headers(interplay_lm REUSE_FROM interplay_tensor)
set(units ${tensor_lm_sources})
list(FILTER units INCLUDE REGEX "/systems/")
interplay_units(interplay_lm ${units})
set_target_properties(interplay_lm PROPERTIES EXPORT_NAME lm INSTALL_RPATH "$ORIGIN")
