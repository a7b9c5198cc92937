/* SPDX-License-Identifier: MIT */
/* Allocation entries that also tell how large the block is. */
#include "alloc/fast.h"

static void* with_size(void* p, size_t* block_size) {
  if (block_size != NULL) *block_size = mi_usable_size(p);
  return p;
}

EXPORT void* mi_umalloc(size_t size, size_t* block_size) { return with_size(malloc_fast(size), block_size); }

EXPORT void* mi_umalloc_small(size_t size, size_t* block_size) {
  return with_size(malloc_fast(size), block_size);
}

EXPORT void* mi_uzalloc_small(size_t size, size_t* block_size) {
  return with_size(zalloc_fast(size), block_size);
}

EXPORT void* mi_ucalloc(size_t count, size_t size, size_t* block_size) {
  return with_size(mi_calloc(count, size), block_size);
}

EXPORT void* mi_umalloc_aligned(size_t size, size_t alignment, size_t* block_size) {
  return with_size(mi_malloc_aligned(size, alignment), block_size);
}

EXPORT void* mi_uzalloc_aligned(size_t size, size_t alignment, size_t* block_size) {
  return with_size(mi_zalloc_aligned(size, alignment), block_size);
}

EXPORT void* mi_urealloc(void* p, size_t newsize, size_t* block_size_pre, size_t* block_size_post) {
  if (block_size_pre != NULL) *block_size_pre = mi_usable_size(p);
  void* const q = mi_realloc(p, newsize);
  if (block_size_post != NULL) *block_size_post = mi_usable_size(q);
  return q;
}
