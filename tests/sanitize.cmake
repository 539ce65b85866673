# Builds data_tests under the sanitizers and runs them: cmake -D SOURCE= -D BUILD= -D DEPS= -P sanitize.cmake
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status)
  if(status)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "${command}: status ${status}")
  endif()
endfunction()
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
run(${CMAKE_COMMAND} -G Ninja -S ${SOURCE} -B ${BUILD} -D CMAKE_BUILD_TYPE=RelWithDebInfo -D INTERPLAY_SANITIZE=ON
    -D INTERPLAY_DEPS=${DEPS} --log-level=WARNING)
run(ninja -C ${BUILD} --quiet -j ${cores} data_tests)
run(${CMAKE_CTEST_COMMAND} --test-dir ${BUILD} --output-on-failure -j ${cores})
