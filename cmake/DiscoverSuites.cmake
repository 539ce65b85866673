# interplay_discover_suites(TARGET [PREFIX p] [TIMEOUT s] [SINGLE regex]): a test a suite of a GoogleTest program, found
# when it has been built. A process takes a third of a second to load LibTorch: one for each of 1,400 tests would cost as
# much as the tests. Threads that wait do not spin: tests run side by side. Suites that SINGLE matches are long: their
# tests stand alone, and begin first.
function(interplay_discover_suites target)
  cmake_parse_arguments(A "" "PREFIX;TIMEOUT;SINGLE" "" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 1800)
  endif()
  set(list ${CMAKE_CURRENT_BINARY_DIR}/${target}_suites.cmake)
  add_custom_command(
    TARGET ${target} POST_BUILD BYPRODUCTS ${list}
    COMMAND ${CMAKE_COMMAND} -D PROGRAM=$<TARGET_FILE:${target}> -D LIST=${list} -D "PREFIX=${A_PREFIX}"
            -D TIMEOUT=${A_TIMEOUT} -D "SINGLE=${A_SINGLE}" -P ${PROJECT_SOURCE_DIR}/cmake/ListSuites.cmake
    VERBATIM)
  set(include ${CMAKE_CURRENT_BINARY_DIR}/${target}_include.cmake)
  file(WRITE ${include} "if(EXISTS \"${list}\")
  include(\"${list}\")
else()
  add_test(${target}_NOT_BUILT ${target}_NOT_BUILT)
endif()
")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${include})
endfunction()
