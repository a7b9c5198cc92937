/* SPDX-License-Identifier: MIT */
/* Telling a memory checker which bytes the program may use: valgrind's memcheck (MI_TRACK_VALGRIND) or
   AddressSanitizer (MI_TRACK_ASAN).  Without either, nothing of this is left.

   In such a build the fast paths never find anything on hand, so that every block is handed out by
   alloc_generic and taken back by free_slow: one place for each event.  A block is BLOCK_TAIL longer than
   asked for.  The tail holds the size that was asked for, and is a zone that the program must not touch.

   The library itself reads and writes what is forbidden to the program: links, marks, tails.  It is not
   instrumented for AddressSanitizer; from memcheck it hides such accesses between track_pause and
   track_resume, which are per thread. */
#pragma once

#include "base/config.h"

enum {
  TRACKED = MI_TRACK_VALGRIND || MI_TRACK_ASAN,
  WATCHED = TRACKED || SECURE, /* 1: no fast paths but those that know of seals */
  BLOCK_TAIL = TRACKED ? 16 : SEAL_SIZE, /* bytes that a block is longer than asked for */
};

#if MI_TRACK_VALGRIND
#include <valgrind/memcheck.h>

static inline void track_pause(void) { VALGRIND_DISABLE_ERROR_REPORTING; }
static inline void track_resume(void) { VALGRIND_ENABLE_ERROR_REPORTING; }
/* What the program may not have written, read by us. */
static inline uintptr_t track_known(uintptr_t value) {
  (void)VALGRIND_MAKE_MEM_DEFINED(&value, sizeof(value));
  return value;
}
#define track_root(p, size) ((void)(p), (void)(size)) /* memcheck looks into all memory for pointers */
static inline void track_forbid(void* p, size_t size) { (void)VALGRIND_MAKE_MEM_NOACCESS(p, size); }
static inline void track_alloc(void* p, size_t size, int zero) {
  VALGRIND_MALLOCLIKE_BLOCK(p, size, BLOCK_TAIL, zero);
}
static inline void track_free(void* p, size_t size) {
  (void)size; /* memcheck knows it */
  VALGRIND_FREELIKE_BLOCK(p, BLOCK_TAIL);
}
#else
#if MI_TRACK_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#define track_poison   __asan_poison_memory_region
#define track_unpoison __asan_unpoison_memory_region
#define track_root     __lsan_register_root_region
#else
#define track_poison(p, size)   ((void)(p), (void)(size))
#define track_unpoison(p, size) ((void)(p), (void)(size))
#define track_root(p, size)     ((void)(p), (void)(size))
#endif
static inline void track_pause(void) {}
static inline void track_resume(void) {}
static inline uintptr_t track_known(uintptr_t value) { return value; }
static inline void track_forbid(void* p, size_t size) { track_poison(p, size); }
static inline void track_free(void* p, size_t size) { track_poison(p, size); }
#define track_alloc(p, size, zero) ((void)(zero), track_unpoison(p, size))
#endif
