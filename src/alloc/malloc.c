/* SPDX-License-Identifier: MIT */
/* Allocation: the cold half of malloc, and the entries that only allocate. */
#include <errno.h>

#include "alloc/fast.h"
#include "core/diagnostics.h"
#include "core/options.h"
#include "heap/sampling.h"
#include "memory/purge.h"

enum { QUICK_BLOCKS = 256, QUICK_ROUNDS = 16 };

/* ---- the generic path ---- */

static single_request_t fenced_request(const request_t* request, size_t alignment) {
  return (single_request_t){request->size - BLOCK_TAIL, max_size(request->alignment, alignment), 0, true};
}

static page_t* find_single(heap_part_t* part, const request_t* request, zeroed_t* memory) {
  const single_request_t plain = {request->size, request->alignment, request->offset, false};
  page_t* page = NULL;
  if (is_hardened(2) && !request->grows && request->offset == 0)
    page = single_alloc(part->heap, fenced_request(request, 16), memory);
  return page != NULL ? page : single_alloc(part->heap, plain, memory);
}

/* One in so many blocks lies between guards. */
static page_t* find_sampled(heap_part_t* part, unsigned bin, const request_t* request, zeroed_t* memory) {
  if (!part_sample_is_due(part, bin, request->size - BLOCK_TAIL) || request->offset != 0) return NULL;
  const size_t least = option_enabled(mi_option_unsafe_guarded_precise) ? 1 : 16;
  page_t* const page = single_alloc(part->heap, fenced_request(request, least), memory);
  if (page != NULL) guarded_allocated(page);
  return page;
}

/* The bin whose natural alignment serves the request, or BIN_COUNT when it needs a run of its own. */
static unsigned request_bin(const request_t* request) {
  const size_t alignment = request->alignment;
  if (request_is_natural(request)) {
    const size_t size = max_size(request->size, alignment);
    return size <= MEDIUM_BLOCK_MAX ? bin_of(size) : BIN_COUNT;
  }
  if (request->offset % alignment != 0) return BIN_COUNT;
  if (request->size > MEDIUM_BLOCK_MAX || alignment > SMALL_BLOCK_MAX) return BIN_COUNT;
  /* Classes at a multiple of the alignment have it as long as pages start at slices and strides are sizes. */
  const size_t size = align_up(max_size(request->size, 1), alignment);
  if (size > (alignment <= CACHE_LINE ? MEDIUM_BLOCK_MAX : SMALL_BLOCK_MAX)) return BIN_COUNT;
  return bin_of(size);
}

/* Tell the memory checker of a block, and have it zero if it shall be. */
static void track_block(void* p, const page_t* page, const request_t* request) {
  const size_t size = request->size - BLOCK_TAIL;
  const bool zero = request->memory == MEMORY_ZERO;
  track_alloc(p, size, zero);
  if (zero) memset(p, 0, size);
  track_forbid((char*)p + size, page_usable_size(page) - size);
  track_pause();
  *block_tail(page, p) = size;
  track_resume();
}

/* A block goes out, sealed; zero if it shall be, and is not. */
static void* sealed_block(page_t* page, void* p, const request_t* request, zeroed_t memory) {
  const size_t size = request->size - BLOCK_TAIL;
  seal_put(page, p, (seal_t){size, alignment_shift(request), KIND_MALLOC});
  if (request->memory == MEMORY_ZERO && memory != MEMORY_ZERO) memset(p, 0, size);
  return p;
}

void* block_of_kind(void* p, block_kind_t kind) {
  page_t* const page = SECURE_FULL && p != NULL && !zone_holds(p) ? page_of(p) : NULL;
  seal_t seal;
  if (page == NULL || seal_read(page, p, &seal) != SEAL_GOOD) return p;
  seal.kind = kind;
  seal_change(page, p, seal);
  return p;
}

static void* alloc_from_part(heap_part_t* part, const request_t* request) {
  const unsigned bin = request_bin(request);
  zeroed_t memory = MEMORY_UNKNOWN;
  page_t* page = find_sampled(part, bin, request, &memory);
  if (page == NULL && bin == BIN_COUNT) page = find_single(part, request, &memory);
  if (page == NULL && bin == BIN_COUNT) return NULL;
  if (page != NULL) {
    char* const p = page_start(page) + page->stride;
    if (TRACKED) track_block(p, page, request);
    else if (SECURE) sealed_block(page, p, request, memory);
    else if (request->memory == MEMORY_ZERO && memory != MEMORY_ZERO) memset(p, 0, (size_t)page->single_size);
    return p;
  }
  page = part_find_page(part, bin);
  if (page == NULL) return NULL;
  block_t* const block = page_pop(page);
  const bool fresh = SECURE_FULL || (page->flags & PAGE_FRESH_ZERO) != 0; /* wiped blocks were looked at */
  if (TRACKED) track_block(block, page, request);
  else if (SECURE) sealed_block(page, block, request, fresh ? MEMORY_ZERO : MEMORY_UNKNOWN);
  else if (request->memory == MEMORY_ZERO) zero_block(page, block, request->size);
  return block;
}

static void* alloc_try(const request_t* request) {
  thread_t* const self = thread_enter();
  if (self == NULL) return NULL;
  void* p = NULL;
  /* A nested record serves its own part of the heap. */
  heap_part_t* const part =
      request->heap == NULL ? thread_default_part(self) : thread_part_of(self, request->heap);
  if (part != NULL) {
    part_drain(part);
    part_tick(part);
    p = alloc_from_part(part, request);
  }
  purge_due();
  thread_leave(self);
  return p;
}

COLD void* alloc_overflow(const char* what, size_t count, size_t size) {
  errno = ENOMEM;
  if (count == 1) report_failure(EOVERFLOW, "%s: %zu bytes are more than PTRDIFF_MAX", what, size);
  else report_failure(EOVERFLOW, "%s: %zu objects of %zu bytes are more than PTRDIFF_MAX", what, count, size);
  errno = ENOMEM;
  return NULL;
}

static bool request_is_valid(const request_t* request) {
  if (request->size > ALLOC_SIZE_MAX || request->offset > ALLOC_SIZE_MAX) {
    alloc_overflow("allocation", 1, max_size(request->size, request->offset));
    return false;
  }
  if (request->alignment != 0 && !is_power_of_two(request->alignment)) {
    report_failure(EINVAL, "allocation: the alignment %zu is not a power of two", request->alignment);
    errno = EINVAL;
    return false;
  }
  return true;
}

/* Blocks of size 0 belong to the main heap; a thread that has none yet will use that. */
static bool is_main(const heap_t* heap) {
  const heap_t* const of = heap != NULL ? heap : thread_part->heap;
  return of == NULL || of == &heap_main;
}

NOINLINE void* alloc_generic(request_t request) {
  const int saved_errno = errno;
  if (!request_is_valid(&request)) return NULL;
  if (SECURE && request.size == 0 && request.alignment <= 16 && is_main(request.heap)) {
    void* const nothing = zone_alloc();
    if (nothing != NULL) return nothing;
  }
  request.size += BLOCK_TAIL;
  thread_begin();
  thread_look_around();
  alloc_cadence(CADENCE_NORMAL);
  const long every = option_get(mi_option_generic_collect);
  if (unlikely(every > 0)) alloc_collect_by_count(every);
  void* p = alloc_try(&request);
  if (p == NULL) {
    alloc_cadence(CADENCE_FORCED);
    alloc_collect(CADENCE_FORCED);
    p = alloc_try(&request);
  }
  errno = saved_errno;
  if (p != NULL) return p;
  report_failure(ENOMEM, "out of memory: %zu bytes (alignment %zu) could not be allocated",
                 request.size - BLOCK_TAIL, request.alignment);
  errno = ENOMEM;
  return NULL;
}

/* A page of few blocks needs its next list often: most times the blocks that the thread has freed since will
   do, without all that a longer list can pay for. */
static bool refill_quickly(thread_t* self, heap_part_t* part, page_t* page) {
  if (page->local_free == NULL || page_capacity(page) > QUICK_BLOCKS) return false;
  if (part->sampling.rate != 0 && part->sampling.left[page->bin] == 0) return false;
  if ((page->flags & PAGE_NOTED) != 0 || ++self->quick % QUICK_ROUNDS == 0) return false;
  part_refill(part, page);
  check(page_is_valid(page));
  return true;
}

/* A block on hand that the fast path does not serve, and its page. */
static block_t* take_on_hand(size_t size, page_t** page) {
  if (size > MEDIUM_BLOCK_MAX - SEAL_SIZE) return NULL;
  heap_part_t* const part = thread_part;
  thread_t* const self = thread_self;
  if (self == NULL || part == &part_empty || !thread_try_busy(self)) return NULL;
  *page = part->current[bin_of(size + SEAL_SIZE)];
  const bool found = *page != NULL && ((*page)->free != NULL || refill_quickly(self, part, *page));
  block_t* const block = found ? page_pop(*page) : NULL;
  thread_not_busy(self);
  return block;
}

static inline void* on_hand_or_generic(request_t request) {
  page_t* page;
  const bool is_none = SECURE && request.size == 0;
  block_t* const block = is_none ? NULL : take_on_hand(request.size, &page);
  if (unlikely(block == NULL)) return alloc_generic(request);
  if (SECURE) seal_put_small(page, block, request.size, KIND_MALLOC);
  if (request.memory == MEMORY_ZERO) zero_block(page, block, request.size);
  return block;
}

NOINLINE void* alloc_slow(size_t size) { return on_hand_or_generic((request_t){.size = size}); }

NOINLINE void* alloc_slow_zero(size_t size) {
  return on_hand_or_generic((request_t){.size = size, .memory = MEMORY_ZERO});
}

/* ---- entries ---- */

EXPORT void* mi_malloc(size_t size) { return malloc_fast(size); }

EXPORT void* mi_zalloc(size_t size) { return zalloc_fast(size); }

EXPORT void* mi_calloc(size_t count, size_t size) {
  size_t total;
  if (unlikely(!mul_fits(count, size, &total))) return alloc_overflow("calloc", count, size);
  return zalloc_fast(total);
}

EXPORT void* mi_mallocn(size_t count, size_t size) {
  size_t total;
  if (unlikely(!mul_fits(count, size, &total))) return alloc_overflow("mallocn", count, size);
  return malloc_fast(total);
}

EXPORT void* mi_malloc_small(size_t size) { return malloc_fast(size); }

EXPORT void* mi_zalloc_small(size_t size) { return zalloc_fast(size); }

EXPORT void* mi_wmalloc_small(size_t wsize) { return mi_mallocn(wsize, sizeof(void*)); }

EXPORT void* mi_wzalloc_small(size_t wsize) { return mi_calloc(wsize, sizeof(void*)); }

EXPORT size_t mi_wsize_from_size(size_t size) { return size / sizeof(void*) + (size % sizeof(void*) != 0); }
