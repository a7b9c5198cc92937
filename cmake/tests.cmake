# SPDX-License-Identifier: MIT
# The tests.  A folder of test/ (or bench/, examples/) may bring its own CMakeLists.txt, which calls mi_test() and
# mi_ctest(); otherwise each C or C++ file with a main in it is one test program, linked with the folder's other files
# and with the variant of the library that the folder is for.
#
# Variants (all of src/, without the replacement of malloc, every invariant checked):
#   mimalloc-check    the library as it is
#   mimalloc-double   the OS layer replaced by a double: page size, faults and clock under the test's control
#   mimalloc-seam     the test gets control before every atomic operation

find_library(CMOCKA_LIBRARY cmocka)
find_path(CMOCKA_INCLUDE_DIR cmocka.h)
find_package(Python3 COMPONENTS Interpreter)
include(CheckLanguage)
check_language(CXX)
if(CMAKE_CXX_COMPILER)
  enable_language(CXX)
  set(CMAKE_CXX_STANDARD 17) # of programs that do not say otherwise
endif()

function(mi_variant name)
  add_library(${name} STATIC EXCLUDE_FROM_ALL ${MI_PLAIN_SOURCES})
  mi_compile(${name} MI_DEBUG=2 ${ARGN})
endfunction()
mi_variant(mimalloc-check)
mi_variant(mimalloc-seam MI_ATOMIC_SEAM=1)

# The real OS layer is compiled under other names, so that the double can pass calls on to it.
file(GLOB double_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/test/double/*.c)
if(EXISTS ${PROJECT_SOURCE_DIR}/test/double/CMakeLists.txt)
  add_subdirectory(${PROJECT_SOURCE_DIR}/test/double ${CMAKE_CURRENT_BINARY_DIR}/test/double)
elseif(double_sources)
  mi_variant(mimalloc-double MI_OS_DOUBLE=1)
  target_sources(mimalloc-double PRIVATE ${double_sources})
  target_include_directories(mimalloc-double PUBLIC ${PROJECT_SOURCE_DIR}/test)
endif()

# Secure builds tell sizes as they were asked for, align blocks to 16 only, and need more memory for each; FULL ones
# delay frees.  These tests hold ordinary builds' classes, figures and bounds against the library.
set(MI_NOT_SECURE "api.(contract|every_form|arenas|subprocess|life|option_effects|visit|statistics.*|libc_heap-.*)"
  "api.(attributes-fortify|containers)" "limits.idle-.*"
  "stress.(fork-held-.*|fork-reclaim|threads-many|realloc-big|api-sizes|api-deferred|api-realloc_zero)")
list(JOIN MI_NOT_SECURE "|" MI_NOT_SECURE)

# mi_ctest(<set> <name> [LABELS ...] [TIMEOUT seconds] [SERIAL] [ENVIRONMENT ...] COMMAND ...)
function(mi_ctest set name)
  cmake_parse_arguments(arg "SERIAL" "TIMEOUT" "LABELS;ENVIRONMENT;COMMAND" ${ARGN})
  if(MI_SECURE_LEVEL AND "${set}.${name}" MATCHES "^(${MI_NOT_SECURE})$")
    return()
  endif()
  set(test ${MI_TEST_PREFIX}${set}.${name})
  add_test(NAME ${test} COMMAND ${arg_COMMAND})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set(environment ${MI_RUNTIME_ENVIRONMENT} ${MI_SANITIZE_ENVIRONMENT} ${arg_ENVIRONMENT})
  set_tests_properties(${test} PROPERTIES LABELS "${set};${arg_LABELS}" TIMEOUT ${arg_TIMEOUT}
    ENVIRONMENT "${environment}" SKIP_RETURN_CODE 77)
  if(arg_SERIAL)
    set_tests_properties(${test} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# mi_program(<target> <library> <source>...): a test program; cmocka is linked when something uses it.
function(mi_program target library)
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE ${library} mimalloc-flags Threads::Threads)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/test)
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU") # what gcc knows of mi_free: tests free wrongly on purpose
    target_compile_options(${target} PRIVATE -Wno-use-after-free -Wno-free-nonheap-object)
  endif()
  if(CMOCKA_LIBRARY AND CMOCKA_INCLUDE_DIR)
    target_include_directories(${target} PRIVATE ${CMOCKA_INCLUDE_DIR})
    target_link_libraries(${target} PRIVATE -Wl,--as-needed ${CMOCKA_LIBRARY} -Wl,--no-as-needed)
  endif()
endfunction()

# mi_test(<set> <name> <library> <source>...
#         [LABELS ...] [TIMEOUT seconds] [SERIAL] [ARGUMENTS ...] [ENVIRONMENT ...])
function(mi_test set name library)
  cmake_parse_arguments(arg "SERIAL" "TIMEOUT" "LABELS;ENVIRONMENT;ARGUMENTS" ${ARGN})
  set(serial "")
  if(arg_SERIAL)
    set(serial SERIAL)
  endif()
  mi_program(${set}-${name} ${library} ${arg_UNPARSED_ARGUMENTS})
  mi_ctest(${set} ${name} ${serial} TIMEOUT ${arg_TIMEOUT} LABELS ${arg_LABELS} ENVIRONMENT ${arg_ENVIRONMENT}
    COMMAND ${set}-${name} ${arg_ARGUMENTS})
endfunction()

# The library a test program uses when its folder says nothing: the double where the source includes it.
function(mi_library_for result set source)
  file(STRINGS ${source} uses_double REGEX "#include \"double/" LIMIT_COUNT 1)
  if(set STREQUAL "interleave")
    set(library mimalloc-seam)
  elseif(uses_double OR set STREQUAL "fault")
    set(library mimalloc-double)
  elseif(set STREQUAL "unit" OR MI_SANITIZE OR NOT MI_BUILD_SHARED)
    set(library mimalloc-check)
  else()
    set(library mimalloc)
  endif()
  set(${result} ${library} PARENT_SCOPE)
endfunction()

function(mi_default_tests set folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.c)
  if(CMAKE_CXX_COMPILER)
    file(GLOB_RECURSE cxx_sources CONFIGURE_DEPENDS ${folder}/*.cc)
    list(APPEND sources ${cxx_sources})
  endif()
  set(programs "")
  set(support "")
  foreach(source ${sources})
    file(STRINGS ${source} main_line REGEX "^int main *\\(" LIMIT_COUNT 1)
    if(main_line)
      list(APPEND programs ${source})
    else()
      list(APPEND support ${source})
    endif()
  endforeach()
  foreach(source ${programs})
    file(RELATIVE_PATH name ${folder} ${source})
    string(REGEX REPLACE "\\.cc?$" "" name ${name})
    string(REGEX REPLACE "(^|/)test_" "\\1" name ${name})
    string(REPLACE "/" "-" name ${name})
    mi_library_for(library ${set} ${source})
    mi_test(${set} ${name} ${library} ${source} ${support})
  endforeach()
endfunction()

if(MI_TEST_SETS STREQUAL "all")
  set(MI_TEST_SETS structure fastpath build unit api interleave fault fuzz limits misuse stress programs examples bench
    install port doc)
endif()
foreach(set ${MI_TEST_SETS})
  set(folder ${PROJECT_SOURCE_DIR}/test/${set})
  if(set MATCHES "^(bench|examples)$")
    set(folder ${PROJECT_SOURCE_DIR}/${set})
  endif()
  if(EXISTS ${folder}/CMakeLists.txt)
    add_subdirectory(${folder} ${CMAKE_CURRENT_BINARY_DIR}/test/${set})
  else()
    mi_default_tests(${set} ${folder})
  endif()
endforeach()

include(cmake/structure.cmake)
