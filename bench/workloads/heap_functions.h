/* SPDX-License-Identifier: MIT */
/* First-class heaps of whichever mimalloc serves the process: looked up by name, so that the same program
   runs on every one of them, preloaded or linked. */
#ifndef HEAP_FUNCTIONS_H
#define HEAP_FUNCTIONS_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

#include "workload.h"

/* The first fields of an area, which all versions have. */
typedef struct area_s {
  void* blocks;
  size_t reserved, committed, used, block_size;
} area_t;

typedef bool visitor_t(const void* heap, const area_t* area, void* block, size_t size, void* arg);

typedef struct heap_functions_s {
  void* (*create)(void);
  void* (*allocate)(void* heap, size_t size);
  void (*destroy)(void* heap);
  bool (*visit)(const void* heap, bool blocks, visitor_t* visitor, void* arg);
} heap_functions_t;

static inline void* function_called(const char* name) {
  void* const function = dlsym(NULL, name); /* NULL: in the whole program */
  if (function == NULL) workload_fail("the allocator has no heaps");
  return function;
}

static inline heap_functions_t find_heap_functions(void) {
  heap_functions_t heaps;
  *(void**)&heaps.create = function_called("mi_heap_new");
  *(void**)&heaps.allocate = function_called("mi_heap_malloc");
  *(void**)&heaps.destroy = function_called("mi_heap_destroy");
  *(void**)&heaps.visit = function_called("mi_heap_visit_blocks");
  return heaps;
}

static inline void* stamped_in_heap(const heap_functions_t* heaps, void* heap, size_t size) {
  void* const block = heaps->allocate(heap, size);
  if (block == NULL) workload_fail("out of memory");
  stamp(block, size);
  return block;
}

#endif
