# SPDX-License-Identifier: MIT
# How the library's sources are compiled: one interface target that every variant of the library uses.

find_package(Threads REQUIRED)
set(MI_LIBRARIES Threads::Threads)
if(MI_USE_LIBATOMIC)
  list(APPEND MI_LIBRARIES atomic)
endif()

set(MI_WARNINGS -Wall -Wextra -Wundef -Wshadow -Wconversion)
if(MI_WERROR)
  list(APPEND MI_WARNINGS -Werror)
endif()

# No compiler may turn our malloc into a call of itself, or remove a pair of malloc and free.
set(MI_NO_BUILTINS "")
foreach(name malloc calloc realloc free aligned_alloc posix_memalign memalign
             valloc pvalloc reallocarray strdup strndup)
  list(APPEND MI_NO_BUILTINS -fno-builtin-${name})
endforeach()

set(tls_model initial-exec)
if(MI_LOCAL_DYNAMIC_TLS)
  set(tls_model local-dynamic)
endif()

# For the library's own objects only
set(MI_OWN_FLAGS "")
if(MI_OPT_ARCH AND NOT MI_NO_OPT_ARCH)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    list(APPEND MI_OWN_FLAGS -march=haswell)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    list(APPEND MI_OWN_FLAGS -march=armv8.1-a)
  endif()
endif()
if(MI_SEE_ASM)
  list(APPEND MI_OWN_FLAGS -save-temps=obj)
endif()

add_library(mimalloc-flags INTERFACE)
target_compile_features(mimalloc-flags INTERFACE c_std_11)
target_compile_options(mimalloc-flags INTERFACE
  $<$<COMPILE_LANGUAGE:C>:-std=gnu11> $<$<COMPILE_LANGUAGE:C>:-D_GNU_SOURCE=>
  $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
  -fvisibility=hidden -ftls-model=${tls_model} -fno-plt -fno-strict-aliasing
  -fno-semantic-interposition ${MI_NO_BUILTINS} ${MI_WARNINGS})
target_include_directories(mimalloc-flags INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(mimalloc-flags INTERFACE ${MI_LIBRARIES})

# How objects are joined into one.  With -flto they hold intermediate code, which only the compiler can translate.
set(MI_JOIN ${CMAKE_LINKER} -r)
string(TOUPPER "CMAKE_C_FLAGS_${CMAKE_BUILD_TYPE}" flags_of_type)
set(given_flags "${CMAKE_C_FLAGS} ${${flags_of_type}}")
if(CMAKE_INTERPROCEDURAL_OPTIMIZATION)
  string(APPEND given_flags " -flto")
endif()
if(given_flags MATCHES "-flto")
  separate_arguments(MI_JOIN UNIX_COMMAND "${given_flags}")
  list(PREPEND MI_JOIN ${CMAKE_C_COMPILER})
  list(APPEND MI_JOIN -fPIC -r -nostdlib)
  if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    list(APPEND MI_JOIN -fuse-ld=lld)
  else()
    list(APPEND MI_JOIN -flinker-output=nolto-rel)
  endif()
endif()

if(MI_SANITIZE)
  add_compile_options(-fsanitize=${MI_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g)
  add_link_options(-fsanitize=${MI_SANITIZE})
  add_compile_definitions(UNDER_SANITIZER) # for tests: resident memory and address space are the sanitizer's too
  if(MI_SANITIZE MATCHES "thread")
    # By default a child of a threaded process may start no thread.
    set(MI_SANITIZE_ENVIRONMENT TSAN_OPTIONS=die_after_fork=0)
  endif()
endif()
