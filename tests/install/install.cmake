# cmake -D BUILD=<build folder> -D HERE=<scratch> -P install.cmake: installs, moves the package to <scratch>/moved and
# sees to it that it needs nothing from where it was built.
set(ENV{LD_LIBRARY_PATH} "")
file(REMOVE_RECURSE ${HERE}/first ${HERE}/moved)
file(MAKE_DIRECTORY ${HERE})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${HERE}/first OUTPUT_QUIET RESULT_VARIABLE status)
if(status)
  message(FATAL_ERROR "cmake --install: status ${status}")
endif()
file(RENAME ${HERE}/first ${HERE}/moved)
execute_process(COMMAND ${HERE}/moved/bin/interplay --help RESULT_VARIABLE status)
if(status)
  message(FATAL_ERROR "interplay --help: status ${status}")
endif()

# Nothing may be taken from the build folder, nor from anywhere but the package and the C++ runtime.
execute_process(COMMAND ldd ${HERE}/moved/lib/libinterplay.so OUTPUT_VARIABLE needs)
string(REPLACE "\n" ";" needs "${needs}")
foreach(line ${needs})
  if(NOT line MATCHES "${HERE}/moved/lib/|linux-vdso|ld-linux|/lib(c|m|dl|rt|pthread|gcc_s|stdc\\+\\+)\\.so")
    message(FATAL_ERROR "the package does not hold all it needs: ${line}")
  endif()
endforeach()
