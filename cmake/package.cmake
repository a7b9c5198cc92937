# SPDX-License-Identifier: MIT
# `cpack -G DEB`: one Debian package with library, headers, CMake package, pkg-config file and man pages.  It takes the
# place of mimalloc's own packages, whose files have the same names.  Configure with CMAKE_INSTALL_PREFIX=/usr for
# Debian's folders; what is computed when the package is made is in package-time.cmake.  See doc/packaging.md.

if(NOT top_level OR NOT MI_LIBRARY_NAME STREQUAL "mimalloc")
  return() # a project that contains ours has a package of its own; a library for finding errors replaces no other
endif()
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ${MI_PACKAGE_NAME})
set(CPACK_PACKAGE_VERSION ${MI_RELEASE})
set(CPACK_PACKAGE_VENDOR "the maintainers of ${MI_PACKAGE_NAME}")
set(CPACK_PACKAGE_CONTACT "${CPACK_PACKAGE_VENDOR} <root@localhost>" CACHE STRING "Who makes the package")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "general-purpose memory allocator with the interface of mimalloc")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "A replacement of malloc, by preloading or linking, and a library that is\
 called by name.\nA program or package made for mimalloc ${PROJECT_VERSION} works with it unchanged.")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_CURRENT_LIST_DIR}/package-time.cmake)
set(CPACK_MI_LIBRARY ${CMAKE_CURRENT_BINARY_DIR}/libmimalloc.so.${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(CPACK_MI_SYMBOLS ${CMAKE_CURRENT_LIST_DIR}/debian-symbols)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION libs)
set(replaced "libmimalloc3, libmimalloc-dev")
set(CPACK_DEBIAN_PACKAGE_CONFLICTS "${replaced}")
set(CPACK_DEBIAN_PACKAGE_REPLACES "${replaced}")
set(CPACK_DEBIAN_PACKAGE_PROVIDES "libmimalloc3 (= ${PROJECT_VERSION}), libmimalloc-dev (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
include(CPack)
