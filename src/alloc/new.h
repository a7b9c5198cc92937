/* SPDX-License-Identifier: MIT */
/* What operator new does when the first try has failed: the program's new_handler, again and again, then
   std::bad_alloc.  The C++ runtime is reached by weak references, so programs in C need none. */
#pragma once

#include "alloc/fast.h"

/* request has failed once.  new_retry throws rather than return NULL; new_retry_nothrow returns NULL also
   when the handler throws. */
COLD void* new_retry(request_t request);
COLD void* new_retry_nothrow(request_t request);

/* The tail of new_fast, whole: allocation, then new_retry. */
NOINLINE void* new_slow(size_t size);

/* malloc_fast with the tail of operator new, so that this path too needs no stack frame. */
ALWAYS_INLINE void* new_fast(size_t size, block_kind_t kind) {
  if (likely(is_small(size))) {
    block_t* const block = take_small(small_page(size), size, kind);
    if (likely(block != NULL)) return block;
  }
  return SECURE_FULL ? block_of_kind(new_slow(size), kind) : new_slow(size);
}

/* Call function; NULL, or the exception object that it threw, which is caught (alloc/catch.c). */
void* call_catching(void (*function)(void));
