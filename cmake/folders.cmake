# SPDX-License-Identifier: MIT
# Where things are installed: GNUInstallDirs says, so a prefix of /usr gives lib/x86_64-linux-gnu on Debian.  With
# MI_INSTALL_TOPLEVEL=OFF all but the shared library (which the loader must find, and whose SONAME tells versions apart)
# goes into folders with the version in their names, so that several versions can be installed beside each other.

include(GNUInstallDirs)
set(package_folder mimalloc)
set(subfolder "")
if(NOT MI_INSTALL_TOPLEVEL)
  set(package_folder mimalloc-${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  set(subfolder /${package_folder})
endif()
set(MI_INSTALL_ARCHIVEDIR ${CMAKE_INSTALL_LIBDIR}${subfolder}) # the object file's, too
set(MI_INSTALL_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR}${subfolder})
set(MI_INSTALL_CMAKEDIR ${CMAKE_INSTALL_LIBDIR}/cmake/${package_folder})

# The name of our package and of its documentation; mimalloc's own packages have other names.
set(MI_PACKAGE_NAME mimalloc-from-scratch)
if(NOT "$CACHE{CMAKE_INSTALL_DOCDIR}")
  set(CMAKE_INSTALL_DOCDIR ${CMAKE_INSTALL_DATAROOTDIR}/doc/${MI_PACKAGE_NAME})
endif()

# The release of this implementation: PROJECT_VERSION is that of the interface.
file(STRINGS ${PROJECT_SOURCE_DIR}/include/mimalloc.h release REGEX "^#define MI_RELEASE ")
string(REGEX REPLACE "^.*\"(.*)\".*$" "\\1" MI_RELEASE "${release}")
