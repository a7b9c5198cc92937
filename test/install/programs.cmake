# SPDX-License-Identifier: MIT
# What both users' projects build with the library's targets.  Nothing is linked that is not needed (--as-needed, the
# default of some distributions), but for the library.
find_package(Threads REQUIRED)
foreach(kind shared static object)
  set(library mimalloc-${kind})
  if(kind STREQUAL "shared")
    set(library mimalloc)
  elseif(kind STREQUAL "object")
    set(library mimalloc-obj)
  endif()
  foreach(program consumer.c silent.cc)
    string(REGEX REPLACE "\\..*" "" name ${program})
    add_executable(${name}-${kind} ${CMAKE_CURRENT_LIST_DIR}/${program})
    target_link_options(${name}-${kind} PRIVATE -Wl,--as-needed)
    target_compile_options(${name}-${kind} PRIVATE -Wall -Wextra -Werror)
    target_link_libraries(${name}-${kind} PRIVATE ${library})
  endforeach()
endforeach()
