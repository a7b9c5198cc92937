# SPDX-License-Identifier: MIT
# Checks of the sources and of the built library that are not programs of ours.

set(checker ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/check-structure --root ${PROJECT_SOURCE_DIR})
if("structure" IN_LIST MI_TEST_SETS AND Python3_FOUND)
  foreach(check includes lines columns licenses functions conditionals names words)
    mi_ctest(structure ${check} LABELS quick COMMAND ${checker} ${check})
  endforeach()
  foreach(check calls cycles)
    mi_ctest(structure ${check} LABELS quick
      COMMAND ${checker} ${check} --objects ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/mimalloc-parts.dir)
  endforeach()
  mi_ctest(structure selftest LABELS quick
    COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/test-checks --compiler ${CMAKE_C_COMPILER})
  if(MI_BUILD_SHARED AND MI_BUILD_STATIC AND MI_OVERRIDE AND MI_LIBRARY_NAME STREQUAL "mimalloc")
    mi_ctest(structure exports LABELS quick COMMAND ${checker} exports
      --library $<TARGET_FILE:mimalloc> --library $<TARGET_FILE:mimalloc-static>)
  endif()
endif()

# Instructions on the fast paths of malloc and free, the return included.
if("fastpath" IN_LIST MI_TEST_SETS AND Python3_FOUND AND MI_BUILD_SHARED AND MI_OVERRIDE
   AND MI_DEBUG_LEVEL EQUAL 0 AND NOT MI_TRACK_VALGRIND)
  if(MI_FREE_CHECKS)
    set(malloc_limit 15)
    set(free_limit 24)
  else()
    set(malloc_limit 14)
    set(free_limit 17)
  endif()
  set(counter ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/check-fastpath --show $<TARGET_FILE:mimalloc>)
  mi_ctest(fastpath malloc LABELS quick COMMAND ${counter} malloc=${malloc_limit})
  mi_ctest(fastpath free LABELS quick COMMAND ${counter} free=${free_limit})
endif()
