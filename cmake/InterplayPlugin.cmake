# interplay_add_plugin(NAME SOURCE...): a plugin, loaded with `interplay ... --plugin libNAME.so`.
# It compiles as whatever links Interplay::interplay does but is not linked to it: the program that loads it provides
# the symbols, so that a stale plugin is refused by its ABI symbol rather than satisfied by an old library on the path.
function(interplay_add_plugin name)
  add_library(${name} MODULE ${ARGN})
  target_compile_features(${name} PRIVATE cxx_std_20)
  set_target_properties(${name} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  set(of_interplay TARGET_PROPERTY:Interplay::interplay)
  target_include_directories(${name} SYSTEM PRIVATE $<${of_interplay},INTERFACE_INCLUDE_DIRECTORIES>)
  target_compile_definitions(${name} PRIVATE $<${of_interplay},INTERFACE_COMPILE_DEFINITIONS>)
  target_compile_options(${name} PRIVATE $<${of_interplay},INTERFACE_COMPILE_OPTIONS>)
endfunction()
