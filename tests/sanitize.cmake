# Builds unit tests under a sanitizer and runs them: cmake -D KIND=address|thread -D SOURCE= -D BUILD= -D DEPS= -P
# sanitize.cmake
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status)
  if(status)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "${command}: status ${status}")
  endif()
endfunction()
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
run(${CMAKE_COMMAND} -G Ninja -S ${SOURCE} -B ${BUILD} -D CMAKE_BUILD_TYPE=RelWithDebInfo -D INTERPLAY_SANITIZE=${KIND}
    -D INTERPLAY_DEPS=${DEPS} --log-level=WARNING)
run(ninja -C ${BUILD} --quiet -j ${cores})
# LibTorch and OpenMP are not instrumented: whose classes are whose cannot be told, nor who waited for whom; a
# test counts its own allocations.
set(ENV{ASAN_OPTIONS} detect_odr_violation=0:alloc_dealloc_mismatch=0)
if(KIND STREQUAL thread)
  set(ENV{OMP_NUM_THREADS} 1)
  set(ENV{TSAN_OPTIONS} ignore_noninstrumented_modules=1)
endif()
run(${CMAKE_CTEST_COMMAND} --test-dir ${BUILD} --output-on-failure -j ${cores})
