# SPDX-License-Identifier: MIT
# The library: one set of objects, from it the shared library, the static one and the single object file.

file(GLOB_RECURSE MI_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*.c)
if(NOT MI_SOURCES)
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/empty.c "typedef int nothing_yet_t;\n")
  set(MI_SOURCES ${CMAKE_CURRENT_BINARY_DIR}/empty.c)
endif()
set(MI_PLAIN_SOURCES ${MI_SOURCES})
list(FILTER MI_SOURCES EXCLUDE REGEX "/src/override/dlopen\\.c$") # the shared library's only
list(FILTER MI_PLAIN_SOURCES EXCLUDE REGEX "/src/override/")
if(NOT MI_OVERRIDE)
  set(MI_SOURCES ${MI_PLAIN_SOURCES})
endif()

# operator new throws through C frames.
foreach(source ${MI_SOURCES})
  if(source MATCHES "/src/(alloc/new|override/operators)\\.c$")
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS -fexceptions)
  endif()
endforeach()

# mi_compile(target [definitions]): the flags and definitions shared by every variant.
function(mi_compile target)
  target_link_libraries(${target} PUBLIC mimalloc-flags)
  if(NOT "${ARGN}" MATCHES MI_ATOMIC_SEAM)
    list(APPEND ARGN MI_ATOMIC_SEAM=0)
  endif()
  target_compile_definitions(${target} PUBLIC ${MI_SWITCHES} ${ARGN})
  target_compile_definitions(${target} PRIVATE ${MI_EXTRA_CPPDEFS})
  target_compile_options(${target} PRIVATE ${MI_OWN_FLAGS})
  set_target_properties(${target} PROPERTIES C_EXTENSIONS ON POSITION_INDEPENDENT_CODE ON)
endfunction()

# mi_usage(target options): what the target brings to those who link it.  The options keep the library in a program
# that calls nothing of it by name: its malloc is meant for the whole program, whatever --as-needed says.
function(mi_usage target options)
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${MI_INSTALL_INCLUDEDIR}>)
  target_compile_options(${target} INTERFACE ${MI_PROGRAM_OPTIONS})
  target_link_options(${target} INTERFACE ${MI_PROGRAM_OPTIONS})
  if(MI_OVERRIDE AND options)
    target_link_options(${target} INTERFACE "${options}")
  endif()
endfunction()

add_library(mimalloc-parts OBJECT ${MI_SOURCES})
mi_compile(mimalloc-parts MI_DEBUG=${MI_DEBUG_LEVEL})

if(MI_BUILD_SHARED)
  # nodelete: threads keep their heaps, and atexit their frees, after a dlclose.
  add_library(mimalloc SHARED $<TARGET_OBJECTS:mimalloc-parts>)
  set_target_properties(mimalloc PROPERTIES VERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
    SOVERSION ${PROJECT_VERSION_MAJOR} OUTPUT_NAME ${MI_LIBRARY_NAME} LINKER_LANGUAGE C)
  if(MI_OVERRIDE AND NOT MI_SANITIZE)
    add_library(mimalloc-dlopen OBJECT ${PROJECT_SOURCE_DIR}/src/override/dlopen.c)
    mi_compile(mimalloc-dlopen MI_DEBUG=${MI_DEBUG_LEVEL})
    target_sources(mimalloc PRIVATE $<TARGET_OBJECTS:mimalloc-dlopen>)
  endif()
  target_link_options(mimalloc PRIVATE -Wl,-z,nodelete -Wl,-z,now -Wl,-z,relro
    -Wl,-Bsymbolic-functions)
  target_link_libraries(mimalloc PRIVATE ${MI_LIBRARIES})
  mi_usage(mimalloc "-Wl,--push-state,--no-as-needed,$<TARGET_FILE:mimalloc>,--pop-state")
endif()

# All objects as one whose internal names are local: no name of ours can clash with one of the user's, and
# linking it brings the whole replacement of malloc or nothing.
if(MI_BUILD_STATIC OR MI_BUILD_OBJECT)
  set(object_file ${CMAKE_CURRENT_BINARY_DIR}/${MI_LIBRARY_NAME}.o)
  add_custom_command(OUTPUT ${object_file}
    COMMAND ${MI_JOIN} -o ${object_file}.joined $<TARGET_OBJECTS:mimalloc-parts>
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${object_file}.joined ${object_file}
    DEPENDS mimalloc-parts $<TARGET_OBJECTS:mimalloc-parts>
    COMMAND_EXPAND_LISTS VERBATIM COMMENT "Joining the objects into ${MI_LIBRARY_NAME}.o")
  set_source_files_properties(${object_file} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  add_custom_target(mimalloc-object ALL DEPENDS ${object_file})
endif()
if(MI_BUILD_STATIC)
  add_library(mimalloc-static STATIC ${object_file})
  add_dependencies(mimalloc-static mimalloc-object)
  set_target_properties(mimalloc-static PROPERTIES OUTPUT_NAME ${MI_LIBRARY_NAME} LINKER_LANGUAGE C)
  target_link_libraries(mimalloc-static INTERFACE ${MI_LIBRARIES})
  mi_usage(mimalloc-static "-Wl,--undefined=mi_version")
endif()
if(MI_BUILD_OBJECT)
  add_library(mimalloc-obj OBJECT IMPORTED GLOBAL)
  set_target_properties(mimalloc-obj PROPERTIES IMPORTED_OBJECTS ${object_file})
  add_dependencies(mimalloc-obj mimalloc-object)
  target_link_libraries(mimalloc-obj INTERFACE ${MI_LIBRARIES})
  mi_usage(mimalloc-obj "")
endif()
