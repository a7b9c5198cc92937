/* SPDX-License-Identifier: MIT */
/* Foreign pointers in a process whose malloc we replace: blocks made by the allocator behind us (before we
   were loaded, or by a library bound to it) are its to free.  A pointer can only be one when it points into
   anonymous memory; stacks, static data and unmapped addresses are misuse and reported as such. The
   functions of the next allocator are looked up once, when the library is loaded; a look-up that comes
   earlier is done then.  A static program has no next allocator. */
#include "alloc/foreign.h"

#include <dlfcn.h>
#include <errno.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "os/process.h"

#pragma weak dlsym /* absent from static programs */

enum { NEXT_FREE, NEXT_REALLOC, NEXT_USABLE_SIZE, NEXT_COUNT };

static const char* const next_names[NEXT_COUNT] = {"free", "realloc", "malloc_usable_size"};
static atomic_word_t next_functions[NEXT_COUNT]; /* atomic: 0 not looked up, NEXT_MISSING, or the address */

#define NEXT_MISSING ((uintptr_t)1)

static void* next_function(unsigned which) {
  uintptr_t function = load_relaxed(&next_functions[which]);
  if (function == 0) {
    KEEP_ERRNO;
    if (dlsym != NULL) function = (uintptr_t)dlsym(RTLD_NEXT, next_names[which]);
    if (function == 0) function = NEXT_MISSING;
    store_relaxed(&next_functions[which], function);
  }
  return function == NEXT_MISSING ? NULL : (void*)function;
}

static __attribute__((constructor)) void look_up_next(void) {
  for (unsigned i = 0; i < NEXT_COUNT; i++) next_function(i);
}

/* The mapping that held the last forwarded block, in one word: first page << 24 | pages.  A program that
   hands over many foreign blocks pays for reading the list of mappings once in a while only. */
static atomic_u64_t last_region;

enum { REGION_PAGE_SHIFT = 12, REGION_COUNT_BITS = 24 };

static void remember_region(const os_region_t* region) {
  const uint64_t pages = (region->end - region->start) >> REGION_PAGE_SHIFT;
  const uint64_t first = region->start >> REGION_PAGE_SHIFT;
  if (pages >> REGION_COUNT_BITS == 0 && first >> (64 - REGION_COUNT_BITS) == 0) {
    store_relaxed(&last_region, first << REGION_COUNT_BITS | pages);
  }
}

static bool in_last_region(const void* p) {
  const uint64_t word = load_relaxed(&last_region);
  const uint64_t pages = word & ((UINT64_C(1) << REGION_COUNT_BITS) - 1);
  return ((uintptr_t)p >> REGION_PAGE_SHIFT) - (word >> REGION_COUNT_BITS) < pages;
}

/* NULL when p may be a block of another allocator, else what it is. */
static const char* why_not_a_block(const void* p) {
  if ((uintptr_t)p % sizeof(void*) != 0) return "a misaligned address";
  if (in_last_region(p)) return NULL;
  static const char* const places[] = {NULL, "an address without memory", "an address on the stack",
                                       "an address of static data or code", NULL}; /* as os_place_t */
  const os_region_t region = os_region_of(p);
  if (region.place == OS_PLACE_HEAP) remember_region(&region);
  return places[region.place];
}

/* The next allocator's function for block p, or NULL when there is none or p is no block (then reported). */
static void* next_for(unsigned which, const char* verb, const void* p) {
  const char* reason = why_not_a_block(p);
  void* const function = reason == NULL ? next_function(which) : NULL;
  if (function == NULL) foreign_report(verb, p, reason != NULL ? reason : "memory from elsewhere");
  return function;
}

static void forward_free(void* p) {
  void (*const next)(void*) = (void (*)(void*))next_for(NEXT_FREE, "free", p);
  if (next != NULL) next(p);
}

static void* forward_realloc(void* p, size_t size) {
  void* (*const next)(void*, size_t) = (void* (*)(void*, size_t))next_for(NEXT_REALLOC, "realloc", p);
  if (next != NULL) return next(p, size != 0 ? size : 1); /* a block of no bytes, not the end of p */
  errno = ENOMEM;
  return NULL;
}

static size_t forward_usable_size(const void* p) {
  size_t (*const next)(const void*) =
      (size_t(*)(const void*))next_for(NEXT_USABLE_SIZE, "malloc_usable_size", p);
  return next != NULL ? next(p) : 0;
}

const foreign_t foreign = {forward_free, forward_realloc, forward_usable_size};
