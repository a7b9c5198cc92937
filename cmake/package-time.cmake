# SPDX-License-Identifier: MIT
# Read by cpack.  Writes what other packages learn from ours: which one to depend on for libmimalloc.so.3 (shlibs), and
# since which release it has each symbol (symbols, from the list debian-symbols and what the library has now).

set(control ${CPACK_PACKAGE_DIRECTORY}/debian-control)
file(MAKE_DIRECTORY ${control})
file(WRITE ${control}/shlibs "libmimalloc 3 ${CPACK_PACKAGE_NAME} (>= ${CPACK_PACKAGE_VERSION})\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${control}/shlibs)

find_program(gensymbols dpkg-gensymbols)
if(gensymbols AND EXISTS ${CPACK_MI_LIBRARY})
  execute_process(COMMAND ${gensymbols} -c1 -q -p${CPACK_PACKAGE_NAME} -v${CPACK_PACKAGE_VERSION} -P${control}
    -e${CPACK_MI_LIBRARY} -I${CPACK_MI_SYMBOLS} -O${control}/symbols RESULT_VARIABLE failed ERROR_VARIABLE said)
  if(failed)
    message(FATAL_ERROR "the library lacks symbols of cmake/debian-symbols: ${said}")
  endif()
  list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${control}/symbols)
endif()
