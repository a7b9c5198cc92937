/* SPDX-License-Identifier: MIT */
/* Every function of the interface that makes or resizes a block, behind one signature, with what
   distinguishes it from the others. */
#ifndef TEST_FUZZ_CALLS_H
#define TEST_FUZZ_CALLS_H

#include <mimalloc.h>

enum {
  HAS_COUNT = 1,     /* count * size bytes */
  HAS_ALIGNMENT = 2, /* 0 and what is no power of two: EINVAL */
  HAS_OFFSET = 4,
  IN_HEAP = 8,
  ZEROES = 16,
  RESIZES = 32,
  IN_PLACE = 64,      /* never moves */
  KEEPS_ERRNO = 128,  /* when it fails */
  FREES_FAILED = 256, /* the old block, when it fails */
  TELLS_OVERFLOW = 512,
  WORD_ALIGNMENT = 1024, /* the alignment must be a multiple of a pointer's size */
  OS_PAGE = 2048,        /* aligned to the OS page */
  OS_PAGES = 4096,       /* whole OS pages */
  NEVER_NULL = 8192      /* it throws: to be called only when it can succeed */
};

typedef struct call_s {
  void* p; /* to be resized */
  mi_heap_t* heap;
  size_t count, size, alignment, offset;
} call_t;

typedef struct function_s {
  const char* name;
  void* (*run)(const call_t*);
  unsigned traits;
} function_t;

/* errno before each call. */
enum { ERRNO_MARK = 77 };

extern const function_t functions[];
extern const size_t function_count;

#endif
