/* SPDX-License-Identifier: MIT */
/* Aligned allocation.  Small blocks are aligned by their class, everything else gets a run of slices of its
   own. */
#include "alloc/fast.h"
#include "os/os.h"

static void* alloc_aligned(size_t size, size_t alignment, size_t offset, zeroed_t memory) {
  /* The class of a multiple of the alignment is one itself.  Size 0 takes the long way. */
  const bool small = !WATCHED && ((size - 1) | alignment) < SMALL_BLOCK_MAX && offset <= ALLOC_SIZE_MAX;
  if (likely(small && is_power_of_two(alignment) && (offset & (alignment - 1)) == 0)) {
    const size_t rounded = align_up(size, alignment);
    return memory == MEMORY_ZERO ? zalloc_fast(rounded) : malloc_fast(rounded);
  }
  /* An alignment of 0 is an error here; everywhere else it means none. */
  const size_t power = alignment != 0 ? alignment : 3;
  return alloc_generic((request_t){.size = size, .alignment = power, .offset = offset, .memory = memory});
}

/* Up to a word's alignment, whatever it is, blocks have it by nature: then an alignment means none. */
void* resize_aligned(void* p, request_t request) {
  const bool is_natural = request.alignment <= sizeof(void*) && request.offset == 0;
  if (is_natural || (request.alignment <= sizeof(void*) && is_power_of_two(request.alignment) &&
                     request.offset % request.alignment == 0)) {
    request.alignment = 0;
    return resize(p, request);
  }
  if (!is_power_of_two(request.alignment)) {
    if (request.alignment == 0) request.alignment = 3;
    return alloc_generic(request); /* which refuses it */
  }
  return resize(p, request);
}

EXPORT void* mi_malloc_aligned(size_t size, size_t alignment) {
  return alloc_aligned(size, alignment, 0, MEMORY_UNKNOWN);
}

EXPORT void* mi_malloc_aligned_at(size_t size, size_t alignment, size_t offset) {
  return alloc_aligned(size, alignment, offset, MEMORY_UNKNOWN);
}

EXPORT void* mi_zalloc_aligned(size_t size, size_t alignment) {
  return alloc_aligned(size, alignment, 0, MEMORY_ZERO);
}

EXPORT void* mi_zalloc_aligned_at(size_t size, size_t alignment, size_t offset) {
  return alloc_aligned(size, alignment, offset, MEMORY_ZERO);
}

EXPORT void* mi_calloc_aligned(size_t count, size_t size, size_t alignment) {
  return mi_calloc_aligned_at(count, size, alignment, 0);
}

EXPORT void* mi_calloc_aligned_at(size_t count, size_t size, size_t alignment, size_t offset) {
  return alloc_aligned(product(count, size), alignment, offset, MEMORY_ZERO);
}

EXPORT void* mi_realloc_aligned(void* p, size_t newsize, size_t alignment) {
  return mi_realloc_aligned_at(p, newsize, alignment, 0);
}

EXPORT void* mi_realloc_aligned_at(void* p, size_t newsize, size_t alignment, size_t offset) {
  return resize_aligned(p, (request_t){.size = newsize, .alignment = alignment, .offset = offset});
}

EXPORT void* mi_rezalloc_aligned(void* p, size_t newsize, size_t alignment) {
  return mi_rezalloc_aligned_at(p, newsize, alignment, 0);
}

EXPORT void* mi_rezalloc_aligned_at(void* p, size_t newsize, size_t alignment, size_t offset) {
  return resize_aligned(
      p, (request_t){.size = newsize, .alignment = alignment, .offset = offset, .memory = MEMORY_ZERO});
}

EXPORT void* mi_recalloc_aligned(void* p, size_t newcount, size_t size, size_t alignment) {
  return mi_recalloc_aligned_at(p, newcount, size, alignment, 0);
}

EXPORT void* mi_recalloc_aligned_at(void* p, size_t newcount, size_t size, size_t alignment, size_t offset) {
  return mi_rezalloc_aligned_at(p, product(newcount, size), alignment, offset);
}

EXPORT size_t mi_good_size(size_t size) {
  if (WATCHED) return size;
  if (size <= MEDIUM_BLOCK_MAX) return bin_size(bin_of(size));
  if (size > ((size_t)1 << WINDOW_SHIFT)) return size; /* no block can be so large */
  return align_up(size, os_page_size());
}
