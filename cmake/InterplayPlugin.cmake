# interplay_add_plugin(NAME SOURCE...): a model plugin, loaded with `interplay ... --plugin libNAME.so`.
# It is not linked to libinterplay: the program that loads it provides the symbols, so that a stale plugin is refused
# by its ABI symbol rather than satisfied by an old library on the path.
function(interplay_add_plugin name)
  add_library(${name} MODULE ${ARGN})
  target_compile_features(${name} PRIVATE cxx_std_20)
  set_target_properties(${name} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  foreach(property INTERFACE_INCLUDE_DIRECTORIES INTERFACE_COMPILE_DEFINITIONS INTERFACE_COMPILE_OPTIONS)
    set(value $<TARGET_PROPERTY:Interplay::interplay,${property}>)
    if(property STREQUAL INTERFACE_INCLUDE_DIRECTORIES)
      target_include_directories(${name} PRIVATE ${value})
    endif()
  endforeach()
  add_dependencies(${name} Interplay::interplay)
endfunction()
