/* SPDX-License-Identifier: MIT */
#include "fuzz/calls.h"

#include <wchar.h>

#include "stress/support.h"

/* What tells the size of the block must agree with mi_usable_size. */
static void* told(void* p, size_t told_size) {
  CHECK(told_size == mi_usable_size(p), "the size told is %zu, the usable size %zu", told_size,
        mi_usable_size(p));
  return p;
}

static void* told_resized(const call_t* c) {
  size_t pre = 1, post = 1;
  const size_t before = mi_usable_size(c->p);
  void* const q = mi_urealloc(c->p, c->size, &pre, &post);
  CHECK(pre == before, "urealloc tells %zu before, the usable size was %zu", pre, before);
  return told(q, post);
}

static void* posix_result(const call_t* c) {
  void* p = (void*)&p;
  const int error = mi_posix_memalign(&p, c->alignment, c->size);
  CHECK(errno == ERRNO_MARK, "posix_memalign sets errno to %d", errno);
  if (error == 0) return p;
  CHECK(p == (void*)&p, "posix_memalign fails (%d) and stores a pointer", error);
  errno = error;
  return NULL;
}

static void* reallocarr_result(const call_t* c) {
  void* p = c->p;
  const int error = mi_reallocarr(&p, c->count, c->size);
  if (error == 0) return p;
  CHECK(errno == error, "reallocarr returns %d, errno is %d", error, errno);
  CHECK(p == c->p, "reallocarr fails (%d) and stores a pointer", error);
  return NULL;
}

#define TOLD(call) \
  size_t size = 1; \
  void* const p = call; \
  return told(p, size)
#define GIVES(call) return call

/* name, traits, body with `c` */
#define CALLS(X) \
  X(malloc, 0, GIVES(mi_malloc(c->size))) \
  X(zalloc, ZEROES, GIVES(mi_zalloc(c->size))) \
  X(calloc, HAS_COUNT | ZEROES, GIVES(mi_calloc(c->count, c->size))) \
  X(mallocn, HAS_COUNT, GIVES(mi_mallocn(c->count, c->size))) \
  X(malloc_small, 0, GIVES(mi_malloc_small(c->size))) \
  X(zalloc_small, ZEROES, GIVES(mi_zalloc_small(c->size))) \
  X(umalloc, 0, TOLD(mi_umalloc(c->size, &size))) \
  X(ucalloc, HAS_COUNT | ZEROES, TOLD(mi_ucalloc(c->count, c->size, &size))) \
  X(umalloc_small, 0, TOLD(mi_umalloc_small(c->size, &size))) \
  X(uzalloc_small, ZEROES, TOLD(mi_uzalloc_small(c->size, &size))) \
  X(umalloc_aligned, HAS_ALIGNMENT, TOLD(mi_umalloc_aligned(c->size, c->alignment, &size))) \
  X(uzalloc_aligned, HAS_ALIGNMENT | ZEROES, TOLD(mi_uzalloc_aligned(c->size, c->alignment, &size))) \
  X(malloc_aligned, HAS_ALIGNMENT, GIVES(mi_malloc_aligned(c->size, c->alignment))) \
  X(malloc_aligned_at, HAS_ALIGNMENT | HAS_OFFSET, \
    GIVES(mi_malloc_aligned_at(c->size, c->alignment, c->offset))) \
  X(zalloc_aligned, HAS_ALIGNMENT | ZEROES, GIVES(mi_zalloc_aligned(c->size, c->alignment))) \
  X(zalloc_aligned_at, HAS_ALIGNMENT | HAS_OFFSET | ZEROES, \
    GIVES(mi_zalloc_aligned_at(c->size, c->alignment, c->offset))) \
  X(calloc_aligned, HAS_COUNT | HAS_ALIGNMENT | ZEROES, \
    GIVES(mi_calloc_aligned(c->count, c->size, c->alignment))) \
  X(calloc_aligned_at, HAS_COUNT | HAS_ALIGNMENT | HAS_OFFSET | ZEROES, \
    GIVES(mi_calloc_aligned_at(c->count, c->size, c->alignment, c->offset))) \
  X(posix_memalign, HAS_ALIGNMENT | WORD_ALIGNMENT, GIVES(posix_result(c))) \
  X(memalign, HAS_ALIGNMENT, GIVES(mi_memalign(c->alignment, c->size))) \
  X(aligned_alloc, HAS_ALIGNMENT, GIVES(mi_aligned_alloc(c->alignment, c->size))) \
  X(valloc, OS_PAGE, GIVES(mi_valloc(c->size))) \
  X(pvalloc, OS_PAGE | OS_PAGES, GIVES(mi_pvalloc(c->size))) \
  X(new, NEVER_NULL, GIVES(mi_new(c->size))) \
  X(new_n, HAS_COUNT | NEVER_NULL, GIVES(mi_new_n(c->count, c->size))) \
  X(new_aligned, HAS_ALIGNMENT | NEVER_NULL, GIVES(mi_new_aligned(c->size, c->alignment))) \
  X(new_nothrow, 0, GIVES(mi_new_nothrow(c->size))) \
  X(new_aligned_nothrow, HAS_ALIGNMENT, GIVES(mi_new_aligned_nothrow(c->size, c->alignment))) \
  X(heap_malloc, IN_HEAP, GIVES(mi_heap_malloc(c->heap, c->size))) \
  X(heap_zalloc, IN_HEAP | ZEROES, GIVES(mi_heap_zalloc(c->heap, c->size))) \
  X(heap_calloc, IN_HEAP | HAS_COUNT | ZEROES, GIVES(mi_heap_calloc(c->heap, c->count, c->size))) \
  X(heap_mallocn, IN_HEAP | HAS_COUNT, GIVES(mi_heap_mallocn(c->heap, c->count, c->size))) \
  X(heap_malloc_small, IN_HEAP, GIVES(mi_heap_malloc_small(c->heap, c->size))) \
  X(heap_zalloc_small, IN_HEAP | ZEROES, GIVES(mi_heap_zalloc_small(c->heap, c->size))) \
  X(heap_malloc_aligned, IN_HEAP | HAS_ALIGNMENT, \
    GIVES(mi_heap_malloc_aligned(c->heap, c->size, c->alignment))) \
  X(heap_malloc_aligned_at, IN_HEAP | HAS_ALIGNMENT | HAS_OFFSET, \
    GIVES(mi_heap_malloc_aligned_at(c->heap, c->size, c->alignment, c->offset))) \
  X(heap_zalloc_aligned, IN_HEAP | HAS_ALIGNMENT | ZEROES, \
    GIVES(mi_heap_zalloc_aligned(c->heap, c->size, c->alignment))) \
  X(heap_zalloc_aligned_at, IN_HEAP | HAS_ALIGNMENT | HAS_OFFSET | ZEROES, \
    GIVES(mi_heap_zalloc_aligned_at(c->heap, c->size, c->alignment, c->offset))) \
  X(heap_calloc_aligned, IN_HEAP | HAS_COUNT | HAS_ALIGNMENT | ZEROES, \
    GIVES(mi_heap_calloc_aligned(c->heap, c->count, c->size, c->alignment))) \
  X(heap_calloc_aligned_at, IN_HEAP | HAS_COUNT | HAS_ALIGNMENT | HAS_OFFSET | ZEROES, \
    GIVES(mi_heap_calloc_aligned_at(c->heap, c->count, c->size, c->alignment, c->offset))) \
  X(heap_alloc_new, IN_HEAP | NEVER_NULL, GIVES(mi_heap_alloc_new(c->heap, c->size))) \
  X(heap_alloc_new_n, IN_HEAP | HAS_COUNT | NEVER_NULL, \
    GIVES(mi_heap_alloc_new_n(c->heap, c->count, c->size))) \
  X(realloc, RESIZES, GIVES(mi_realloc(c->p, c->size))) \
  X(reallocn, RESIZES | HAS_COUNT, GIVES(mi_reallocn(c->p, c->count, c->size))) \
  X(reallocf, RESIZES | FREES_FAILED, GIVES(mi_reallocf(c->p, c->size))) \
  X(urealloc, RESIZES, GIVES(told_resized(c))) \
  X(reallocarray, RESIZES | HAS_COUNT | TELLS_OVERFLOW, GIVES(mi_reallocarray(c->p, c->count, c->size))) \
  X(reallocarr, RESIZES | HAS_COUNT | TELLS_OVERFLOW, GIVES(reallocarr_result(c))) \
  X(new_realloc, RESIZES | NEVER_NULL, GIVES(mi_new_realloc(c->p, c->size))) \
  X(new_reallocn, RESIZES | HAS_COUNT | NEVER_NULL, GIVES(mi_new_reallocn(c->p, c->count, c->size))) \
  X(expand, RESIZES | IN_PLACE | KEEPS_ERRNO, GIVES(mi_expand(c->p, c->size))) \
  X(_expand, RESIZES | IN_PLACE, GIVES(mi__expand(c->p, c->size))) \
  X(realloc_aligned, RESIZES | HAS_ALIGNMENT, \
    GIVES(mi_realloc_aligned(c->p, c->size, c->alignment))) \
  X(realloc_aligned_at, RESIZES | HAS_ALIGNMENT | HAS_OFFSET, \
    GIVES(mi_realloc_aligned_at(c->p, c->size, c->alignment, c->offset))) \
  X(rezalloc, RESIZES | ZEROES, GIVES(mi_rezalloc(c->p, c->size))) \
  X(recalloc, RESIZES | ZEROES | HAS_COUNT, GIVES(mi_recalloc(c->p, c->count, c->size))) \
  X(rezalloc_aligned, RESIZES | ZEROES | HAS_ALIGNMENT, \
    GIVES(mi_rezalloc_aligned(c->p, c->size, c->alignment))) \
  X(rezalloc_aligned_at, RESIZES | ZEROES | HAS_ALIGNMENT | HAS_OFFSET, \
    GIVES(mi_rezalloc_aligned_at(c->p, c->size, c->alignment, c->offset))) \
  X(recalloc_aligned, RESIZES | ZEROES | HAS_COUNT | HAS_ALIGNMENT, \
    GIVES(mi_recalloc_aligned(c->p, c->count, c->size, c->alignment))) \
  X(recalloc_aligned_at, RESIZES | ZEROES | HAS_COUNT | HAS_ALIGNMENT | HAS_OFFSET, \
    GIVES(mi_recalloc_aligned_at(c->p, c->count, c->size, c->alignment, c->offset))) \
  X(aligned_recalloc, RESIZES | ZEROES | HAS_COUNT | HAS_ALIGNMENT, \
    GIVES(mi_aligned_recalloc(c->p, c->count, c->size, c->alignment))) \
  X(aligned_offset_recalloc, RESIZES | ZEROES | HAS_COUNT | HAS_ALIGNMENT | HAS_OFFSET, \
    GIVES(mi_aligned_offset_recalloc(c->p, c->count, c->size, c->alignment, c->offset))) \
  X(heap_realloc, IN_HEAP | RESIZES, GIVES(mi_heap_realloc(c->heap, c->p, c->size))) \
  X(heap_reallocn, IN_HEAP | RESIZES | HAS_COUNT, GIVES(mi_heap_reallocn(c->heap, c->p, c->count, c->size))) \
  X(heap_reallocf, IN_HEAP | RESIZES | FREES_FAILED, GIVES(mi_heap_reallocf(c->heap, c->p, c->size))) \
  X(heap_rezalloc, IN_HEAP | RESIZES | ZEROES, GIVES(mi_heap_rezalloc(c->heap, c->p, c->size))) \
  X(heap_recalloc, IN_HEAP | RESIZES | ZEROES | HAS_COUNT, \
    GIVES(mi_heap_recalloc(c->heap, c->p, c->count, c->size))) \
  X(heap_realloc_aligned, IN_HEAP | RESIZES | HAS_ALIGNMENT, \
    GIVES(mi_heap_realloc_aligned(c->heap, c->p, c->size, c->alignment))) \
  X(heap_realloc_aligned_at, IN_HEAP | RESIZES | HAS_ALIGNMENT | HAS_OFFSET, \
    GIVES(mi_heap_realloc_aligned_at(c->heap, c->p, c->size, c->alignment, c->offset)))

#define DEFINE(name, traits, body) \
  static void* run_##name(const call_t* c) { body; }
CALLS(DEFINE)

#define ROW(name, traits, body) {#name, run_##name, (unsigned)(traits)},
const function_t functions[] = {CALLS(ROW)};
const size_t function_count = sizeof(functions) / sizeof(functions[0]);
