# SPDX-License-Identifier: MIT
# Checks of the sources and of the built library that are not programs of ours.

set(checker ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/check-structure --root ${PROJECT_SOURCE_DIR})
foreach(check includes lines columns functions conditionals names words)
  mi_ctest(structure ${check} LABELS quick COMMAND ${checker} ${check})
endforeach()
mi_ctest(structure calls LABELS quick COMMAND ${checker} calls 
  --objects ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/mimalloc-obj.dir)
if(MI_BUILD_SHARED)
  mi_ctest(structure exports LABELS quick COMMAND ${checker} exports --library $<TARGET_FILE:mimalloc>)
  if(MI_OVERRIDE AND NOT MI_DEBUG_FULL)
    mi_ctest(structure fastpath LABELS quick
      COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/check-fastpath $<TARGET_FILE:mimalloc>)
  endif()
endif()
