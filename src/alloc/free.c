/* SPDX-License-Identifier: MIT */
/* Free: everything that is not "a block of an own page, and not the last one".  Whatever cannot be the start
   of a live block is reported, never acted upon. */
#include <errno.h>

#include "alloc/fast.h"
#include "alloc/foreign.h"
#include "core/diagnostics.h"
#include "core/options.h"
#include "memory/purge.h"
#include "memory/scavenger.h"
#include "page/remote.h"

/* ---- misuse ---- */

static COLD void report_freed(const char* verb, const void* p, const page_t* page) {
  report_misuse(EAGAIN, "%s of %p (a block of %zu bytes): it was freed before", verb, p,
                page_usable_size(page));
}

static COLD void report_bad_start(const char* verb, const void* p, const page_t* page) {
  const char* const start = page_start(page);
  const size_t offset = (size_t)((const char*)p - start);
  const size_t before = page->slices == 0 ? page->stride : offset - offset % page->stride;
  report_misuse(EINVAL, "%s of %p: not the start of a block, it points inside the block at %p of %zu bytes",
                verb, p, (const void*)(start + before), page_usable_size(page) - SEAL_SIZE);
}

static COLD void report_unallocated(const char* verb, const void* p) {
  if (guarded_report_freed(verb, p)) return;
  report_misuse(EINVAL, "%s of %p: not allocated by this allocator, or freed before (double free?)", verb, p);
}

/* Is the block on a list of free blocks?  Exact for the owner.  For others the lists may move meanwhile: then
   a second free may be missed, but a live block is on no list, so a correct program is never accused. */
static COLD bool block_is_free(const page_t* page, const block_t* block) {
  return page_list_holds(page, page->local_free, block) || page_list_holds(page, page->free, block) ||
         page_list_holds(page, remote_list(page), block) ||
         part_delays_block((heap_part_t*)load_relaxed(&((page_t*)(uintptr_t)page)->part), block);
}

/* The mark does not lie about a free block, but a live one may hold it: programs copy memory that they never
   wrote.  So it only raises the suspicion. */
static inline bool block_was_freed(const page_t* page, const block_t* block) {
  if (!FREE_CHECKS) return false;
  if (unlikely(block_is_marked(page, block)) && block_is_free(page, block)) return true;
  return page_block_is_holed(page, block);
}

/* Others may ask too: whoever was given a block knows of its carving. */
static bool page_is_carved(const page_t* page, const void* p) {
  return (size_t)((const char*)p - page_start(page)) < page_capacity(page) * page->stride;
}

/* Is p a block that may be freed?  What is not has been reported.  `tag` is the page's, read once. */
static bool free_is_valid(const void* p, const page_t* page, uintptr_t tag) {
  if (tag == TAG_SINGLE) {
    if (p == page_start(page) + page->stride) return true;
    report_bad_start("free", p, page);
  } else if (!START_CHECKS) {
    return true;
  } else if (!page_is_block(page, p)) {
    report_bad_start("free", p, page);
  } else if (!page_is_carved(page, p)) {
    report_unallocated("free", p);
  } else if (block_was_freed(page, (const block_t*)p)) {
    report_freed("double free", p, page);
  } else {
    return true;
  }
  return false;
}

/* Secure builds: may it be freed, resized, measured? */
static bool seal_is_good(const char* verb, const void* p, const page_t* page, seal_verdict_t verdict) {
  static const char* const found[] = { /* as seal_verdict_t; what a free says wrongly is its own to report */
      NULL, "it was freed before (double free?)", "the block was overrun, its end is overwritten",
      "the block was overrun: bytes behind it are overwritten",
      "the bytes before the block are overwritten (an underflow, or its neighbour was overrun)", NULL};
  if (found[verdict] == NULL) return true;
  const size_t size =
      verdict == SEAL_OVERRUN ? block_usable_size(page, p) : page_usable_size(page) - SEAL_SIZE;
  report_misuse(verdict == SEAL_FREED ? EAGAIN : EFAULT, "%s of %p (a block of %s%zu bytes): %s", verb, p,
                verdict == SEAL_OVERRUN ? "" : "up to ", size, found[verdict]);
  return false;
}

/* ---- own pages ---- */

static inline bool is_own(uintptr_t tag) { return (tag & ~(uintptr_t)CARE_MASK) == thread_tag; }

static bool page_is_of(page_t* page, const thread_t* self) {
  return (load_relaxed(&page->owner_tag) & ~(uintptr_t)CARE_MASK) == self->tag;
}

/* `tag` is the page's, read once: of a full page it may change, then the slow path must look again. */
static void free_own(void* p, page_t* page, uintptr_t tag) {
  block_t* const block = p;
  if (likely((tag & (CARE_FULL | CARE_HOLES)) == 0 && page->used > 1)) {
    page_push_local(page, block);
    return;
  }
  thread_t* const self = thread_enter();
  /* The scavenger may hold this thread (then `self` is a nested record), or have given the
     page up meanwhile. */
  if (self != NULL && page_is_of(page, self))
    part_free_local((heap_part_t*)load_relaxed(&page->part), page, block);
  else heap_free_remote(page, block);
  if (self == NULL) return;
  purge_due();
  thread_leave(self);
}

/* The page was emptied before, and has only been used in short ways since (heap/retired.c). */
static bool is_retired(page_t* page) {
  thread_t* const self = thread_self;
  if (self == NULL || !thread_try_busy(self)) return false;
  const bool retired = page_is_of(page, self) && (page->flags & PAGE_RETIRED) != 0;
  if (retired) page->flags |= PAGE_AGAIN;
  thread_not_busy(self);
  return retired;
}

NOINLINE void free_emptied(page_t* page) {
  if (is_retired(page)) return;
  thread_t* const self = thread_enter();
  if (self == NULL) return; /* the page stays, empty */
  /* The scavenger may have released the page since, or be about to. */
  if (page_is_of(page, self)) part_page_thinned((heap_part_t*)load_relaxed(&page->part), page);
  purge_due();
  thread_leave(self);
}

/* ---- pages of others, or of nobody ---- */

/* Whether the calling thread should become the owner of the abandoned page that it frees into. */
static heap_part_t* reclaiming_part(const thread_t* self, page_t* page) {
  heap_t* const heap = (heap_t*)load_relaxed(&page->heap);
  if (self->outer != NULL || self->in_threadpool || load_relaxed(&heap->state) != HEAP_LIVE) return NULL;
  heap_part_t* const part = thread_find_part(self, heap);
  if (part == NULL) return NULL;
  const bool was_own = load_relaxed(&page->part) == (uintptr_t)part;
  if (option_get(mi_option_page_reclaim_on_free) < (was_own ? 0 : 1)) return NULL;
  const mi_option_t limit = was_own ? mi_option_page_max_reclaim : mi_option_page_cross_thread_max_reclaim;
  const long most = option_get(limit);
  return most < 0 || part->queues[page->bin].count < (size_t)most ? part : NULL;
}

static bool free_by_reclaim(page_t* page, block_t* block) {
  if (thread_self == NULL || load_relaxed(&thread_self->busy) != 0) return false;
  thread_t* const self = thread_enter();
  if (self == NULL) return false;
  heap_part_t* const part = reclaiming_part(self, page);
  const bool claimed = part != NULL && remote_claim(page);
  if (claimed) {
    part_count(part, PART_CLAIMED_BY_FREE);
    part_attach(part, page);
    part_free_local(part, page, block);
    purge_due();
  }
  thread_leave(self);
  return claimed;
}

static void free_other(void* p, page_t* page, uintptr_t tag) {
  block_t* const block = p;
  if (tag == TAG_ABANDONED && free_by_reclaim(page, block)) return;
  heap_free_remote(page, block);
}

/* A block of another thread's page, if nothing is special: one look at the block, and one CAS. */
static inline bool free_pushes(void* p, page_t* page, uintptr_t tag) {
  if (TRACKED + SECURE_FULL != 0) return false;
  if (is_own(tag) || tag <= TAG_ABANDONED) return false;
  if ((tag & CARE_HOLES) != 0) return false;
  if (unlikely(load_relaxed(&heap_strangers) == 0 && thread_self == NULL)) return false;
  block_t* const block = (block_t*)p;
  const size_t offset = (size_t)((char*)p - page_start(page));
  const uint64_t bound = __atomic_load_n(&page->bound, __ATOMIC_RELAXED);
  if (unlikely(!is_live_at(page, p, offset, bound))) return false;
  if (SECURE && unlikely(seal_break(page, p, NO_CLAIM) != SEAL_GOOD)) return false;
  if (likely(remote_push(page, block, offset))) scavenger_hint();
  else if (SECURE) heap_free_remote(page, block); /* it is freed already, as far as its seal tells */
  else return false;
  return true;
}

static void free_big(void* p, page_t* page) {
  if (!single_claim(page)) {
    report_unallocated("free", p);
    return;
  }
  guarded_freed(page);
  heap_end_page(page, slices_release);
}

static void free_now(void* p, page_t* page, uintptr_t tag) {
  if (is_own(tag)) free_own(p, page, tag);
  else if (tag == TAG_SINGLE) free_big(p, page);
  else free_other(p, page, tag);
}

/* Fully secure builds: what its owner frees takes the place of what was freed some time ago, and that is
   free. What others free, perhaps in a signal handler that has interrupted the owner, waits in thread_free
   anyway. */
enum { PARKED = 128, BANKS = 16 /* threads share them */, WIPED_INLINE = 64 };
static atomic_word_t parked[BANKS * PARKED];
static void free_later(void* p) {
  static THREAD_LOCAL uint32_t count;
  static atomic_u64_t generation;
  if (unlikely(load_acquire(&generation) != thread_generation())) { /* a child: torn, perhaps */
    for (size_t i = 0; i < BANKS * PARKED; i++) store_relaxed(&parked[i], 0);
    store_release(&generation, thread_generation()); /* last: who sees it finds no parked block of before */
  }
  atomic_word_t* const bank = &parked[thread_tag / TAG_UNIT % BANKS * PARKED];
  p = (void*)exchange_acq_rel(&bank[seal_chance((uintptr_t)p + count++, PARKED)], (uintptr_t)p);
  if (p == NULL) return;
  if (((block_t*)p)->next != NULL) page_is_corrupt(p); /* it was wiped */
  page_t* page = page_at(window_slice_number(p));
  if (load_relaxed(&page->owner_tag) == 0) page = page_of(p);
  free_now(p, page, load_relaxed(&page->owner_tag));
}

static NOINLINE void free_careful(void* p, page_t* page) {
  uintptr_t tag = load_relaxed(&page->owner_tag);
  if (unlikely(tag == 0)) {
    page = page_of(p);
    if (page == NULL) {
      report_unallocated("free", p);
      return;
    }
    tag = load_relaxed(&page->owner_tag);
    if (free_pushes(p, page, tag)) return;
  }
  if (unlikely(thread_self == NULL)) thread_note_stranger();
  if (!free_is_valid(p, page, tag)) return;
  if (SECURE && !seal_is_good("free", p, page, seal_break(page, p, NO_CLAIM))) return;
  if (TRACKED) track_free(p, page_usable_size(page));
  if (SECURE_FULL && is_own(tag) && page->stride <= SMALL_BLOCK_MAX) free_later(p);
  else free_now(p, page, tag);
}

/* Not short: the first block of a page, a big one, the last one that lives, and whatever is wrong. */
static NOINLINE void free_sealed_long(void* p, page_t* page, seal_claim_t claim) {
  const uint64_t offset = (uint16_t)(uintptr_t)p;
  if (offset * page->reciprocal >= page->bound || seal_break(page, p, claim) != SEAL_GOOD) {
    free_check_claims(p, claim, 0);
    free_careful(p, page);
  } else if (SECURE_FULL && page->stride <= SMALL_BLOCK_MAX) {
    free_later(p);
  } else {
    page_push_local(page, (block_t*)p);
    if (page->used == 0) free_emptied(page);
  }
}

NOINLINE void free_sealed(void* p, page_t* page, seal_claim_t claim) {
  const uint64_t offset = (uint16_t)(uintptr_t)p;
  const bool inner = offset != 0 && offset * page->reciprocal < page->bound;
  const bool plain = !SECURE_FULL && inner && page->used != 1;
  if (unlikely(!plain || !seal_break_small(page, (char*)p, claim))) {
    free_sealed_long(p, page, claim);
    return;
  }
  page_push_local(page, (block_t*)p);
  char* const rest = (char*)p + sizeof(block_t*); /* behind the link */
  const size_t size = page->stride - SEAL_SIZE - sizeof(block_t*);
  if (unlikely(size > WIPED_INLINE)) {
    if (size <= DIRECT_SIZE_MAX) memset(rest, 0, size);
    return;
  }
  for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
    *(uint64_t*)(void*)(rest + i) = 0;
    IN_REGISTER(i); /* or the compiler makes the loop one slow instruction */
  }
}

void free_parked(void) {
  for (size_t i = 0; SECURE_FULL && i < BANKS * PARKED; i++) {
    void* const p = (void*)exchange_acq_rel(&parked[i], 0);
    page_t* const page = p != NULL ? page_of(p) : NULL;
    if (page != NULL) free_now(p, page, load_relaxed(&page->owner_tag));
  }
}

NOINLINE void free_slow(void* p, page_t* page) {
  if (unlikely(!free_pushes(p, page, load_relaxed(&page->owner_tag)))) free_careful(p, page);
}

COLD void free_outside(void* p) {
  if (p == NULL) return;
  if (SECURE && zone_holds(p)) {
    zone_free(p);
    return;
  }
  if (window_slice_of(p) != SLICE_NONE) { /* the program's own memory, an arena by mi_manage_memory */
    free_slow(p, page_at(window_slice_number(p)));
    return;
  }
  KEEP_ERRNO;
  foreign.free(p);
}

/* ---- looking up a block that is to be resized or measured ---- */

static bool block_is_start(const page_t* page, const void* p) {
  return page->slices == 0 ? p == page_start(page) + page->stride : page_is_block(page, p);
}

ownership_t block_lookup(const void* p, const char* verb, page_t** page_out) {
  if (!window_knows(p)) return BLOCK_FOREIGN;
  page_t* const page = page_of(p);
  *page_out = page;
  if (page == NULL) {
    report_unallocated(verb, p);
    return BLOCK_BAD;
  }
  if (!block_is_start(page, p)) {
    report_bad_start(verb, p, page);
    return BLOCK_BAD;
  }
  if (page->slices != 0 && !page_is_carved(page, p)) {
    report_unallocated(verb, p);
    return BLOCK_BAD;
  }
  if (page->slices != 0 && block_was_freed(page, (const block_t*)p)) {
    report_freed(verb, p, page);
    return BLOCK_BAD;
  }
  seal_t seal;
  if (SECURE && !seal_is_good(verb, p, page, seal_read(page, p, &seal))) return BLOCK_BAD;
  return BLOCK_OURS;
}

/* What else is wrong with the pointer the free itself will say; a block that is only not what its free says
   goes, if the program goes on. */
void free_check_claims(void* p, seal_claim_t claim, size_t alignment) {
  static const char* const names[] = {"malloc", "new", "new[]"};
  if (claim.size == SIZE_MAX && alignment == 0 && (!SECURE_FULL || claim.kind == KIND_ANY)) return;
  page_t* const page = window_knows(p) ? page_of(p) : NULL;
  seal_t seal = {0};
  if (page == NULL || !block_is_start(page, p) || seal_read(page, p, &seal) != SEAL_GOOD) return;
  const size_t aligned = (size_t)1 << seal.alignment_shift;
  if (claim.size != SIZE_MAX && claim.size != seal.size) {
    report_misuse(EINVAL, "free of %p as %zu bytes: the block has %zu", p, claim.size, seal.size);
  } else if (alignment != 0 && max_size(alignment, 16) != max_size(aligned, 16)) {
    report_misuse(EINVAL, "free of %p as aligned to %zu: it was allocated for %zu", p, alignment, aligned);
  } else if (SECURE_FULL && claim.kind != KIND_ANY && claim.kind != seal.kind) {
    report_misuse(EINVAL, "free of %p by the counterpart of %s: it comes from %s", p, names[claim.kind],
                  names[seal.kind]);
  }
}

/* ---- entries ---- */

EXPORT void mi_free(void* p) { free_fast(p); }

EXPORT void mi_free_small(void* p) { free_fast(p); }
EXPORT void mi_free_small_nonnull(void* p) { free_fast(p); }
EXPORT void mi_free_small_local(void* p) { free_fast(p); }
EXPORT void mi_free_small_local_nonnull(void* p) { free_fast(p); }

EXPORT void mi_free_size(void* p, size_t size) { free_as(p, size, 0, KIND_ANY); }

EXPORT void mi_free_size_aligned(void* p, size_t size, size_t alignment) {
  free_as(p, size, alignment, KIND_ANY);
}

EXPORT void mi_free_aligned(void* p, size_t alignment) { free_as(p, SIZE_MAX, alignment, KIND_ANY); }

static NOINLINE size_t usable_size_slow(const void* p) {
  page_t* page;
  if (p == NULL) return 0;
  if (SECURE && zone_holds(p)) {
    zone_is_live("usable_size", p);
    return 0;
  }
  switch (block_lookup(p, "usable_size", &page)) {
    case BLOCK_OURS: return block_usable_size(page, p);
    case BLOCK_FOREIGN: return foreign.usable_size(p);
    default: return 0;
  }
}

EXPORT size_t mi_usable_size(const void* p) {
  const page_t* const page = live_page(p);
  return likely(page != NULL) ? page_usable_size(page) : usable_size_slow(p);
}

EXPORT void mi_ufree(void* p, size_t* block_size) {
  if (block_size != NULL) *block_size = mi_usable_size(p);
  free_fast(p);
}
