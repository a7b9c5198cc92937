# SPDX-License-Identifier: MIT
# `cmake --install`: libraries, headers, a CMake package (find_package(mimalloc)) and a pkg-config file.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mimalloc)
set(installed "")
if(MI_BUILD_SHARED)
  list(APPEND installed mimalloc)
endif()
if(MI_BUILD_STATIC)
  list(APPEND installed mimalloc-static)
endif()
if(installed)
  install(TARGETS ${installed} EXPORT mimalloc-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT mimalloc-targets FILE mimalloc.cmake DESTINATION ${package_dir})
endif()
if(MI_BUILD_OBJECT)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mimalloc.o DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/mimalloc-config.cmake.in mimalloc-config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(mimalloc-config-version.cmake COMPATIBILITY SameMajorVersion)
file(RELATIVE_PATH package_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${PROJECT_SOURCE_DIR}/cmake/mimalloc.pc.in mimalloc.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mimalloc-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/mimalloc-config-version.cmake DESTINATION ${package_dir})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mimalloc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
