/* SPDX-License-Identifier: MIT */
/* Changing the size of a block: in place where that wastes less than half and is possible, else by moving. */
#include <errno.h>

#include "alloc/fast.h"
#include "alloc/foreign.h"
#include "core/options.h"

static bool is_aligned_as(const void* p, const request_t* request) {
  return request->alignment <= 1 || ((uintptr_t)p + request->offset) % request->alignment == 0;
}

/* Big blocks give their tail back, or take the free slices behind them. */
static bool resize_single(page_t* page, const request_t* request) {
  if (page->slices != 0 || request->size <= MEDIUM_BLOCK_MAX) return false;
  char* const start = page_start(page) + page->stride;
  const size_t old = block_usable_size(page, start);
  seal_t seal = {0};
  if (SECURE) seal_read(page, start, &seal);
  thread_t* const self = thread_enter();
  if (self == NULL) return false;
  const bool resized = single_resize(page, request->size + SEAL_SIZE);
  thread_leave(self);
  if (!resized) return false;
  if (request->memory == MEMORY_ZERO) { /* what was added, or the unused end of the last page */
    const size_t from = min_size(old, request->size);
    memset(start + from, 0, (size_t)page->single_size - from);
  }
  seal.size = request->size;
  seal.alignment_shift = alignment_shift(request);
  if (SECURE) seal_change(page, start, seal);
  return true;
}

static bool reseal(page_t* page, void* p, const request_t* request) {
  seal_t seal = {0};
  seal_read(page, p, &seal);
  const size_t before = seal.size;
  seal.size = request->size;
  seal.alignment_shift = alignment_shift(request);
  seal_change(page, p, seal);
  if (request->memory == MEMORY_ZERO && seal.size > before) memset((char*)p + before, 0, seal.size - before);
  return true;
}

static bool resize_in_place(void* p, page_t* page, const request_t* request) {
  const size_t usable = SECURE ? page_usable_size(page) - SEAL_SIZE : block_usable_size(page, p);
  if (TRACKED || request->size == 0 || !is_aligned_as(p, request)) return false;
  if (request->size <= usable && request->size >= usable / 2 && (!SECURE || page->slices != 0)) {
    if (SECURE) return reseal(page, p, request);
    /* Zeroing reallocs rely on zeros behind the requested size. */
    if (request->memory == MEMORY_ZERO) memset((char*)p + request->size, 0, usable - request->size);
    return true;
  }
  return resize_single(page, request);
}

/* Big blocks change their place in the page tables. */
static bool move_pages(void* p, void* q) {
  page_t* const from = page_of(p);
  page_t* const to = page_of(q);
  return from->slices == 0 && to->slices == 0 && single_move(from, to);
}

static bool is_plain(const request_t* request) {
  return request->alignment <= 1 && request->heap == NULL && request->memory == MEMORY_UNKNOWN &&
         !request->grows;
}

static void* move_block(void* p, size_t usable, request_t request) {
  const size_t keep = min_size(usable, request.size);
  const zeroed_t wanted = request.memory;
  request.memory = MEMORY_UNKNOWN;
  request.grows = request.size > MEDIUM_BLOCK_MAX / 2 && is_hardened(2);
  char* const q = is_plain(&request) ? malloc_fast(request.size) : alloc_generic(request);
  if (q == NULL) return NULL;
  if (WATCHED || keep <= MEDIUM_BLOCK_MAX || !move_pages(p, q)) memcpy(q, p, keep);
  if (wanted == MEMORY_ZERO) memset(q + keep, 0, mi_usable_size(q) - keep);
  free_fast(p);
  return q;
}

void* resize(void* p, request_t request) {
  if (p == NULL) return is_plain(&request) ? malloc_fast(request.size) : alloc_generic(request);
  if (unlikely(request.size > ALLOC_SIZE_MAX)) return alloc_overflow("realloc", 1, request.size);
  if (SECURE && zone_holds(p)) return zone_is_live("realloc", p) ? move_block(p, 0, request) : NULL;
  page_t* page = live_page(p);
  switch (page != NULL ? BLOCK_OURS : block_lookup(p, "realloc", &page)) {
    case BLOCK_OURS: break;
    case BLOCK_FOREIGN: return foreign.realloc(p, request.size);
    default: errno = ENOMEM; return NULL;
  }
  if (request.heap != NULL && request.heap != (heap_t*)load_relaxed(&page->heap)) {
    return move_block(p, block_usable_size(page, p), request);
  }
  if (resize_in_place(p, page, &request)) return p;
  return move_block(p, block_usable_size(page, p), request);
}

/* ---- entries ---- */

EXPORT void* mi_realloc(void* p, size_t newsize) {
  if (likely(fits_fast(p, newsize))) return p;
  return resize(p, (request_t){.size = newsize});
}

EXPORT void* mi_reallocn(void* p, size_t count, size_t size) { return mi_realloc(p, product(count, size)); }

EXPORT void* mi_reallocf(void* p, size_t newsize) {
  void* const q = resize(p, (request_t){.size = newsize});
  if (q == NULL) mi_free(p);
  return q;
}

EXPORT void* mi_rezalloc(void* p, size_t newsize) {
  return resize(p, (request_t){.size = newsize, .memory = MEMORY_ZERO});
}

EXPORT void* mi_recalloc(void* p, size_t newcount, size_t size) {
  return mi_rezalloc(p, product(newcount, size));
}

EXPORT void* mi_expand(void* p, size_t newsize) {
  page_t* page;
  if (p == NULL || block_lookup(p, "expand", &page) != BLOCK_OURS) return NULL;
  return newsize <= block_usable_size(page, p) ? p : NULL;
}
