# SPDX-License-Identifier: MIT
# `cmake --install`: libraries, headers, a CMake package (find_package(mimalloc)), a pkg-config file, man pages.
# The folders are chosen in folders.cmake.

include(CMakePackageConfigHelpers)

set(installed "")
if(MI_BUILD_SHARED)
  list(APPEND installed mimalloc)
endif()
if(MI_BUILD_STATIC)
  list(APPEND installed mimalloc-static)
endif()
if(installed)
  install(TARGETS ${installed} EXPORT mimalloc-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${MI_INSTALL_ARCHIVEDIR})
  install(EXPORT mimalloc-targets FILE mimalloc.cmake DESTINATION ${MI_INSTALL_CMAKEDIR})
endif()
if(MI_BUILD_OBJECT)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${MI_LIBRARY_NAME}.o DESTINATION ${MI_INSTALL_ARCHIVEDIR})
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${MI_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/mimalloc-config.cmake.in mimalloc-config.cmake
  INSTALL_DESTINATION ${MI_INSTALL_CMAKEDIR} PATH_VARS MI_INSTALL_ARCHIVEDIR MI_INSTALL_INCLUDEDIR)
write_basic_package_version_file(mimalloc-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mimalloc-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/mimalloc-config-version.cmake DESTINATION ${MI_INSTALL_CMAKEDIR})

# The prefix is found from where the file lies, so the whole installation can be moved; folders given as absolute
# paths stay what they are.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(MI_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH package_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  set(MI_PC_PREFIX "\${pcfiledir}/${package_to_prefix}")
endif()
set(MI_INSTALL_LIBDIR ${CMAKE_INSTALL_LIBDIR})
foreach(folder LIBDIR ARCHIVEDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${MI_INSTALL_${folder}}")
    set(MI_PC_${folder} ${MI_INSTALL_${folder}})
  else()
    set(MI_PC_${folder} "\${prefix}/${MI_INSTALL_${folder}}")
  endif()
endforeach()
set(MI_PC_LIBS -l${MI_LIBRARY_NAME})
if(MI_OVERRIDE)
  set(MI_PC_LIBS "-Wl,--push-state,--no-as-needed,--undefined=mi_version ${MI_PC_LIBS} -Wl,--pop-state")
endif()
set(MI_PC_LIBS_PRIVATE -pthread)
if(NOT MI_INSTALL_TOPLEVEL) # where the archive is
  string(PREPEND MI_PC_LIBS_PRIVATE "-L${MI_PC_ARCHIVEDIR} ")
endif()
if(MI_USE_LIBATOMIC)
  string(APPEND MI_PC_LIBS_PRIVATE " -latomic")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/mimalloc.pc.in mimalloc.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mimalloc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

foreach(page mimalloc.3 mimalloc.7)
  configure_file(${PROJECT_SOURCE_DIR}/doc/man/${page}.in ${page} @ONLY)
  string(REGEX REPLACE ".*\\." "" section ${page})
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
