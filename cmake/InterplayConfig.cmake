# find_package(Interplay): target Interplay::interplay and interplay_add_plugin().
include(${CMAKE_CURRENT_LIST_DIR}/InterplayTargets.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/InterplayPlugin.cmake)
