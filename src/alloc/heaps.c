/* SPDX-License-Identifier: MIT */
/* First-class heaps: allocation in a heap from any thread, and the end of a heap.

   delete:  state := DELETED; the caller's pages move to its part of the main heap, abandoned ones are
   forwarded; other threads move theirs when they notice (thread_settle). destroy: state := DESTROYED; every
   page of the heap is released whatever lives in it. */
#include <errno.h>

#include "alloc/fast.h"
#include "core/diagnostics.h"
#include "memory/slices.h"
#include "page/remote.h"

/* ---- allocation ---- */

/* The calling thread's ready part of the heap, or the empty part. */
static heap_part_t* ready_part(const heap_t* heap) {
  const thread_t* const self = thread_self;
  if (self == NULL || load_relaxed(&self->busy) != 0) return &part_empty;
  heap_part_t* const part = thread_find_part(self, heap);
  return part != NULL ? part : &part_empty;
}

static void* heap_alloc(mi_heap_t* h, size_t size, zeroed_t memory) {
  heap_t* const heap = heap_or_main(h);
  if (likely(is_small(size))) {
    page_t* const page = ready_part(heap)->direct[(size + SEAL_SIZE + 7) >> 3];
    block_t* const block = take_small(page, size, KIND_MALLOC);
    if (likely(block != NULL)) {
      if (memory == MEMORY_ZERO) zero_block(page, block, size);
      return block;
    }
  }
  return alloc_generic((request_t){.heap = heap, .size = size, .memory = memory});
}

EXPORT void* mi_heap_malloc(mi_heap_t* heap, size_t size) { return heap_alloc(heap, size, MEMORY_UNKNOWN); }
EXPORT void* mi_heap_zalloc(mi_heap_t* heap, size_t size) { return heap_alloc(heap, size, MEMORY_ZERO); }
EXPORT void* mi_heap_malloc_small(mi_heap_t* heap, size_t size) {
  return heap_alloc(heap, size, MEMORY_UNKNOWN);
}
EXPORT void* mi_heap_zalloc_small(mi_heap_t* heap, size_t size) {
  return heap_alloc(heap, size, MEMORY_ZERO);
}

EXPORT void* mi_heap_calloc(mi_heap_t* heap, size_t count, size_t size) {
  return heap_alloc(heap, product(count, size), MEMORY_ZERO);
}

EXPORT void* mi_heap_mallocn(mi_heap_t* heap, size_t count, size_t size) {
  return heap_alloc(heap, product(count, size), MEMORY_UNKNOWN);
}

EXPORT void* mi_heap_realloc(mi_heap_t* heap, void* p, size_t newsize) {
  return resize(p, (request_t){.heap = heap_or_main(heap), .size = newsize});
}

EXPORT void* mi_heap_reallocn(mi_heap_t* heap, void* p, size_t count, size_t size) {
  return mi_heap_realloc(heap, p, product(count, size));
}

EXPORT void* mi_heap_reallocf(mi_heap_t* heap, void* p, size_t newsize) {
  void* const q = resize(p, (request_t){.heap = heap_or_main(heap), .size = newsize});
  if (q == NULL) mi_free(p);
  return q;
}

EXPORT void* mi_heap_rezalloc(mi_heap_t* heap, void* p, size_t newsize) {
  return resize(p, (request_t){.heap = heap_or_main(heap), .size = newsize, .memory = MEMORY_ZERO});
}

EXPORT void* mi_heap_recalloc(mi_heap_t* heap, void* p, size_t newcount, size_t size) {
  return mi_heap_rezalloc(heap, p, product(newcount, size));
}

/* An alignment of 0 is an error: 3 is refused like every other that is no power of two. */
static request_t aligned_request(mi_heap_t* heap, size_t size, size_t alignment, size_t offset,
                                 zeroed_t memory) {
  if (alignment == 0) alignment = 3;
  return (request_t){heap_or_main(heap), size, alignment, offset, memory, false};
}

EXPORT void* mi_heap_malloc_aligned_at(mi_heap_t* heap, size_t size, size_t alignment, size_t offset) {
  return alloc_generic(aligned_request(heap, size, alignment, offset, MEMORY_UNKNOWN));
}

EXPORT void* mi_heap_malloc_aligned(mi_heap_t* heap, size_t size, size_t alignment) {
  return mi_heap_malloc_aligned_at(heap, size, alignment, 0);
}

EXPORT void* mi_heap_zalloc_aligned_at(mi_heap_t* heap, size_t size, size_t alignment, size_t offset) {
  return alloc_generic(aligned_request(heap, size, alignment, offset, MEMORY_ZERO));
}

EXPORT void* mi_heap_zalloc_aligned(mi_heap_t* heap, size_t size, size_t alignment) {
  return mi_heap_zalloc_aligned_at(heap, size, alignment, 0);
}

EXPORT void* mi_heap_calloc_aligned_at(mi_heap_t* heap, size_t count, size_t size, size_t alignment,
                                       size_t offset) {
  return mi_heap_zalloc_aligned_at(heap, product(count, size), alignment, offset);
}

EXPORT void* mi_heap_calloc_aligned(mi_heap_t* heap, size_t count, size_t size, size_t alignment) {
  return mi_heap_calloc_aligned_at(heap, count, size, alignment, 0);
}

EXPORT void* mi_heap_realloc_aligned_at(mi_heap_t* heap, void* p, size_t newsize, size_t alignment,
                                        size_t offset) {
  return resize_aligned(p, aligned_request(heap, newsize, alignment, offset, MEMORY_UNKNOWN));
}

EXPORT void* mi_heap_realloc_aligned(mi_heap_t* heap, void* p, size_t newsize, size_t alignment) {
  return mi_heap_realloc_aligned_at(heap, p, newsize, alignment, 0);
}

EXPORT void* mi_heap_rezalloc_aligned_at(mi_heap_t* heap, void* p, size_t newsize, size_t alignment,
                                         size_t offset) {
  return resize_aligned(p, aligned_request(heap, newsize, alignment, offset, MEMORY_ZERO));
}

EXPORT void* mi_heap_rezalloc_aligned(mi_heap_t* heap, void* p, size_t newsize, size_t alignment) {
  return mi_heap_rezalloc_aligned_at(heap, p, newsize, alignment, 0);
}

EXPORT void* mi_heap_recalloc_aligned_at(mi_heap_t* heap, void* p, size_t newcount, size_t size,
                                         size_t alignment, size_t offset) {
  return mi_heap_rezalloc_aligned_at(heap, p, product(newcount, size), alignment, offset);
}

EXPORT void* mi_heap_recalloc_aligned(mi_heap_t* heap, void* p, size_t newcount, size_t size,
                                      size_t alignment) {
  return mi_heap_recalloc_aligned_at(heap, p, newcount, size, alignment, 0);
}

/* ---- life ---- */

EXPORT mi_heap_t* mi_heap_main(void) { return thread_main_heap(); }

EXPORT mi_heap_t* mi_heap_new(void) {
  const int saved_errno = errno;
  thread_begin();
  heap_t* const heap = heap_create(thread_main_heap());
  errno = heap != NULL ? saved_errno : ENOMEM;
  return heap;
}

static bool heap_may_end(const heap_t* heap, const char* verb) {
  if (heap == NULL) return false;
  if (heap->main == NULL) {
    report_warning("heap_%s: the main heap cannot be ended, nothing is done", verb);
    return false;
  }
  if (load_relaxed(&((heap_t*)(uintptr_t)heap)->state) == HEAP_LIVE) return true;
  report_misuse(EINVAL, "heap_%s of %p: the heap was deleted or destroyed before", verb, (const void*)heap);
  return false;
}

/* The calling thread's own use of a heap that ends. */
static void leave_default(const heap_t* heap) {
  const thread_t* const root = thread_root();
  if (root != NULL && root->default_heap == heap) thread_set_default(thread_main_heap());
}

/* Big blocks have no owner to move them, full pages that were given up stand in no stack. */
static void forward_page(page_t* page, void* arg) {
  const heap_t* const heap = arg;
  uintptr_t from = (uintptr_t)heap;
  heap_t* const heir = heap->heir;
  heap_t* const counted = heir->heir != NULL ? heir : &heap_main; /* an arena's heir shows as the main heap */
  const bool single = page_is_single(page);
  if (!single && !remote_claim(page)) return;
  /* Freed meanwhile, the entry may be another heap's page by now: then it stays that. */
  heap_note_page(heir, page);
  if (cas_strong_acq_rel(&page->heap, &from, (uintptr_t)heir) && single) {
    figure_add(&counted->tally.blocks[BIN_COUNT], 1);
    figure_add(&counted->tally.big_bytes, page->single_size);
  }
  if (!single) page_abandon(page);
}

void heap_delete(heap_t* heap) {
  KEEP_ERRNO;
  leave_default(heap);
  store_seq_cst(&heap->state, (uint32_t)HEAP_DELETED); /* partner: the look at the state in abandoned_link */
  thread_t* const self = thread_enter();
  if (self != NULL) thread_settle_heap(self, heap);
  abandoned_sweep(heap, COLLECT_PAGES);
  heap_visit_pages(heap, forward_page, heap);
  if (self != NULL) thread_leave(self);
  level_down(&heap_count);
  heap_unref(heap);
}

/* Tell the memory checker that all blocks of the page are gone: it knows itself which were there. */
static void track_destroyed(page_t* page) {
  char* const first = page_start(page);
  const size_t blocks = page_is_single(page) ? 1 : page_capacity(page);
  track_pause();
  for (size_t i = 0; i < blocks; i++) track_free(first + (page_is_single(page) ? 1 : i) * page->stride, 0);
  track_resume();
  track_forbid(first, page_slice_count(page) * SLICE_SIZE);
}

static void destroy_page(page_t* page, NOT_USED void* arg) {
  if (TRACKED) track_destroyed(page);
  if (remote_state(load_settled(&page->thread_free)) == REMOTE_ABANDONED) level_down(&remote_abandoned);
  remote_reset(page);
  heap_end_page(page, slices_release);
}

EXPORT void mi_heap_delete(mi_heap_t* heap) {
  if (heap_may_end(heap, "delete")) heap_delete(heap);
}

void heap_destroy(heap_t* heap) {
  KEEP_ERRNO;
  if (SECURE_FULL) free_parked();
  leave_default(heap);
  thread_t* const self = thread_enter();
  store_seq_cst(&heap->state, (uint32_t)HEAP_DESTROYED);
  abandoned_unlink_all(heap);
  heap_visit_pages(heap, destroy_page, NULL);
  if (self != NULL) {
    thread_settle_heap(self, heap);
    thread_leave(self);
  }
  level_down(&heap_count);
  heap_unref(heap);
}

EXPORT void mi_heap_destroy(mi_heap_t* heap) {
  if (!heap_may_end(heap, "destroy")) return;
  if (heap->only_delete) heap_delete(heap);
  else heap_destroy(heap);
}

/* ---- whose block ---- */

EXPORT mi_heap_t* mi_heap_of(const void* p) {
  page_t* const page = p != NULL ? page_of(p) : NULL;
  if (SECURE && zone_holds(p)) return &heap_main;
  return page != NULL ? heap_of_page(page) : NULL;
}

EXPORT bool mi_heap_contains(const mi_heap_t* heap, const void* p) {
  return p != NULL && mi_heap_of(p) == heap_or_main((mi_heap_t*)(uintptr_t)heap);
}

EXPORT bool mi_any_heap_contains(const void* p) { return mi_heap_of(p) != NULL; }
EXPORT bool mi_check_owned(const void* p) { return mi_any_heap_contains(p); }
EXPORT bool mi_is_in_heap_region(const void* p) { return window_slice_of(p) != SLICE_NONE; }

/* Blocks are not filled: nothing is there to be preserved. */
EXPORT void mi_heap_set_debug_fill_preserve(NOT_USED mi_heap_t* heap, NOT_USED size_t preserve) {
}
