# SPDX-License-Identifier: MIT
# Read by cpack.  Writes what other packages learn from ours: which one to depend on for libmimalloc.so.3 (shlibs), and
# since which release it has each symbol (symbols, from the list debian-symbols and what the library has now).

set(control ${CPACK_PACKAGE_DIRECTORY}/debian-control)
file(MAKE_DIRECTORY ${control})
file(WRITE ${control}/shlibs "libmimalloc 3 ${CPACK_PACKAGE_NAME} (>= ${CPACK_PACKAGE_VERSION})\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${control}/shlibs)

find_program(gensymbols dpkg-gensymbols)
if(gensymbols AND EXISTS ${CPACK_MI_LIBRARY})
  # dpkg-gensymbols misses no symbol of the very version it is told, so it is asked about a later one first.
  set(command ${gensymbols} -c1 -p${CPACK_PACKAGE_NAME} -P${control} -e${CPACK_MI_LIBRARY} -I${CPACK_MI_SYMBOLS})
  foreach(version ${CPACK_PACKAGE_VERSION}+later ${CPACK_PACKAGE_VERSION})
    execute_process(COMMAND ${command} -v${version} -O${control}/symbols
      RESULT_VARIABLE failed OUTPUT_VARIABLE difference ERROR_VARIABLE said)
    if(failed)
      message(FATAL_ERROR "the library lacks symbols of cmake/debian-symbols: ${said}${difference}")
    endif()
  endforeach()
  list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${control}/symbols)
endif()
