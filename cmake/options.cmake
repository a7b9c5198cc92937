# SPDX-License-Identifier: MIT
# The build's options (doc/building.md says what each does), the names that mimalloc has for them, and a word about
# those that mean nothing here.

if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(debug_default ON)
else()
  set(debug_default OFF)
endif()

# What is built
option(MI_OVERRIDE "Replace malloc, free, new, delete and their kin" ON)
option(MI_BUILD_SHARED "Build the shared library" ON)
option(MI_BUILD_STATIC "Build the static library" ON)
option(MI_BUILD_OBJECT "Build the library as one object file" ON)
option(MI_BUILD_TESTS "Build the tests" ${top_level})
option(MI_INSTALL_TOPLEVEL "Install into lib and include; OFF: into folders there with the version in their name" ON)

# What it does
option(MI_XMALLOC "Abort with a message when memory runs out or a size is too large" OFF)
option(MI_SHOW_ERRORS "Print messages about failed requests unless MIMALLOC_SHOW_ERRORS says otherwise" OFF)
option(MI_NO_THP "Use no transparent huge pages unless MIMALLOC_ALLOW_THP says otherwise" OFF)
option(MI_FREE_CHECKS "Detect double and invalid frees on the fast path" ON)
set(MI_SECURE OFF CACHE STRING "Sealed blocks, encoded links, mixed order (ON); and all that is freed is wiped (FULL)")
option(MI_SECURE_FULL "The same as MI_SECURE=FULL" OFF)
option(MI_LOCAL_DYNAMIC_TLS "Need no static thread-local storage: slower, for late dlopen" OFF)

# Finding errors
option(MI_DEBUG "Check the invariants at every slow step" OFF)
option(MI_DEBUG_INTERNAL "... and at every 64th step of a fast path (on in Debug builds)" ${debug_default})
option(MI_DEBUG_FULL "... at every step: very slow" OFF)
option(MI_NO_DEBUG "Check nothing, in Debug builds either" OFF)
option(MI_TRACK_VALGRIND "Let valgrind's memcheck judge the program's use of blocks: slower" OFF)
option(MI_TRACK_ASAN "Let AddressSanitizer judge the program's use of mi_malloc's blocks: slower" OFF)
set(MI_SANITIZE "" CACHE STRING "Sanitizers for library and tests, e.g. address,undefined or thread")
option(MI_DEBUG_TSAN "The same as MI_SANITIZE=thread" OFF)
option(MI_DEBUG_UBSAN "The same as MI_SANITIZE=undefined" OFF)

# How it is compiled
option(MI_OPT_ARCH "Use instructions that older processors lack (x86-64: Haswell's, ARM: 8.1's)" OFF)
option(MI_NO_OPT_ARCH "Never do so" OFF)
option(MI_SEE_ASM "Keep the assembly of each file beside its object file" OFF)
option(MI_USE_LIBATOMIC "Link with libatomic" OFF)
set(MI_EXTRA_CPPDEFS "" CACHE STRING "Further definitions for the library's sources, e.g. A=1;B=2")
option(MI_WERROR "Treat warnings as errors (for our own continuous integration)" OFF)

# Tests
set(MI_TEST_SETS "all" CACHE STRING "Folders of test/ to build (all, or a list)")
set(MI_TEST_PREFIX "" CACHE STRING "Put before the name of every test, e.g. clang-debug/")
set(MI_RUNTIME_ENVIRONMENT "" CACHE STRING "Environment of every test, NAME=value;NAME=value")

# ---- other names ----

if(DEFINED MI_FREE_IS_CHECKED)
  set(MI_FREE_CHECKS ${MI_FREE_IS_CHECKED})
endif()
if(MI_CHECK_FULL)
  message(DEPRECATION "MI_CHECK_FULL is called MI_DEBUG_FULL")
  set(MI_DEBUG_FULL ON)
endif()
foreach(pair "TSAN thread" "UBSAN undefined")
  separate_arguments(pair UNIX_COMMAND ${pair})
  list(GET pair 0 name)
  list(GET pair 1 sanitizer)
  if(MI_DEBUG_${name} AND NOT MI_SANITIZE MATCHES ${sanitizer})
    string(JOIN "," MI_SANITIZE ${MI_SANITIZE} ${sanitizer})
  endif()
endforeach()

# ---- what asks for something that is not there ----

if(MI_GUARDED)
  message(FATAL_ERROR "MI_GUARDED: there is no such build of this library yet; see MI_SECURE in doc/building.md.")
endif()
if(MI_PADDING)
  message(FATAL_ERROR "MI_PADDING: it is a part of MI_SECURE; see doc/building.md.")
endif()

# mi_without_effect(reason name...): say so when the user sets one of them
function(mi_without_effect reason)
  foreach(name ${ARGN})
    if(${name})
      message(WARNING "${name} has no effect: ${reason}")
    endif()
  endforeach()
endfunction()
set(elsewhere MI_WIN_REDIRECT MI_WIN_DIRECT_TLS MI_WIN_INIT_USE_RAW_DLLMAIN MI_WIN_INIT_USE_TLS_DLLMAIN MI_WIN_USE_FLS
  MI_WIN_USE_FIXED_TLS MI_OSX_INTERPOSE MI_OSX_ZONE MI_TRACK_ETW MI_TLS_MODEL_PTHREADS MI_TLS_MODEL_FIXED
  MI_TLS_RECURSE_GUARD)
set(always MI_TLS_MODEL_LOCAL MI_SKIP_COLLECT_ON_EXIT MI_NO_USE_CXX MI_NO_PADDING)
mi_without_effect("it is for other systems than ${CMAKE_SYSTEM_NAME}." ${elsewhere})
mi_without_effect("the sources are C, and operator new calls the new_handler and throws all the same." MI_USE_CXX)
mi_without_effect("sets of slices are 64-bit words, there is no loop for SIMD." MI_OPT_SIMD)
foreach(name ${always})
  if(${name})
    message(STATUS "${name}: it is always so")
  endif()
endforeach()
if(MI_LIBC_MUSL)
  include(CheckCSourceCompiles)
  check_c_source_compiles("#include <features.h>\n#ifdef __GLIBC__\n#error\n#endif\nint main(void) { return 0; }"
    MI_COMPILES_FOR_MUSL)
  if(NOT MI_COMPILES_FOR_MUSL)
    mi_without_effect("${CMAKE_C_COMPILER} compiles for glibc; say CC=musl-gcc." MI_LIBC_MUSL)
  endif()
endif()

# Whoever misspells an option should hear of it: what nobody has declared has no type in the cache.
set(known ${elsewhere} ${always} MI_GUARDED MI_PADDING MI_USE_CXX MI_OPT_SIMD MI_LIBC_MUSL
  MI_FREE_IS_CHECKED MI_CHECK_FULL)
get_cmake_property(cached CACHE_VARIABLES)
list(FILTER cached INCLUDE REGEX "^MI_")
list(REMOVE_ITEM cached ${known})
foreach(name ${cached})
  get_property(type CACHE ${name} PROPERTY TYPE)
  if(type STREQUAL "UNINITIALIZED")
    message(WARNING "${name}: there is no such option, it is ignored (they are listed in doc/building.md)")
  endif()
endforeach()

# ---- what follows from them ----

if(MI_NO_DEBUG)
  set(MI_DEBUG_LEVEL 0)
elseif(MI_DEBUG_FULL)
  set(MI_DEBUG_LEVEL 3)
elseif(MI_DEBUG_INTERNAL)
  set(MI_DEBUG_LEVEL 2)
elseif(MI_DEBUG)
  set(MI_DEBUG_LEVEL 1)
else()
  set(MI_DEBUG_LEVEL 0)
endif()

string(TOUPPER "${MI_SECURE}" secure)
if(NOT secure MATCHES "^(|OFF|NO|FALSE|0|ON|YES|TRUE|1|FULL|2)$")
  message(FATAL_ERROR "MI_SECURE=${MI_SECURE}: it is OFF, ON or FULL; see doc/building.md.")
endif()
if(MI_SECURE_FULL OR secure MATCHES "^(FULL|2)$")
  set(MI_SECURE_LEVEL 2)
elseif(MI_SECURE)
  set(MI_SECURE_LEVEL 1)
else()
  set(MI_SECURE_LEVEL 0)
endif()

# The library's name tells what it was built for.
set(MI_LIBRARY_NAME mimalloc)
if(MI_SECURE_LEVEL EQUAL 1)
  string(APPEND MI_LIBRARY_NAME -secure)
elseif(MI_SECURE_LEVEL EQUAL 2)
  string(APPEND MI_LIBRARY_NAME -secure-full)
endif()
if(MI_SECURE_LEVEL AND (MI_TRACK_VALGRIND OR MI_TRACK_ASAN))
  message(FATAL_ERROR "MI_SECURE and MI_TRACK_...: choose one, each needs the block's end for itself")
endif()
set(MI_PROGRAM_OPTIONS "") # what programs must be compiled and linked with
if(MI_TRACK_VALGRIND)
  include(CheckIncludeFile)
  check_include_file(valgrind/memcheck.h MI_HAVE_MEMCHECK)
  if(NOT MI_HAVE_MEMCHECK)
    message(FATAL_ERROR "MI_TRACK_VALGRIND needs valgrind/memcheck.h (Debian: valgrind)")
  endif()
  string(APPEND MI_LIBRARY_NAME -valgrind)
endif()
if(MI_TRACK_ASAN)
  if(MI_TRACK_VALGRIND)
    message(FATAL_ERROR "MI_TRACK_VALGRIND and MI_TRACK_ASAN: choose one, valgrind cannot run a sanitizer's program")
  endif()
  if(MI_OVERRIDE)
    message(STATUS "MI_TRACK_ASAN: malloc stays the sanitizer's, so MI_OVERRIDE is OFF")
    set(MI_OVERRIDE OFF)
  endif()
  string(APPEND MI_LIBRARY_NAME -asan)
  set(MI_PROGRAM_OPTIONS -fsanitize=address)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  string(APPEND MI_LIBRARY_NAME -debug)
endif()

# mi_switches(result name...): definitions NAME=0 or 1 for the sources
function(mi_switches result)
  foreach(name ${ARGN})
    if(${name})
      list(APPEND definitions ${name}=1)
    else()
      list(APPEND definitions ${name}=0)
    endif()
  endforeach()
  set(${result} ${definitions} PARENT_SCOPE)
endfunction()
mi_switches(MI_SWITCHES MI_XMALLOC MI_SHOW_ERRORS MI_NO_THP MI_FREE_CHECKS MI_LOCAL_DYNAMIC_TLS
  MI_TRACK_VALGRIND MI_TRACK_ASAN)
list(APPEND MI_SWITCHES MI_SECURE=${MI_SECURE_LEVEL})
