# `cmake --install build --prefix DIR`: a package that can be moved. Every library it needs lies flat in lib/ (theirs
# and ours look in $ORIGIN), so that nothing but the C++ runtime is asked of the machine.
install(TARGETS interplay interplay_lm interplay_server EXPORT InterplayTargets RUNTIME_DEPENDENCY_SET interplay_needs LIBRARY DESTINATION lib)
install(TARGETS interplay_tool RUNTIME DESTINATION bin)
install(RUNTIME_DEPENDENCY_SET interplay_needs
        PRE_EXCLUDE_REGEXES "^(ld-linux|libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\\+\\+)[-.].*"
        LIBRARY DESTINATION lib)

# Headers: ours, and those that ours include: LibTorch's and the fmt that goes before the one LibTorch brings along.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/interplay ${PROJECT_BINARY_DIR}/include/interplay DESTINATION include)
install(DIRECTORY ${INTERPLAY_TORCH}/include/ DESTINATION include/interplay-deps/torch)
install(DIRECTORY ${INTERPLAY_FMT_HEADERS} DESTINATION include/interplay-deps/fmt)

include(CMakePackageConfigHelpers)
install(EXPORT InterplayTargets NAMESPACE Interplay:: DESTINATION lib/cmake/Interplay)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/InterplayConfigVersion.cmake COMPATIBILITY ExactVersion)
install(FILES ${PROJECT_SOURCE_DIR}/cmake/InterplayConfig.cmake ${PROJECT_SOURCE_DIR}/cmake/InterplayPlugin.cmake
        ${PROJECT_BINARY_DIR}/InterplayConfigVersion.cmake DESTINATION lib/cmake/Interplay)
