/* SPDX-License-Identifier: MIT */
/* A thread's parts of heaps as the program sees them, the thread's default heap, and the names of 2.x for it.

   Everything but identity comes from the heap that a part belongs to: allocation goes through the calling
   thread's part of that heap, whichever part it was asked for. */
#include <errno.h>

#include "alloc/alloc.h"
#include "heap/sampling.h"

/* ---- parts ---- */

/* The thread's own part rather than a nested record's, so that it stays the same. */
EXPORT mi_theap_t* mi_heap_theap(mi_heap_t* h) {
  heap_t* const heap = heap_or_main(h);
  const int saved_errno = errno;
  thread_begin();
  const thread_t* const root = thread_root();
  heap_part_t* part = root != NULL ? thread_find_part(root, heap) : NULL;
  thread_t* const self = part == NULL ? thread_enter() : NULL;
  if (self != NULL) {
    part = thread_part_of(self, heap);
    thread_leave(self);
  }
  errno = part != NULL ? saved_errno : ENOMEM;
  return part;
}

/* The thread's own record, busy, and its part of the heap; false: the thread is inside the allocator already
   (a signal handler, the scavenger), or has no such part. */
static bool enter_part(const heap_t* heap, thread_t** self, heap_part_t** part) {
  thread_check_fork();
  *self = thread_self != NULL ? thread_enter() : NULL;
  if (*self == NULL) return false;
  *part = (*self)->outer == NULL ? thread_find_part(*self, heap) : NULL;
  if (*part == NULL) thread_leave(*self);
  return *part != NULL;
}

EXPORT void mi_theap_delete(mi_theap_t* theap) {
  if (theap == NULL) return;
  KEEP_ERRNO;
  heap_t* const heap = theap->heap;
  thread_t* self;
  heap_part_t* part;
  if (mi_heap_get_default() == heap) thread_set_default(thread_main_heap());
  if (enter_part(heap, &self, &part)) {
    thread_end_part(self, part);
    thread_leave(self);
  }
}

EXPORT void mi_theap_quiescent_abandon(mi_theap_t* theap) {
  KEEP_ERRNO;
  thread_t* self;
  heap_part_t* part;
  if (enter_part(theap_heap(theap), &self, &part)) {
    part_drain(part);
    part_abandon_all(part);
    thread_leave(self);
  }
}

EXPORT void mi_theap_collect(mi_theap_t* theap, bool force) { mi_heap_collect(theap_heap(theap), force); }

EXPORT void mi_theap_guarded_set_sample_rate(mi_theap_t* theap, size_t sample_rate, size_t seed) {
  if (theap == NULL) theap = mi_theap_get_default();
  if (sample_rate != 0) guarded_prepare();
  if (theap != NULL) part_sampling_start(theap, sample_rate, seed);
}

EXPORT void mi_theap_guarded_set_size_bound(mi_theap_t* theap, size_t min, size_t max) {
  if (theap == NULL) theap = mi_theap_get_default();
  if (theap == NULL) return;
  theap->sampling.min = min;
  theap->sampling.max = max;
}

/* ---- the default ---- */

EXPORT mi_heap_t* mi_heap_get_default(void) {
  KEEP_ERRNO;
  thread_attach();
  const thread_t* const root = thread_root();
  return root != NULL ? root->default_heap : &heap_main;
}

EXPORT mi_theap_t* mi_theap_get_default(void) { return mi_heap_theap(mi_heap_get_default()); }

EXPORT mi_theap_t* mi_theap_set_default(mi_theap_t* theap) {
  mi_theap_t* const previous = mi_theap_get_default();
  heap_t* const heap = theap_heap(theap);
  if (previous == NULL || mi_heap_theap(heap) == NULL) return NULL;
  thread_set_default(heap);
  return previous;
}

EXPORT mi_heap_t* mi_heap_set_default(mi_heap_t* heap) {
  mi_theap_t* const theap = mi_heap_theap(heap);
  mi_theap_t* const previous = theap != NULL ? mi_theap_set_default(theap) : NULL;
  return previous != NULL ? previous->heap : NULL;
}

EXPORT mi_heap_t* mi_heap_get_backing(void) { return mi_heap_main(); }

EXPORT mi_heap_t* mi_heap_new_ex(NOT_USED int heap_tag, bool allow_destroy, mi_arena_id_t arena_id) {
  mi_heap_t* const heap = mi_heap_new_in_arena(arena_id);
  if (heap != NULL) heap->only_delete = !allow_destroy;
  return heap;
}

EXPORT bool mi_heap_contains_block(mi_heap_t* heap, const void* p) { return mi_heap_contains(heap, p); }
EXPORT bool mi_heap_check_owned(mi_heap_t* heap, const void* p) { return mi_heap_contains(heap, p); }

/* ---- allocation ---- */

EXPORT void* mi_theap_malloc(mi_theap_t* t, size_t size) { return mi_heap_malloc(theap_heap(t), size); }

EXPORT void* mi_theap_zalloc(mi_theap_t* t, size_t size) { return mi_heap_zalloc(theap_heap(t), size); }

EXPORT void* mi_theap_calloc(mi_theap_t* t, size_t count, size_t size) {
  return mi_heap_calloc(theap_heap(t), count, size);
}

EXPORT void* mi_theap_malloc_small(mi_theap_t* t, size_t size) { return mi_theap_malloc(t, size); }
EXPORT void* mi_theap_zalloc_small(mi_theap_t* t, size_t size) { return mi_theap_zalloc(t, size); }

EXPORT void* mi_theap_wmalloc_small(mi_theap_t* t, size_t wsize) {
  return mi_heap_mallocn(theap_heap(t), wsize, sizeof(void*));
}

EXPORT void* mi_theap_wzalloc_small(mi_theap_t* t, size_t wsize) {
  return mi_theap_calloc(t, wsize, sizeof(void*));
}

EXPORT void* mi_theap_malloc_aligned(mi_theap_t* t, size_t size, size_t alignment) {
  return mi_heap_malloc_aligned(theap_heap(t), size, alignment);
}

EXPORT void* mi_theap_zalloc_aligned(mi_theap_t* t, size_t size, size_t alignment) {
  return mi_heap_zalloc_aligned(theap_heap(t), size, alignment);
}

EXPORT void* mi_theap_realloc(mi_theap_t* t, void* p, size_t newsize) {
  return mi_heap_realloc(theap_heap(t), p, newsize);
}

EXPORT void* mi_theap_rezalloc(mi_theap_t* t, void* p, size_t newsize) {
  return mi_heap_rezalloc(theap_heap(t), p, newsize);
}
